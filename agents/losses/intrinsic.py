"""Losses and bonuses of intrinsic motivation, per step. Bonuses are numbers: no gradient passes through them."""

import jax
import jax.numpy as jnp

from agents.base import Array


def prediction_error(prediction: Array, target: Array) -> Array:
    """The squared distance between predicted and true features, mean over features.

    With the features of a fixed random network it is RND's loss and, as a number, its bonus (Burda et al., 2019,
    section 2.2); with features of the next state it is the forward loss of a curiosity module (Pathak et al., 2017,
    eq. 5, which sums and halves).

    Args:
      prediction: `[..., F]`.
      target: `[..., F]`; whether its gradient is stopped is the caller's choice.

    Returns:
      `[...]`.
    """
    return jnp.mean(jnp.square(prediction - target), axis=-1)


def inverse_loss(logits: Array, a_tm1: Array) -> Array:
    """Cross-entropy of the action that led from one state to the next (Pathak et al., 2017, eq. 2-3).

    Args:
      logits: of the actions, predicted from both states, `[..., A]`.
      a_tm1: the action taken, integers `[...]`.

    Returns:
      `[...]`.
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), a_tm1[..., None], axis=-1)[..., 0]


def count_bonus(visits: Array) -> Array:
    """1 / √N, the bonus of MBIE-EB (Strehl and Littman, 2008, eq. 6), of states visited N times, this visit included.

    Args:
      visits: `[...]`, at least 1.

    Returns:
      `[...]`.
    """
    return jax.lax.rsqrt(jnp.maximum(visits.astype(jnp.float32), 1.0))
