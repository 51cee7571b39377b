"""The blind cliff walk of Schaul et al. (2016), section 3.1: what prioritised replay is for.

Of n states in a row, one action leads on and the other ends the episode with nothing; only the n-th step pays, 1. The
replay holds the transitions of all 2^n sequences of actions, so that the one that pays is one of 2^(n+1) - 2, and
Q-learning from single transitions needs about as many updates until values have come back from it.
"""

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

import replay
from agents.base import FIRST, LAST, MID, Array, Info, Step, TimeStep, Tree
from envs import keys

if TYPE_CHECKING:
    from envs.base import Key

RATE, PRECISION = 0.25, 1e-3


def walk(n: int) -> Step:
    """All transitions, each in a lane of its own: leaves [2, 2^(n+1) - 2]. The state after the last is n."""
    state = np.concatenate([np.repeat(i, 2 * 2 ** (n - 1 - i)) for i in range(n)]).astype(np.int32)
    on = np.concatenate([np.repeat([0, 1], 2 ** (n - 1 - i)) for i in range(n)]).astype(np.int32)
    paid = (on == 1) & (state == n - 1)
    over = (on == 0) | paid
    nothing = np.zeros_like(state)
    timestep = TimeStep(
        step_type=jnp.stack([nothing + FIRST, np.where(over, LAST, MID)]).astype(jnp.int8),
        reward=jnp.stack([nothing, paid]).astype(jnp.float32),
        discount=jnp.stack([nothing + 1, ~over]).astype(jnp.float32),
        observation=jnp.stack([state, np.where(over, n, state + 1)]),
    )
    return Step(timestep, jnp.stack([on, nothing]))


def updates(seeds: Sequence[int], n: int = 10, prioritised: bool = True, **settings: Any) -> np.ndarray:
    """Updates until the mean squared error of Q is below `PRECISION`.

    Args:
      seeds: of the draws.
      n: length of the walk.
      prioritised: replay by priorities, rather than uniform.
      **settings: of `replay.prioritised`, such as `alpha` and `rank`.

    Returns:
      `[seeds]`.
    """
    return _updates(tuple(seeds), n, prioritised, **settings)


@cache
def _updates(seeds: tuple[int, ...], n: int, prioritised: bool, **settings: Any) -> np.ndarray:
    steps, discount = walk(n), 1 - 1 / n
    rows = 2 * steps.action.shape[1]
    buffer = replay.prioritised(rows, 1, **settings) if prioritised else replay.uniform(rows, 1)
    true = np.zeros((n + 1, 2), np.float32)
    true[:n, 1] = discount ** np.arange(n - 1, -1, -1)

    def learn(key: "Key") -> Array:
        def body(carry: tuple[Array, Tree, Array]) -> tuple[Array, Tree, Array]:
            q, state, count = carry
            sample = buffer.sample(state, jax.random.fold_in(key, count))
            (x_tm1, x_t), a_tm1 = sample.steps.timestep.observation[:, 0], sample.steps.action[0, 0]
            r_t, discount_t = sample.steps.timestep.reward[1, 0], discount * sample.steps.timestep.discount[1, 0]
            error = r_t + discount_t * jnp.max(q[x_t]) - q[x_tm1, a_tm1]
            state = buffer.feedback(state, sample.index, Info({}, jnp.abs(error)[None]))
            return q.at[x_tm1, a_tm1].add(RATE * error), state, count + 1

        def unfinished(carry: tuple[Array, Tree, Array]) -> Array:
            return jnp.mean((carry[0] - true)[:n] ** 2) > PRECISION

        state = buffer.add(buffer.init(jax.tree.map(lambda x: x[0], steps)), steps)
        return jax.lax.while_loop(unfinished, body, (jnp.zeros((n + 1, 2)), state, jnp.int32(0)))[2]

    return np.asarray(jax.jit(lambda k: jax.lax.map(learn, k))(keys.key(np.array(seeds))))
