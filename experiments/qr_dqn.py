"""QR-DQN, which is `experiments.dqn` with another objective: `python -m experiments.qr_dqn --help`."""

from dataclasses import dataclass, field

from experiments import dqn, parts, run


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    objective: dqn.Prediction = "quantile"


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train QR-DQN (Dabney, Rowland, Bellemare and Munos, 2018)."""

    agent: Config = field(default_factory=Config)


check, make = dqn.check, dqn.make
ATARI = {"learning_rate": 5e-5, "adam_eps": 3.125e-4}
PRESETS: run.Presets = {
    "atari": parts.merge(parts.presets.DOPAMINE, **ATARI, quantiles=200, **parts.presets.PRIORITIES),
    "atari-classic": parts.merge(parts.presets.ZOO, **ATARI, quantiles=201),
}
"""`atari` has the settings of Dopamine's JAX agent, `atari-classic` of DQN Zoo's; see `experiments.parts.presets`."""

experiment = run.Experiment("qr_dqn", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
