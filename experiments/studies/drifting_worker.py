"""A leader whose worker has learned meanwhile: what the off-policy correction of HIRO is for.

The leader is a table of mean rewards of goals, from 4,000 walks of a worker of gain 0.1; then the worker has 0.5.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.base import LAST, Array, Tree
from envs import keys
from envs.tasks.drifting_worker import REACH, drifting_worker, worker

if TYPE_CHECKING:
    from envs.base import Key

LATER, WALKERS, BINS, TARGET = 0.5, 400, 40, 2.0


def led(seed: int, correction: bool) -> tuple[float, float]:
    """The goal that the leader sends the worker of gain 0.5 to, and how far from the target he gets."""
    k_goals, k_env, k_correct = jax.random.split(keys.key(seed), 3)
    env = drifting_worker(0.1, LATER, switch=10, target=TARGET)
    step = jax.jit(jax.vmap(env.step))
    state, _ = jax.jit(jax.vmap(env.reset))(jax.random.split(k_env, WALKERS))
    found: list[tuple[Any, ...]] = []
    for drawn in jax.random.uniform(k_goals, (20, WALKERS, 1), minval=-REACH, maxval=REACH):
        state, row = step(state, drawn)
        if row.step_type[0] == LAST:
            found.append((drawn, row.reward, row.observation["places"], row.observation["steps"]))
    goal, reward, places, steps = (np.concatenate(x) for x in zip(*found, strict=True))
    if correction:

        def log_prob(s: Array, g: Array, a: Array) -> jax.Array:
            return losses.action_log_prob(worker(LATER, g), a, 1.0)

        def one(place: Array, step: Array, goal: Array, key: "Key") -> Tree:
            return losses.relabel_goals(log_prob, place[:, None], step[:, None], goal, key, low=-REACH, high=REACH)

        each = jax.random.split(k_correct, len(goal))
        goal = np.asarray(jax.jit(jax.vmap(one))(places, steps, goal, each).goal)
    place = np.minimum(((goal[:, 0] + REACH) / (2 * REACH) * BINS).astype(int), BINS - 1)
    mean = np.array([reward[place == b].mean() if (place == b).any() else -np.inf for b in range(BINS)])
    best = float((mean.argmax() + 0.5) / BINS * 2 * REACH - REACH)
    _, row = step(state, jnp.full((WALKERS, 1), best))  # every lane has played ten episodes
    return best, float(np.abs(np.asarray(row.observation["observation"])[:, 0] - TARGET).mean())


def error(seeds: Sequence[int], correction: bool = True) -> np.ndarray:
    """How far from the target the worker ends, after his gain has risen from 0.1 to 0.5.

    Args:
      seeds: of the walks and the goals.
      correction: relabel old goals by what the worker of now would need, else learn from them as they were set.

    Returns:
      `[seeds]`.
    """
    return np.array([led(seed, correction)[1] for seed in seeds])
