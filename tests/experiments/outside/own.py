"""A2C with another step size, as a system of my own."""

from dataclasses import dataclass, field

from experiments import a2c, run


@dataclass(frozen=True)
class Config(a2c.Config):
    """Flags of the agent."""

    bonus: run.NonNegative = 0.0
    """Added to every reward."""


@dataclass(frozen=True)
class Flags(run.Common):
    """Train my A2C."""

    env: str = "my_tasks:corridor"
    """The task."""
    agent: Config = field(default_factory=Config)


def make(config, spec, size):
    from agents.common import wrappers

    parts = a2c.make(config, spec, size)
    return parts._replace(agent=wrappers.rewards(parts.agent, lambda reward: reward + config.bonus))


experiment = run.Experiment("own", Flags, a2c.experiment.check, make)
main = experiment.main

if __name__ == "__main__":
    main()
