"""C51, which is `experiments.dqn` with another objective: `python -m experiments.c51 --help`."""

from dataclasses import dataclass, field

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    objective: dqn.Prediction = "categorical"


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train C51 (Bellemare, Dabney and Munos, 2017)."""

    agent: Config = field(default_factory=Config)


check, make = dqn.check, dqn.make
ATARI = {"learning_rate": 2.5e-4, "adam_eps": 3.125e-4, **parts.presets.ATOMS}
PRESETS: run.Presets = {
    "atari": parts.merge(parts.presets.DOPAMINE, **ATARI),
    "atari-classic": parts.merge(parts.presets.ZOO, **ATARI),
}
"""`atari` has the settings of Dopamine's JAX agent, `atari-classic` of DQN Zoo's; see `experiments.parts.presets`."""

experiment = run.Experiment("c51", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
