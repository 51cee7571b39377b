"""A second stream of rewards for actor-critics: what a bonus pays, with a discount and a value of its own.

Burda et al., "Exploration by random network distillation", ICLR 2019, section 2.3: bonuses are no part of the task, so
they may be worth something beyond the end of an episode, and be discounted otherwise. A network with two values learns

    A = w_E A_E + w_I A_I        L_V = ½ (Ĝ_E - V_E)² + ½ (Ĝ_I - V_I)²

where E is the reward of the task and I is `extras["bonus"]`, as `agents.common.curiosity.curious(..., apart=True)`
hands it on.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array, Step


class Stream(NamedTuple):
    """How the second stream is learned from, beside the first."""

    discount: float | Array = 0.99  # γ_I
    weight: float | Array = 1.0  # w_I
    extrinsic: float | Array = 2.0  # w_E
    ends: bool = False  # whether the ends of episodes end it too


def joined(steps: Step, value: Array, advantage: Array, stream: Stream, lambda_: float | Array) -> tuple[Array, Array]:
    """The advantages of both streams as one, and what their values learn.

    Args:
      steps: a window `[T+1, N]` with `extras["bonus"]`.
      value: V_E and V_I of its rows, `[T+1, N, 2]`.
      advantage: A_E, `[T, N]`.
      stream: the second one.
      lambda_: λ of its generalised advantage.

    Returns:
      A `[T, N]`, and targets `[T, N, 2]`.
    """
    arrived, bonus, own = steps.timestep, steps.extras["bonus"][1:], value[..., 1]
    if stream.ends:
        ending = jax.vmap(losses.gae, in_axes=(1, 1, None, 1, 1), out_axes=1)
        second = ending(bonus, stream.discount * arrived.discount[1:], lambda_, own, arrived.step_type)
    else:
        endless = jax.vmap(losses.endless_gae, in_axes=(1, None, None, 1, 1), out_axes=1)
        second = endless(bonus, stream.discount, lambda_, own, arrived.step_type)
    targets = jnp.stack([advantage, second], axis=-1) + value[:-1]
    return stream.extrinsic * advantage + stream.weight * second, targets


def first(values: Array, stream: Stream | None) -> Array:
    """Those of the first stream, `[..., 2] -> [...]`; without a second stream they are all that there is."""
    return values if stream is None else values[..., 0]


def summed(loss: Array, stream: Stream | None) -> Array:
    """The losses of both values as one, `[..., 2] -> [...]`; without a second stream as it is."""
    return loss if stream is None else jnp.sum(loss, axis=-1)
