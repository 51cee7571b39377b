"""ACER's policy gradient: truncated importance weights with bias correction, within a trust region. Elementwise."""

import jax
import jax.numpy as jnp

from agents.base import Array


def truncated_gradient(
    pi_t: Array, a_t: Array, q_t: Array, return_t: Array, mu_t: Array, bound: Array | float = 10.0
) -> Array:
    """ACER's policy gradient with respect to the probabilities (Wang et al., arXiv:1611.01224, equation 9).

    g_a = 1{a = aₜ} min(c, ρₜ) (Gₜ - v(xₜ)) / π(aₜ|xₜ) + [1 - c / ρ_a]₊ (q(xₜ, a) - v(xₜ))

    with ρ_a = π(a|xₜ) / μ(a|xₜ) and v = Σ_a π(a) q(a): importance weights truncated at c, and the critic in place of
    what truncation cut off. With exact q and E[Gₜ] = q(xₜ, aₜ), E_μ[g · ∇π] is the policy gradient whatever c is.

    Args:
      pi_t: probabilities of all actions under the policy, `[..., A]`.
      a_t: actions taken, integers `[...]`.
      q_t: action values `[..., A]`.
      return_t: returns of the actions taken, off-policy corrected, `[...]`.
      mu_t: probabilities of all actions when they were taken, `[..., A]`.
      bound: c; ∞ is plain importance sampling, 0 trusts the critic alone.

    Returns:
      An ascent direction `[..., A]`; no gradient flows into it.
    """
    rho = pi_t / jnp.maximum(mu_t, 1e-8)
    v = jnp.sum(pi_t * q_t, axis=-1, keepdims=True)
    taken = jax.nn.one_hot(a_t, pi_t.shape[-1])
    sampled = taken * jnp.minimum(bound, rho) * (return_t[..., None] - v) / jnp.maximum(pi_t, 1e-8)
    corrected = jnp.maximum(0.0, 1 - bound / jnp.maximum(rho, 1e-8)) * (q_t - v)
    return jax.lax.stop_gradient(sampled + corrected)


def trusted_gradient(g: Array, pi_t: Array, average_t: Array, delta: Array | float) -> Array:
    """The direction nearest to g whose first-order growth of KL(average ‖ π) is at most δ (ACER, equation 12).

    z = g - max(0, (k·g - δ) / k·k) k,    k = ∇_π KL(average ‖ π) = -average / π

    Args:
      g: an ascent direction in the probabilities, `[..., A]`.
      pi_t: probabilities under the policy, `[..., A]`.
      average_t: those under the average policy, `[..., A]`.
      delta: δ; ∞ for no trust region.

    Returns:
      `[..., A]`; no gradient flows into it.
    """
    k = -average_t / jnp.maximum(pi_t, 1e-8)
    excess = jnp.maximum(0.0, jnp.sum(k * g, axis=-1, keepdims=True) - delta)
    return jax.lax.stop_gradient(g - excess / jnp.sum(k * k, axis=-1, keepdims=True) * k)
