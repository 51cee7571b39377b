"""AWAC, which is `experiments.iql` without a value of states: `python -m experiments.awac --help`."""

from dataclasses import dataclass, field

from experiments import iql, parts, run


@dataclass(frozen=True)
class Config(iql.Config):
    """Flags of the agent; those of `experiments.iql` with other defaults."""

    inverse_temperature: run.NonNegative = 1.0
    explicit: bool = False
    anneal_policy: bool = False


@dataclass(frozen=True)
class Flags(run.Offline):
    """Train AWAC from recorded episodes (Nair, Gupta, Dalal and Levine, 2020)."""

    agent: Config = field(default_factory=Config)


check, make = iql.check, iql.make
PRESETS: run.Presets = {
    "locomotion": parts.merge({"updates": 1_000_000, "eval_episodes": 10}, inverse_temperature=3.0),
    "pendulum": parts.offline.PENDULUM,
    "cross": parts.merge(dict(iql.PRESETS["cross"]), inverse_temperature=10.0),
}
"""`locomotion` is CORL's setting on D4RL's locomotion tasks; `cross` is that of docs/results/awac.md,
`pendulum` that of docs/results/offline.md."""

experiment = run.Experiment("awac", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
