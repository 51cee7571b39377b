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


make = dqn.make
experiment = run.Experiment("qr_dqn", Flags, run.accept, make, parts.presets.QR_DQN)
main = experiment.main

if __name__ == "__main__":
    main()
