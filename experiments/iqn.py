"""IQN, which is `experiments.dqn` with another objective: `python -m experiments.iqn --help`."""

from dataclasses import dataclass, field

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    objective: dqn.Prediction = "implicit"


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train IQN (Dabney, Ostrovski, Silver and Munos, 2018)."""

    agent: Config = field(default_factory=Config)


check, make = dqn.check, dqn.make
ATARI = {"learning_rate": 5e-5, "adam_eps": 3.125e-4, "quantiles": 64}
PRESETS: run.Presets = {
    "atari": parts.merge(parts.presets.DOPAMINE, **ATARI, n_step=3),
    "atari-classic": parts.merge(parts.presets.ZOO, **ATARI, max_grad_norm=parts.presets.UNCLIPPED, warmup=20_000),
}
"""`atari` has the settings of Dopamine's JAX agent, `atari-classic` of DQN Zoo's; see `experiments.parts.presets`."""

experiment = run.Experiment("iqn", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
