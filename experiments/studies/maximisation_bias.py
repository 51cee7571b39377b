"""The task on which single Q-learning overestimates (Sutton and Barto, 2nd edition, example 6.7).

From A, right ends with 0 and left leads to B, where each of ten actions ends with N(-0.1, 1). Left is never better.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from envs import keys

if TYPE_CHECKING:
    from agents.base import Array
    from envs.base import Key

RUNS, EPISODES, ARMS, RATE, EPSILON = 600, 300, 10, 0.1, 0.1
A, B, END = 0, 1, 2
# Action values of A, B and the end; A has two actions, those beyond stand at -inf.
START = np.zeros((3, ARMS), np.float32)
START[A, 2:] = -1e9


def share_left(seeds: Sequence[int], double: bool = True, episode: int = 20) -> np.ndarray:
    """The share of 600 runs that go left at an episode; 0.05 is right with ε = 0.1.

    Args:
      seeds: of the 600 runs.
      double: double Q-learning on two tables, rather than Q-learning on one.
      episode: which, counted from 1.

    Returns:
      `[seeds]`.
    """
    return np.array([curve(seed, double)[episode - 1] for seed in seeds])


@cache
def curve(seed: int, double: bool) -> np.ndarray:
    """The share of runs that go left from A, `[EPISODES]`."""

    def choose(key: "Key", q: "Array", num: int) -> "Array":
        k_explore, k_random, k_tie = jax.random.split(key, 3)
        tied = q[:num] >= jnp.max(q[:num])
        best = jnp.argmax(jax.random.uniform(k_tie, (num,)) * tied)
        random = jax.random.randint(k_random, (), 0, num)
        return jnp.where(jax.random.uniform(k_explore) < EPSILON, random, best)

    def learn(
        tables: "Array", state: int, action: "Array", reward: "Array", discount: "Array", after: int, key: "Key"
    ) -> "Array":
        # With double learning one table is updated at a time: it chooses, the other one values.
        own = jax.random.bernoulli(key).astype(int) if double else 0
        other = 1 - own if double else 0
        q, q_value = tables[own], tables[other]
        args = (q[state], action, reward, discount)
        error = (
            losses.double_q_learning(*args, q_value[after], q[after]) if double else losses.q_learning(*args, q[after])
        )
        return tables.at[own, state, action].add(RATE * error)

    def episode(tables: "Array", key: "Key") -> "tuple[Array, Array]":
        k_a, k_b, k_reward, k_1, k_2 = jax.random.split(key, 5)
        q = tables[0] + tables[1] if double else tables[0]
        left = choose(k_a, q[A], 2) == 0
        moved = learn(tables, A, jnp.where(left, 0, 1), jnp.float32(0), left.astype(jnp.float32), B, k_1)
        arm = choose(k_b, q[B], ARMS)
        reward = jax.random.normal(k_reward) - 0.1
        after = learn(moved, B, arm, reward, jnp.float32(0), END, k_2)
        return jnp.where(left, after, moved), left

    def run(key: "Key") -> "Array":
        return jax.lax.scan(episode, jnp.stack([START] * 2), jax.random.split(key, EPISODES))[1]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(keys.key(seed), RUNS)).mean(axis=0))
