"""Successor features: what a policy will meet, apart from what it is worth, per step.

With features φ(x, a, x') and a policy π, ψ(x, a) = E_π[φ_t+1 + γ φ_t+2 + ...]; where r = φᵀw, Q = ψᵀw.
"""

import jax
import jax.numpy as jnp

from agents.base import Array


def successor_error(psi_tm1: Array, phi_t: Array, discount_t: Array, psi_t: Array) -> Array:
    """The error of successor features: φₜ + γₜ ψ(xₜ, aₜ) - ψ(xₜ₋₁, aₜ₋₁) (Dayan, 1993; Barreto et al., 2017, eq. 4).

    The gradient passes through the prediction alone.

    Args:
      psi_tm1: ψ of the action taken at t-1, `[..., F]`.
      phi_t: features of the transition, `[..., F]`.
      discount_t: γ times the discount of the row, `[...]`.
      psi_t: ψ at t of the action that the policy takes there, or its expectation over the policy's, `[..., F]`.

    Returns:
      `[..., F]`.
    """
    target = phi_t + discount_t[..., None] * psi_t
    return jax.lax.stop_gradient(target) - psi_tm1


def improved_values(psi_t: Array, weights: Array) -> Array:
    """Generalised policy improvement: max over policies i of ψ_i(x, a)ᵀw (Barreto et al., 2017, theorem 1).

    Acting greedily by it is at least as good, on the task w, as each of the policies.

    Args:
      psi_t: successor features of n policies, `[..., n, A, F]`.
      weights: w, `[F]`.

    Returns:
      Action values `[..., A]`.
    """
    return jnp.max(psi_t @ weights, axis=-2)


def successor_bonus(psi_t: Array) -> Array:
    """The bonus 1 / ‖ψ(x)‖₁ for states that were met rarely (Machado, Bellemare and Bowling, 2020, section 4).

    While a representation that began at 0 is learned, its norm grows with the visits to the state.

    Args:
      psi_t: `[..., F]`.

    Returns:
      `[...]`, at most 1e3.
    """
    return 1.0 / jnp.maximum(jnp.sum(jnp.abs(psi_t), axis=-1), 1e-3)
