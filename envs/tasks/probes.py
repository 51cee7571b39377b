"""Five tasks so small that the right values are known, each of which fails for one class of bugs.

After Andy Jones, "Debugging reinforcement learning systems" (2021). An agent should pass them in this order; the first
one that fails says where to look: loss or optimiser; observations and their batching; discounting and bootstrapping;
the policy's or argmax's use of actions; and all of it together.

`answers(discount)` holds what every observation is worth, so that a test compares, not judges.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class Answer(NamedTuple):
    """The optimal values of a probe. State values are `q.max(1)`."""

    observations: np.ndarray  # float32 [N, 1], all that the agent can act in
    q: np.ndarray  # float32 [N, 2], of both discrete actions
    action: np.ndarray | None  # float32 [N, 1], the best continuous action, or None where actions do not matter


def answers(discount: float) -> dict[str, Answer]:
    """The exact values of each probe, by name.

    Args:
      discount: the agent's γ. Only `two_step` depends on it.

    Returns:
      Optimal action values. In `constant`, `observation` and `two_step` actions do not matter, and any policy has these
      values. With `continuous=True` the value of the observation x is 1 and that of the action a is
      `1 - (a - action)²`.
    """
    zero, signs = np.array([[0.0]], np.float32), np.array([[-1.0], [1.0]], np.float32)

    def both(*values: float) -> np.ndarray:
        return np.repeat(np.array(values, np.float32)[:, None], 2, axis=1)

    return {
        "constant": Answer(zero, both(1.0), None),
        "observation": Answer(signs, both(-1.0, 1.0), None),
        "two_step": Answer(np.array([[0.0], [1.0]], np.float32), both(discount, 1.0), None),
        "action": Answer(zero, np.array([[-1.0, 1.0]], np.float32), zero + 0.5),
        "both": Answer(signs, np.array([[1.0, -1.0], [-1.0, 1.0]], np.float32), 0.5 * signs),
    }


def constant() -> Environment:
    """One step, observation 0, reward 1. Value 1: can the agent regress to a constant?"""
    return _probe("constant", _zero, lambda x, _: jnp.ones_like(x))


def observation() -> Environment:
    """One step, observation -1 or 1, reward equal to it. Value x: does the observation reach the value function?"""
    return _probe("observation", _sign, lambda x, _: x)


def two_step() -> Environment:
    """Two steps, observations 0 then 1, reward 1 at the end. Values γ and 1: is the future discounted, and once?"""
    return _probe("two_step", _zero, lambda x, _: x, steps=2)


def action(continuous: bool = False) -> Environment:
    """One step, observation 0, reward 1 for action 1 and -1 for action 0. Does the agent prefer what pays?

    Args:
      continuous: one action in [-1, 1] instead, which pays `1 - (a - 0.5)²`.
    """
    reward = (lambda _, a: 1 - (a - 0.5) ** 2) if continuous else (lambda _, a: 2 * a - 1)
    return _probe("action", _zero, reward, continuous)


def both(continuous: bool = False) -> Environment:
    """One step, observation -1 or 1, reward 1 for action 0 at -1 and for action 1 at 1, else -1.

    Args:
      continuous: one action in [-1, 1] instead, which pays `1 - (a - 0.5 x)²`.
    """
    reward = (lambda x, a: 1 - (a - 0.5 * x) ** 2) if continuous else (lambda x, a: x * (2 * a - 1))
    return _probe("both", _sign, reward, continuous)


def _zero(key: Key) -> Array:
    del key
    return jnp.zeros((1,), jnp.float32)


def _sign(key: Key) -> Array:
    return 2 * (jax.random.bits(key, (1,)) >> 31).astype(jnp.float32) - 1


def _probe(
    name: str,
    opening: Callable[[Key], Array],
    reward: Callable[[Array, Array], Array],
    continuous: bool = False,
    steps: int = 1,
) -> Environment:
    """`reward(observation, action)` of what was acted in; the state is the observation, 1 more after each step."""

    def transition(key: Key, x: Array, a: Array) -> tuple[Array, Array, Array]:
        del key
        paid = reward(x, jnp.reshape(a, (1,)).astype(jnp.float32))[0]
        ended = jnp.bool_(True) if steps == 1 else x[0] == steps - 1
        return x + 1 if steps > 1 else x, paid, ended

    space = Box((1,), -1.0, 1.0) if continuous else Discrete(2)
    bounds = Box((1,), 0.0, float(steps)) if steps > 1 else Box((1,), -1.0, 1.0)
    return episodic(opening, transition, lambda x: x, Spec(name, bounds, space, steps))
