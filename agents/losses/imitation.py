"""Losses of learning from demonstrations, per step; every bound and sum is taken over actions alone."""

import jax
import jax.numpy as jnp

from envs.base import Array
from envs.extremes import greatest


def cloning(log_prob_tm1: Array) -> Array:
    """-ln π(a_{t-1}|x_{t-1}) of the demonstrated action, for any distribution (Pomerleau, 1989).

    Args:
      log_prob_tm1: `[...]`, log-probability or log-density of the demonstrated actions.

    Returns:
      The loss, `[...]`.
    """
    return -log_prob_tm1


def squared_cloning(mu_tm1: Array, a_tm1: Array) -> Array:
    """The mean over dimensions of (μ(x_{t-1}) - a_{t-1})², for policies that name one action.

    Args:
      mu_tm1: `[..., D]`, the policy's actions.
      a_tm1: `[..., D]`, the demonstrated ones.

    Returns:
      The loss, `[...]`.
    """
    return jnp.mean(jnp.square(mu_tm1 - a_tm1), axis=-1)


def large_margin(q_tm1: Array, a_tm1: Array, margin: float | Array = 0.8) -> Array:
    """max_a [q(xₜ₋₁, a) + m 1(a ≠ aₜ₋₁)] - q(xₜ₋₁, aₜ₋₁), 0 once what was demonstrated is best by m (arXiv:1704.03732).

    Args:
      q_tm1: action values, `[..., A]`.
      a_tm1: the demonstrated actions, integers `[...]`.
      margin: m.

    Returns:
      The loss, `[...]`.
    """
    demonstrated = jax.nn.one_hot(a_tm1, q_tm1.shape[-1], dtype=q_tm1.dtype)
    best = greatest(q_tm1 + margin * (1 - demonstrated), -1)
    return best - jnp.sum(demonstrated * q_tm1, axis=-1)
