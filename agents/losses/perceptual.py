"""Losses of two towers whose distance tells how like a state is to a goal that another domain shows; elementwise."""

from typing import Literal

import jax.numpy as jnp

from envs.base import Array

Form = Literal["distance", "likeness"]


def tower_distance(state_t: Array, goal_t: Array) -> Array:
    """‖f(x) - g(c)‖₂, whose gradient is 0 where both are the same.

    Args:
      state_t: f(x), `[..., D]`.
      goal_t: g(c), `[..., D]`.

    Returns:
      `[...]`.
    """
    square = jnp.sum(jnp.square(state_t - goal_t), axis=-1)
    apart = square > 0
    return jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


def graded_likeness(distance_t: Array, target_t: Array) -> Array:
    """½ (d - d*)²: how far apart state and goal are is told (Edwards et al., 2017, with graded labels).

    Args:
      distance_t: d, `[...]`.
      target_t: d*, `[...]`.

    Returns:
      Losses `[...]`.
    """
    return 0.5 * jnp.square(distance_t - target_t)


def margin_contrast(distance_t: Array, same_t: Array, margin: float | Array = 1.0) -> Array:
    """½ d² of a pair that is the same, ½ max(0, m - d)² of another (Hadsell, Chopra and LeCun, CVPR 2006, equation 4).

    Args:
      distance_t: d, `[...]`.
      same_t: boolean `[...]`.
      margin: m.

    Returns:
      Losses `[...]`.
    """
    return 0.5 * jnp.square(jnp.where(same_t, distance_t, jnp.maximum(margin - distance_t, 0.0)))


def perceptual_reward(distance_t: Array, form: Form = "distance") -> Array:
    """-d, or e^-d, which lies between 0 and 1.

    Args:
      distance_t: d of the state that was reached, `[...]`.
      form: "distance" or "likeness".

    Returns:
      Rewards `[...]`.
    """
    return -distance_t if form == "distance" else jnp.exp(-distance_t)
