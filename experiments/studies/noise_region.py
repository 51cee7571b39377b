"""What is left of surprise where the world is random: half of the transitions follow a law, half are white noise."""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import MID, Step, TimeStep
from agents.common import bonuses
from envs import keys
from envs.base import Array, Box, Discrete, Key, Spec

SIZE, ACTIONS, COUNT = 4, 3, 256
SPEC = Spec("noise_region", Box((SIZE + 1,)), Discrete(ACTIONS))
"""An entry that tells the region, and numbers that are turned by the action in the one. In the other all are drawn."""


def transitions(key: Key) -> Step:
    """A window `[2, COUNT]`, the first half of which lies in the region with a law."""
    k_before, k_action, k_noise = jax.random.split(key, 3)
    lawful = (jnp.arange(COUNT) < COUNT // 2).astype(jnp.float32)[:, None]
    before = jax.random.normal(k_before, (COUNT, SIZE))
    action = jax.random.randint(k_action, (COUNT,), 0, ACTIONS)
    turned = jnp.take_along_axis(before, (jnp.arange(SIZE)[None] + action[:, None]) % SIZE, -1)
    told, follows = (jnp.concatenate([lawful, x], -1) for x in (before, turned))
    rows = jnp.stack([told, jnp.where(lawful > 0, follows, jax.random.normal(k_noise, (COUNT, SIZE + 1)))])
    zeros = jnp.zeros((2, COUNT))
    return Step(TimeStep(zeros.astype(jnp.int8) + MID, zeros, zeros + 1, rows), jnp.stack([action, action]))


def left(
    seeds: Sequence[int],
    kind: Literal["progress", "surprisal"] = "progress",
    region: Literal["noise", "law"] = "noise",
    updates: int = 600,
    over: Literal["first", "entropy"] = "first",
) -> np.ndarray:
    """The mean bonus in a region over the last 50 updates, over that in the first 50, in absolute value.

    Args:
      seeds: of model and transitions.
      kind: of bonus.
      region: where it is paid.
      updates: each of one window, whose bonuses are computed before it is learned from.
      over: what the bonus is divided by; "entropy" is that of the noise, which is what surprisal of it comes to where
        the model knows its distribution.

    Returns:
      `[seeds]`.
    """
    module = bonuses.surprise(SPEC, kind=kind, radius=1e-2)

    def run(key: Key) -> Array:
        k_init, k_run = jax.random.split(key)
        first = transitions(k_init)

        def step(state: object, key: Key) -> tuple[object, Array]:
            steps = transitions(key)
            before, after = (jax.tree.map(lambda x, i=i: x[i], steps) for i in (0, 1))
            params, past, _ = module.actor(state)
            bonus, _ = module.bonus(
                (params, past, jnp.float32(1)), (), before.timestep.observation, before.action, after.timestep
            )
            half = bonus[COUNT // 2 :] if region == "noise" else bonus[: COUNT // 2]
            return module.update(state, key, steps)[0], jnp.mean(half)

        state = module.init(k_init, jax.tree.map(lambda x: x[0], first.timestep))
        return jax.lax.scan(step, state, jax.random.split(k_run, updates))[1]

    found = [np.asarray(jax.jit(run)(keys.key(seed))) for seed in seeds]
    whole = {"first": lambda each: abs(each[:50].mean()), "entropy": lambda _: SIZE / 2 * np.log(2 * np.pi * np.e)}[
        over
    ]
    return np.array([abs(each[-50:].mean()) / whole(each) for each in found])
