"""TD3, which is `experiments.ddpg` with twin critics, smoothing and delay: `python -m experiments.td3 --help`."""

from dataclasses import dataclass, field

from experiments import ddpg, parts, run


@dataclass(frozen=True)
class Config(ddpg.Config):
    """Flags of the agent; those of `experiments.ddpg` with other defaults."""

    critics: run.Count = 2
    smoothing: run.NonNegative = 0.2
    delay: run.Count = 2
    updates: run.Count = 2


@dataclass(frozen=True)
class Flags(ddpg.Flags):
    """Train TD3 (Fujimoto, van Hoof and Meger, 2018)."""

    agent: Config = field(default_factory=Config)


make = ddpg.make
experiment = run.Experiment("td3", Flags, run.accept, make, parts.presets_control.TD3)
main = experiment.main

if __name__ == "__main__":
    main()
