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


make = dqn.make
experiment = run.Experiment("iqn", Flags, run.accept, make, parts.presets.IQN)
main = experiment.main

if __name__ == "__main__":
    main()
