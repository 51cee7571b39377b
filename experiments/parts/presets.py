"""What the presets of several commands have in common, and those of DQN; others stand in the files of the commands.

`atari` plays `atari/Pong`, or the game given by `--env`, under the sticky protocol with the hyper-parameters of
Dopamine's JAX agents; `atari-classic` plays under the classic one with DQN Zoo's. `envs.adapters.atari` defines both.
Counts are of the agent's steps, four frames each. Either way the network is Nature's with VALID padding, the optimiser
Adam, for DQN too, whose loss is squared (Dopamine's is δ², ours is ½δ², hence half its ε), there is one update per four
steps, and sixteen games side by side take the place of one. Layers begin orthogonal, where those codes draw them
otherwise, and evaluation is greedy, where they keep a small ε.

`atari-cpu` is for a few cores and an hour: the frames of the sticky protocol, longer returns, larger steps, and two
samples learned from for each step in place of eight.

`minatar` plays MinAtar's Breakout, or its Asterix by `--env`, on 32 games side by side, with half the samples of each
step that its authors learn from, in batches four times as large; DQN and Rainbow differ in Rainbow's parts alone.

`mujoco` is the setting of the authors of TD3 and SAC on `envpool/HalfCheetah-v4`, or the task given by `--env`, such as
`envpool/Hopper-v4` or a `-v5`: two layers of 256, batches of 256, one critic step per environment step. There is one
environment, as theirs; more of them and as many updates are faster on a GPU. `dm-control` is `mujoco` on
`envpool/CheetahRun-v1`, whose observations are dictionaries. `mountain-car` is MountainCarContinuous.
"""

from typing import Any

UNCLIPPED = 1e9
"""A norm that no gradient has."""


def merge(*parts: dict[str, Any], **agent: Any) -> dict[str, Any]:
    """One dict of several, later ones winning; keywords are flags of the agent."""
    merged: dict[str, Any] = {}
    for part in parts:
        merged |= part
    return merged | {f"agent.{name}": value for name, value in agent.items()}


RUN: dict[str, Any] = {
    "env": "atari/Pong",
    "steps": 50_000_000,
    "eval_episodes": 16,
    "keep": 1,  # a checkpoint holds the replay, 7 GB
}
CPU = RUN | {"env_options": ("protocol=sticky",), "steps": 1_000_000, "eval_every": 50_000, "eval_episodes": 8}
# DQN as it was first, whose target network is copied.
ORIGINAL: dict[str, Any] = {
    "layer_norm": False,
    "double": False,
    "n_step": 1,
    "unroll": 1,
    "updates": 4,
    "target_rate": 1.0,
}
REPLAY = merge(
    RUN | {"num_envs": 16},
    **ORIGINAL,
    hidden=(512,),
    batch_size=32,
    buffer_size=1_000_000,
    frames=4,
    epsilon_end=0.01,
    clip_rewards=True,
)
DOPAMINE = merge(
    REPLAY | {"env_options": ("protocol=sticky",)},
    max_grad_norm=UNCLIPPED,
    warmup=20_000,
    target_period=2_000,  # updates: 8,000 steps
    epsilon_steps=250_000,
)
ZOO = merge(
    REPLAY | {"env_options": ("protocol=classic",)},
    max_grad_norm=10.0,
    warmup=50_000,
    target_period=2_500,
    epsilon_steps=1_000_000,
)
ATOMS = {"atoms": 51, "v_min": -10.0, "v_max": 10.0}
PRIORITIES = {"n_step": 3, "priorities": "proportional"}

MINATAR = merge(
    {"env": "gymnax/Breakout-MinAtar", "steps": 1_000_000, "num_envs": 32, "eval_episodes": 64},
    **ORIGINAL,
    learning_rate=2.5e-4,
    adam_eps=1.5e-4,
    cnn="small",
    hidden=(128,),
    batch_size=128,
    warmup=5_000,
    target_period=250,  # updates: 2,000 steps
    epsilon_steps=100_000,
)

SQUARED = {"learning_rate": 6.25e-5, "adam_eps": 0.75e-4}
DQN: dict[str, dict[str, Any]] = {
    "atari": merge(DOPAMINE, **SQUARED),
    "atari-classic": merge(ZOO, **SQUARED),
    "minatar": MINATAR,
    "atari-cpu": merge(
        CPU | {"num_envs": 16, "checkpoint_every": 250_000},
        learning_rate=3e-4,
        adam_eps=0.75e-4,
        hidden=(256,),
        n_step=10,
        batch_size=32,
        buffer_size=200_000,
        frames=4,
        warmup=10_000,
        unroll=1,
        updates=1,
        target_period=500,
        target_rate=1.0,
        epsilon_end=0.01,
        epsilon_steps=100_000,
        clip_rewards=True,
    ),
}
"""`atari` has the settings of Dopamine's JAX agent, `atari-classic` those of DQN Zoo, `minatar` those of MinAtar's
authors; `atari-cpu` is for a few cores and an hour."""

OFF_POLICY = merge(
    {
        "env": "envpool/HalfCheetah-v4",
        "steps": 1_000_000,
        "num_envs": 1,
        "eval_every": 10_000,
        "eval_episodes": 10,
        "log_every": 2_000,
        "checkpoint_every": 100_000,
        "keep": 1,
    },
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
# Exploration that is correlated over time.
CORRELATED = {"noise": "ornstein-uhlenbeck", "sigma": 0.5}
