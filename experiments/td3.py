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


check, make = ddpg.check, ddpg.make
PRESETS: run.Presets = {
    "mujoco": parts.merge(parts.presets.DETERMINISTIC, unroll=2),  # an update takes two critic steps
    "mujoco-paper": parts.merge(
        parts.presets.DETERMINISTIC,
        unroll=2,
        hidden=(400, 300),
        batch_size=100,
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        warmup=10_000,
    ),
    "dm-control": parts.merge(parts.presets.DETERMINISTIC, parts.presets.SUITE, unroll=2),
    "mountain-car": parts.merge(parts.presets.MOUNTAIN, **parts.presets.CORRELATED),
}
"""`mujoco` is the setting of the authors' code, and `dm-control` the same on the DeepMind Control Suite; see
`experiments.parts.presets`. `mujoco-paper` is the setting of the published curves, those of HalfCheetah; on the other
tasks they have `--agent.warmup 1000`."""

experiment = run.Experiment("td3", Flags, check, make, PRESETS)
main = experiment.main

if __name__ == "__main__":
    main()
