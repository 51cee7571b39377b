"""Presets: named defaults of the experiments for `--preset`, one dictionary for each experiment.

`atari` plays `atari/Pong`, or the game given by `--env`, under the sticky protocol with the hyper-parameters of
Dopamine's JAX agents; `atari-classic` plays under the classic one with DQN Zoo's. `envs.adapters.atari` defines both.
Counts are of the agent's steps, four frames each. Either way the network is Nature's with VALID padding, the optimiser
Adam, for DQN too, whose loss is squared (Dopamine's is δ², ours is ½δ², hence half its ε), there is one update per four
steps, and sixteen games side by side take the place of one. Layers begin orthogonal, where those codes draw them
otherwise, and evaluation is greedy, where they keep a small ε.

`minatar` plays MinAtar's Breakout, or its Asterix by `--env`, on 32 games side by side, with half the samples of each
step that its authors learn from, in batches four times as large; DQN and Rainbow differ in Rainbow's parts alone.

`atari-cpu` is for a few cores and an hour: the frames of the sticky protocol, longer returns, larger steps, and two
samples learned from for each step in place of eight.
"""

from typing import Any

from experiments.run.flags import Presets

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
SQUARED = {"learning_rate": 6.25e-5, "adam_eps": 0.75e-4}
ATOMS = {"atoms": 51, "v_min": -10.0, "v_max": 10.0}
NOISY = {"sigma": 0.5, "epsilon_start": 0.0, "epsilon_end": 0.0, "epsilon_steps": 0}
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

DQN: Presets = {
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
C51: Presets = {
    "atari": merge(DOPAMINE, learning_rate=2.5e-4, adam_eps=3.125e-4, **ATOMS),
    "atari-classic": merge(ZOO, learning_rate=2.5e-4, adam_eps=3.125e-4, **ATOMS),
}
QR_DQN: Presets = {
    "atari": merge(DOPAMINE, learning_rate=5e-5, adam_eps=3.125e-4, quantiles=200, **PRIORITIES),
    "atari-classic": merge(ZOO, learning_rate=5e-5, adam_eps=3.125e-4, quantiles=201),
}
IQN: Presets = {
    "atari": merge(DOPAMINE, learning_rate=5e-5, adam_eps=3.125e-4, quantiles=64, n_step=3),
    "atari-classic": merge(
        ZOO, learning_rate=5e-5, adam_eps=3.125e-4, quantiles=64, max_grad_norm=UNCLIPPED, warmup=20_000
    ),
}
RAINBOW: Presets = {
    "atari": merge(DOPAMINE, learning_rate=6.25e-5, adam_eps=1.5e-4, double=True, **ATOMS, **PRIORITIES, **NOISY),
    "atari-classic": merge(
        ZOO, learning_rate=6.25e-5, adam_eps=1.5625e-4, double=True, warmup=20_000, target_period=2_000,
        **ATOMS, **PRIORITIES, **NOISY,
    ),
    "minatar": merge(MINATAR, double=True, **ATOMS, **PRIORITIES, **NOISY),
}  # fmt: skip

PQN: Presets = {
    name: merge(
        RUN | {"num_envs": 128, "env_options": (f"protocol={protocol}",)},
        learning_rate=2.5e-4,
        anneal=False,
        hidden=(512,),
        q_lambda=0.65,
        epsilon_end=0.001,
        epsilon_fraction=0.1,
        unroll=32,
        epochs=2,
        minibatches=32,
        reward_scale=1.0,
        clip_rewards=True,
    )
    for name, protocol in (("atari", "sticky"), ("atari-classic", "classic"))
} | {
    "atari-cpu": merge(
        CPU | {"num_envs": 32},
        learning_rate=5e-4,
        hidden=(256,),
        q_lambda=0.65,
        epsilon_end=0.01,
        epsilon_fraction=0.1,
        unroll=32,
        epochs=2,
        minibatches=16,
        reward_scale=1.0,
        clip_rewards=True,
    )
}
"""`atari` is its paper's; layers are normalised after the convolutions alone."""

# The paper's protocol is the classic one without the loss of lives. It has 256 actors and 4 M frames, and does not say
# how often it learns: here each step is replayed twice.
R2D2: Presets = {
    name: merge(
        RUN | {"num_envs": 64, "env_options": options},
        learning_rate=1e-4,
        anneal=False,
        adam_eps=1e-3,
        discount=0.997,
        hidden=(512,),
        memory_size=512,
        head=(512,),
        burn_in=40,
        length=80,
        stride=40,
        n_step=5,
        batch_size=64,
        buffer_size=500_000,
        frames=4,
        warmup=50_000,
        unroll=40,
        updates=1,
        target_period=2_500,
        epsilon_start=0.4,
        epsilon_end=0.4,
    )
    for name, options in (
        ("atari", ("protocol=sticky",)),
        ("atari-classic", ("protocol=classic", "zero_discount_on_life_loss=false", "full_action_space=true")),
    )
}

PRESETS: dict[str, Presets] = {
    "dqn": DQN,
    "c51": C51,
    "qr_dqn": QR_DQN,
    "iqn": IQN,
    "rainbow": RAINBOW,
    "pqn": PQN,
    "r2d2": R2D2,
}
"""By experiment."""
