"""Whether towers that learned from examples find the state that a sign means, of goals with examples and without."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
from agents import cdpr
from agents.base import Array, Key
from agents.common import optimisers
from envs import keys
from envs.tasks.sign_grid import Which, cells, sign_grid, signed

SIZE, NOISE, SIGNS = 6, 0.1, 20
"""Cells along a side, noise of signs, and signs of each goal that are tested."""
RATE = 3e-3
"""Step size of the towers at first; it falls linearly to 0."""
Kind = Literal["graded", "same", "untrained"]


@cache
def measured(kind: Kind, examples: int, updates: int) -> Callable[[Key], Array]:
    """From a key to whether the state that pays most is the true one, bool `[SIZE², SIGNS]`; compiled."""
    env, places = sign_grid(SIZE, "seen", NOISE), jnp.asarray(cells(SIZE), jnp.int32)
    space = env.spec.observation
    towers = cdpr.Towers(*(networks.Tower(space[name], 8, (128, 128)) for name in ("observation", "sign")))
    labels: cdpr.Labels = "same" if kind == "same" else "graded"
    learning = cdpr.Learning(0 if kind == "untrained" else updates, 128, labels, 1.0)
    optimiser = optimisers.adam(optax.linear_schedule(RATE, 0.0, updates))

    def test(key: Key) -> Array:
        k_state, k_goal, k_learn, k_sign = keys.split(key, 4)
        states, goals = (jax.vmap(env.reset)(jax.random.split(k, examples))[1].observation for k in (k_state, k_goal))
        shown = cdpr.Examples(
            states["observation"], states["achieved_goal"], goals["sign"], goals["desired_goal"]
        )  # fmt: skip
        params, _ = cdpr.learned(towers, shown, optimiser, learning, k_learn)
        pictures = jnp.eye(SIZE**2).reshape(-1, SIZE, SIZE)
        draws = jax.random.split(k_sign, (SIZE**2, SIGNS))
        drawn = jax.vmap(lambda ks, place: jax.vmap(lambda k: signed(k, place, NOISE))(ks))(draws, places)
        pays = jax.vmap(lambda picture: -cdpr.distances(towers, params, _alike(picture, drawn), drawn))(pictures)
        return jnp.argmax(pays, axis=0) == jnp.arange(SIZE**2)[:, None]

    return jax.jit(test)


def _alike(picture: Array, signs: Array) -> Array:
    """A picture beside each of the signs."""
    return jnp.broadcast_to(picture, (*signs.shape[:2], *picture.shape))


def best(
    seeds: Sequence[int], kind: Kind = "graded", goals: Which = "seen", examples: int = 20_000, updates: int = 12_000
) -> np.ndarray:
    """Of new signs, the share for which no state pays more than the one that is meant.

    Args:
      seeds: of examples, towers and signs.
      kind: of labels; "untrained" towers are as they were drawn.
      goals: that are tested: those that examples have shown, or those held out.
      examples: that are learned from, all of goals that are "seen".
      updates: of the towers.

    Returns:
      `[seeds]`.
    """
    every = cells(SIZE) @ (SIZE, 1)
    tested = np.isin(every, cells(SIZE, goals) @ (SIZE, 1))
    return np.array([np.asarray(measured(kind, examples, updates)(keys.key(s)))[tested].mean() for s in seeds])
