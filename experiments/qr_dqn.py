"""QR-DQN, which is `experiments.dqn` with another objective: `python -m experiments.qr_dqn --help`."""

from dataclasses import dataclass, field

from experiments import dqn, run
from experiments.parts import presets


@dataclass(frozen=True)
class Config(dqn.Config):
    """Flags of the agent; those of `experiments.dqn` with other defaults."""

    objective: dqn.Prediction = "quantile"


@dataclass(frozen=True)
class Flags(dqn.Flags):
    """Train QR-DQN (Dabney, Rowland, Bellemare and Munos, 2018)."""

    agent: Config = field(default_factory=Config)


make = dqn.make
main = run.main("qr_dqn", Flags, make, presets.QR_DQN)

if __name__ == "__main__":
    main()
