"""Presets of continuous control, for `--preset`; see `experiments.parts.presets`.

`mujoco` is the setting of the authors of TD3 and SAC on `envpool/HalfCheetah-v4`, or the task given by `--env`, such as
`envpool/Hopper-v4` or a `-v5`: two layers of 256, batches of 256, one critic step per environment step. DDPG and NAF
have it too, in place of their authors' of 2016, as in Fujimoto et al. (2018). There is one environment, as theirs;
more of them and as many updates are faster on a GPU. TD3's `mujoco-paper` is the setting of its published curves, those
of HalfCheetah; on the other tasks they have `--agent.warmup 1000`. `dm-control` is `mujoco` on `envpool/CheetahRun-v1`,
whose observations are dictionaries.
`mountain-car` is MountainCarContinuous: exploration is correlated over time, but for SAC's, which explores by its
entropy, with the zoo's settings but for a fourth of its updates per step.
"""

from typing import Any

from experiments.parts.presets import merge
from experiments.run.flags import Presets

RUN: dict[str, Any] = {
    "env": "envpool/HalfCheetah-v4",
    "steps": 1_000_000,
    "num_envs": 1,
    "eval_every": 10_000,
    "eval_episodes": 10,
    "log_every": 2_000,
    "checkpoint_every": 100_000,
    "keep": 1,
}
OFF_POLICY = merge(
    RUN,
    learning_rate=3e-4,
    hidden=(256, 256),
    batch_size=256,
    buffer_size=1_000_000,
    warmup=25_000,
    updates=1,
)
DETERMINISTIC = merge(OFF_POLICY, policy_learning_rate=3e-4, sigma=0.1)
SUITE = {"env": "envpool/CheetahRun-v1"}
MOUNTAIN = {"env": "envpool/MountainCarContinuous-v0", "steps": 300_000, "eval_episodes": 100}
CORRELATED = {"noise": "ornstein-uhlenbeck", "sigma": 0.5}

DDPG: Presets = {
    "mujoco": DETERMINISTIC,
    "dm-control": merge(DETERMINISTIC, SUITE),
    "mountain-car": merge(MOUNTAIN, **CORRELATED),
}
TD3: Presets = {
    "mujoco": merge(DETERMINISTIC, unroll=2),  # an update takes two critic steps
    "mujoco-paper": merge(
        DETERMINISTIC,
        unroll=2,
        hidden=(400, 300),
        batch_size=100,
        learning_rate=1e-3,
        policy_learning_rate=1e-3,
        warmup=10_000,
    ),
    "dm-control": merge(DETERMINISTIC, SUITE, unroll=2),
    "mountain-car": merge(MOUNTAIN, **CORRELATED),
}
SAC: Presets = {
    "mujoco": merge(OFF_POLICY, policy_learning_rate=3e-4, temperature_learning_rate=3e-4, warmup=10_000),
    "dm-control": merge(OFF_POLICY | SUITE, policy_learning_rate=3e-4, temperature_learning_rate=3e-4, warmup=10_000),
    "mountain-car": merge(
        MOUNTAIN | {"steps": 100_000},
        discount=0.9999,
        learning_rate=3e-4,
        policy_learning_rate=3e-4,
        temperature=0.1,
        automatic=False,
        batch_size=512,
        unroll=32,
        updates=32,
        target_rate=0.01,
    ),
}
NAF: Presets = {
    "mujoco": merge(OFF_POLICY, sigma=0.1),
    "dm-control": merge(OFF_POLICY | SUITE, sigma=0.1),
}
PRESETS: dict[str, Presets] = {"ddpg": DDPG, "td3": TD3, "sac": SAC, "naf": NAF}
"""By experiment."""
