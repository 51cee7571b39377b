"""The blind cliff walk of Schaul et al. (2016), section 3.1: what prioritised replay is for.

Of n states in a row, one action leads on and the other ends the episode with nothing; only the n-th step pays, 1. The
replay holds the transitions of all 2^n sequences of actions, so that the one that pays is one of 2^(n+1) - 2, and
Q-learning from single transitions needs about as many updates until values have come back from it.
"""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, LAST, MID, Info, Step, TimeStep
from envs import keys

SEEDS, RATE, PRECISION = 5, 0.25, 1e-3


def walk(n: int) -> Step:
    """All transitions, each in a lane of its own: leaves [2, 2^(n+1) - 2]. The state after the last is n."""
    state = np.concatenate([np.repeat(i, 2 * 2 ** (n - 1 - i)) for i in range(n)]).astype(np.int32)
    on = np.concatenate([np.repeat([0, 1], 2 ** (n - 1 - i)) for i in range(n)]).astype(np.int32)
    paid = (on == 1) & (state == n - 1)
    over = (on == 0) | paid
    nothing = np.zeros_like(state)
    timestep = TimeStep(
        step_type=np.stack([nothing + FIRST, np.where(over, LAST, MID)]).astype(np.int8),
        reward=np.stack([nothing, paid]).astype(np.float32),
        discount=np.stack([nothing + 1, ~over]).astype(np.float32),
        observation=np.stack([state, np.where(over, n, state + 1)]),
    )
    return Step(timestep, np.stack([on, nothing]))


@cache
def updates(n: int, seeds: int = SEEDS, **settings: Any) -> np.ndarray:
    """Updates until the mean squared error of Q is below `PRECISION`, [seeds]."""
    steps, discount = walk(n), 1 - 1 / n
    rows = 2 * steps.action.shape[1]
    prioritised = settings.pop("prioritised", True)
    buffer = replay.prioritised(rows, 1, **settings) if prioritised else replay.uniform(rows, 1)
    true = np.zeros((n + 1, 2), np.float32)
    true[:n, 1] = discount ** np.arange(n - 1, -1, -1)

    def learn(key: Any) -> Any:
        def body(carry: tuple) -> tuple:
            q, state, count = carry
            sample = buffer.sample(state, jax.random.fold_in(key, count))
            (x_tm1, x_t), a_tm1 = sample.steps.timestep.observation[:, 0], sample.steps.action[0, 0]
            r_t, discount_t = sample.steps.timestep.reward[1, 0], discount * sample.steps.timestep.discount[1, 0]
            error = r_t + discount_t * jnp.max(q[x_t]) - q[x_tm1, a_tm1]
            state = buffer.feedback(state, sample.index, Info({}, jnp.abs(error)[None]))
            return q.at[x_tm1, a_tm1].add(RATE * error), state, count + 1

        def unfinished(carry: tuple) -> Any:
            return jnp.mean((carry[0] - true)[:n] ** 2) > PRECISION

        state = buffer.add(buffer.init(jax.tree.map(lambda x: jnp.asarray(x[0]), steps)), steps)
        return jax.lax.while_loop(unfinished, body, (jnp.zeros((n + 1, 2)), state, jnp.int32(0)))[2]

    return np.asarray(jax.jit(lambda k: jax.lax.map(learn, k))(keys.key(np.arange(seeds))))


def speed_up(n: int, **settings: Any) -> float:
    """Median number of updates with uniform replay, over that with prioritised replay."""
    return np.median(updates(n, prioritised=False)) / np.median(updates(n, **settings))


@pytest.mark.parametrize("rank", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_prioritised_replay_needs_a_fifth_of_the_updates(rank):
    assert speed_up(10, rank=rank) >= 5, (updates(10, rank=rank), updates(10, prioritised=False))


@pytest.mark.slow
def test_and_an_eighth_on_the_longer_walk():
    """A median over many seeds, which differ by a factor of three.

    Where all copies of a transition are replayed before there is anything to learn from it, they have to wait until ε
    has them drawn again.
    """
    prioritised, uniform = updates(12, 25), updates(12, 25, prioritised=False)
    assert np.median(uniform) / np.median(prioritised) >= 8, (prioritised, uniform)


def test_priorities_of_exponent_zero_do_not_help():
    assert 0.5 < speed_up(10, alpha=0.0) < 2
