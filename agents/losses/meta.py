"""Losses that can be differentiated more than once."""

import jax
import jax.numpy as jnp

from agents.losses.returns import boundaries
from envs.base import FIRST, Array


def dice(log_prob_t: Array, r_t: Array, b_t: Array, discount: Array | float, step_type: Array) -> Array:
    """-γᵗ (□(a₀..aₜ) rₜ₊₁ + (1 - □(aₜ)) bₜ) with the magic box □(·) = exp(Σ ln π - ⊥Σ ln π), which is 1.

    Foerster et al., "DiCE: The infinitely differentiable Monte-Carlo estimator", ICML 2018, equations 5 and 10. Summed
    over an episode it has minus the return as its value, and its derivatives of every order are unbiased estimates of
    those of the expected return. The baseline lowers the variance of the first.

    Args:
      log_prob_t: log-probabilities of the actions taken, `[T]`.
      r_t: rewards that followed, `[T]`.
      b_t: values that are expected of the rows, `[T]`; no gradient flows into them.
      discount: γ.
      step_type: of all rows, `[T+1]`; t counts from the FIRST row of an episode, or that of the window.

    Returns:
      Losses `[T]`, 0 where a transition joins two episodes.
    """
    valid, _ = boundaries(step_type)
    rows = jnp.arange(r_t.shape[0])
    start = jax.lax.cummax(jnp.where(step_type[:-1] == FIRST, rows, 0))
    own = jnp.where(valid, log_prob_t - jax.lax.stop_gradient(log_prob_t), 0.0)
    until = jnp.concatenate([jnp.zeros(1, own.dtype), jnp.cumsum(own)])
    box = jnp.exp(until[1:] - until[start])
    weight = jnp.power(jnp.asarray(discount, jnp.float32), rows - start)
    return jnp.where(valid, -weight * (box * r_t + (1 - jnp.exp(own)) * jax.lax.stop_gradient(b_t)), 0.0)
