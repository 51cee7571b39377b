"""Losses for return distributions: categorical (C51), quantiles (QR-DQN, IQN), and Munchausen's soft targets.

Leading axes are free, as in `values`. Gradients flow through the prediction alone.
"""

import jax
import jax.numpy as jnp

from agents.base import Array


def categorical_projection(z_p: Array, probs: Array, z_q: Array) -> Array:
    """Projects a distribution on the atoms z_p onto the equidistant atoms z_q (C51: Bellemare et al., 2017, (7)).

    m_i = Σ_j [1 - |clip(z_p,j, z_q,1, z_q,K) - z_q,i| / Δz]₀¹ p_j. What lies on an atom stays there whole: written with
    floor and ceiling instead, the weights (u - b) and (b - l) are both 0 where l = u = b and the mass is lost.

    Args:
      z_p: `[..., J]`.
      probs: masses `[..., J]`; they may be signed, and the projection is linear in them.
      z_q: `[K]`, ascending, equally spaced, K at least 2.

    Returns:
      Masses `[..., K]` with the sum, and within the support the mean, of what was given.
    """
    # Each mass goes to the two atoms around it, which a scatter does J and not J K times.
    size = z_q.shape[0]
    place = (jnp.clip(z_p, z_q[0], z_q[-1]) - z_q[0]) * ((size - 1) / (z_q[-1] - z_q[0]))  # in atoms, [0, K - 1]
    lower = jnp.clip(jnp.floor(place).astype(jnp.int32), 0, size - 2)
    upwards = place - lower
    rows = jnp.arange(probs.size // probs.shape[-1], dtype=jnp.int32)[:, None] * size
    at = rows + lower.reshape(rows.size, -1)
    masses = jnp.zeros(rows.size * size, probs.dtype)
    for shift, share in ((0, 1 - upwards), (1, upwards)):
        masses = masses.at[at + shift].add((probs * share).reshape(at.shape), mode="promise_in_bounds")
    return masses.reshape(*probs.shape[:-1], size)


def categorical_cross_entropy(logits: Array, target: Array) -> Array:
    """-Σ_i m_i log p_i, the loss of C51.

    Args:
      logits: of p, `[..., K]`.
      target: masses m `[..., K]`; no gradient flows into them.

    Returns:
      Losses `[...]`.
    """
    return -jnp.sum(jax.lax.stop_gradient(target) * jax.nn.log_softmax(logits), axis=-1)


def entropy_of(masses: Array) -> Array:
    """-Σ_i m_i log m_i over the last axis, with 0 log 0 = 0; negative masses count nothing."""
    return -jnp.sum(jnp.where(masses > 0, masses * jnp.log(jnp.maximum(masses, 1e-30)), 0.0), axis=-1)


def quantile_huber(q_tm1: Array, tau_tm1: Array, target_tm1: Array, kappa: Array | float) -> Array:
    """Σ_i 1/N' Σ_j |τ_i - 1{u_ij < 0}| L_κ(u_ij) / κ with u_ij = target_j - q_i (QR-DQN: Dabney et al., 2018, (10)).

    Summed over what is predicted and averaged over the targets, and divided by κ as in IQN, so that it tends to
    quantile regression (κ = 0) as κ shrinks. With κ at the scale of the returns or above it fits expectiles instead.

    Args:
      q_tm1: predicted quantiles `[..., N]`.
      tau_tm1: their levels in (0, 1), `[..., N]` or `[N]`.
      target_tm1: samples or quantiles of the target, `[..., N']`; no gradient flows into them.
      kappa: where Huber's loss turns linear; 0 for the absolute value.

    Returns:
      Losses `[...]`.
    """
    u = jax.lax.stop_gradient(target_tm1)[..., None, :] - q_tm1[..., :, None]
    tau = jnp.broadcast_to(tau_tm1, q_tm1.shape)[..., :, None]
    weight = jnp.abs(tau - (jax.lax.stop_gradient(u) < 0))
    size = jnp.abs(u)
    safe = jnp.maximum(kappa, 1e-12)
    distance = jnp.where(size < kappa, 0.5 * jnp.square(u) / safe, size - 0.5 * jnp.asarray(kappa))
    return jnp.sum(jnp.mean(weight * distance, axis=-1), axis=-1)


def munchausen_bonus(q_tm1: Array, a_tm1: Array, temperature: Array | float, floor: Array | float = -1.0) -> Array:
    """[τ log π(a|x)] clipped to [l₀, 0], π = softmax(q / τ): Munchausen's addition to the reward, before its scale α.

    Vieillard, Pietquin and Geist, arXiv:2007.14430, (4) and section 3.1.

    Args:
      q_tm1: action values of the target network at t-1, `[..., A]`.
      a_tm1: actions taken there, integers `[...]`.
      temperature: τ.
      floor: l₀.

    Returns:
      `[...]`.
    """
    log_pi = jax.nn.log_softmax(q_tm1 / temperature)
    taken = jnp.sum(jnp.where(jax.nn.one_hot(a_tm1, q_tm1.shape[-1], dtype=bool), log_pi, 0.0), axis=-1)
    return jax.lax.stop_gradient(jnp.clip(temperature * taken, floor, 0.0))


def soft_policy(q_t: Array, temperature: Array | float) -> tuple[Array, Array]:
    """π = softmax(q / τ), `[..., A]`, and τ times its entropy, `[...]`: Σ_b π(b) (q_b - τ log π(b)) = π·q + τ H(π)."""
    log_pi = jax.nn.log_softmax(q_t / temperature)
    pi = jnp.exp(log_pi)
    return jax.lax.stop_gradient(pi), jax.lax.stop_gradient(-temperature * jnp.sum(pi * log_pi, axis=-1))
