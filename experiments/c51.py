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


make = dqn.make
experiment = run.Experiment("c51", Flags, run.accept, make, parts.presets.C51)
main = experiment.main

if __name__ == "__main__":
    main()
