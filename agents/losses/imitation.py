"""Losses of learning from demonstrations, per step; every bound and sum is taken over actions alone."""

import jax.numpy as jnp

from envs.base import Array


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
