"""The task on which single Q-learning overestimates (Sutton and Barto, 2nd edition, example 6.7).

From A, right ends with 0 and left leads to B, where each of ten actions ends with N(-0.1, 1). Left is never better.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from envs import keys

RUNS, EPISODES, ARMS, RATE, EPSILON = 600, 300, 10, 0.1, 0.1
A, B, END = 0, 1, 2
# Action values of A, B and the end; A has two actions, those beyond stand at -inf.
START = np.zeros((3, ARMS), np.float32)
START[A, 2:] = -1e9


@cache
def share_of_left(double: bool) -> np.ndarray:
    """The share of runs that go left from A, `[EPISODES]`."""

    def choose(key: Any, q: Any, num: int) -> Any:
        k_explore, k_random, k_tie = jax.random.split(key, 3)
        tied = q[:num] >= jnp.max(q[:num])
        best = jnp.argmax(jax.random.uniform(k_tie, (num,)) * tied)
        random = jax.random.randint(k_random, (), 0, num)
        return jnp.where(jax.random.uniform(k_explore) < EPSILON, random, best)

    def learn(tables: Any, state: int, action: Any, reward: Any, discount: Any, after: int, key: Any) -> Any:
        # With double learning one table is updated at a time: it chooses, the other one values.
        own = jax.random.bernoulli(key).astype(int) if double else 0
        other = 1 - own if double else 0
        q, q_value = tables[own], tables[other]
        args = (q[state], action, reward, discount)
        error = (
            losses.double_q_learning(*args, q_value[after], q[after]) if double else losses.q_learning(*args, q[after])
        )
        return tables.at[own, state, action].add(RATE * error)

    def episode(tables: Any, key: Any) -> Any:
        k_a, k_b, k_reward, k_1, k_2 = jax.random.split(key, 5)
        q = tables[0] + tables[1] if double else tables[0]
        left = choose(k_a, q[A], 2) == 0
        moved = learn(tables, A, jnp.where(left, 0, 1), jnp.float32(0), left.astype(jnp.float32), B, k_1)
        arm = choose(k_b, q[B], ARMS)
        reward = jax.random.normal(k_reward) - 0.1
        after = learn(moved, B, arm, reward, jnp.float32(0), END, k_2)
        return jnp.where(left, after, moved), left

    def run(key: Any) -> Any:
        return jax.lax.scan(episode, jnp.stack([START] * 2), jax.random.split(key, EPISODES))[1]

    return np.asarray(jax.jit(jax.vmap(run))(jax.random.split(keys.key(0), RUNS)).mean(axis=0))


def test_double_q_learning_soon_stops_going_left() -> None:
    left = share_of_left(True)
    assert left[17:22].mean() <= 0.35, left[17:22]
    assert left[-20:].mean() <= 0.1, left[-20:]


def test_single_q_learning_is_lured() -> None:
    left = share_of_left(False)
    assert left[17:22].mean() >= 0.85, left[17:22]
