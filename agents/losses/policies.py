"""Policy-gradient losses and what is reported with them, per step and elementwise: any shape in, the same shape out.

Masks and weights are applied once, by the agent; rlax's losses of the same names return means.
"""

import jax
import jax.numpy as jnp

from agents.base import Array


def policy_gradient(log_prob_t: Array, adv_t: Array) -> Array:
    """-ln π(aₜ|xₜ) Âₜ (Williams, 1992; Sutton et al., 2000). No gradient flows into the advantages.

    Args:
      log_prob_t: log-probabilities of the actions taken, `[...]`.
      adv_t: advantages `[...]`.

    Returns:
      Losses `[...]`.
    """
    return -log_prob_t * jax.lax.stop_gradient(adv_t)


def surrogate(log_prob_t: Array, behaviour_log_prob_t: Array, adv_t: Array) -> Array:
    """-ρₜ Âₜ with ρₜ = π(aₜ|xₜ) / μ(aₜ|xₜ): what TRPO (arXiv:1502.05477, equation 14) and PPO's penalty form minimise.

    Args:
      log_prob_t: log-probabilities of the actions taken, `[...]`.
      behaviour_log_prob_t: the same under the policy μ that took them, `[...]`; no gradient flows into them.
      adv_t: advantages `[...]`; nor into these.

    Returns:
      Losses `[...]`.
    """
    return -jnp.exp(log_prob_t - jax.lax.stop_gradient(behaviour_log_prob_t)) * jax.lax.stop_gradient(adv_t)


def adapted_penalty(cost: Array | float, kl: Array, target: Array | float) -> Array:
    """β for the next rollout: doubled if KL > 1.5 target, halved if KL < target / 1.5 (PPO, section 4).

    Args:
      cost: β of this rollout, a scalar.
      kl: mean KL(π_old ‖ π) after its last step, a scalar.
      target: the KL wanted.

    Returns:
      A scalar.
    """
    return jnp.where(kl > 1.5 * target, 2.0, jnp.where(kl < target / 1.5, 0.5, 1.0)) * cost


def clipped_surrogate(log_prob_t: Array, behaviour_log_prob_t: Array, adv_t: Array, epsilon: Array | float) -> Array:
    """-min(ρₜ Âₜ, clip(ρₜ, 1 - ε, 1 + ε) Âₜ) with ρₜ = π(aₜ|xₜ) / μ(aₜ|xₜ) (PPO, arXiv:1707.06347, equation 7).

    Args:
      log_prob_t: log-probabilities of the actions taken, `[...]`.
      behaviour_log_prob_t: the same under the policy μ that took them, `[...]`; no gradient flows into them.
      adv_t: advantages `[...]`; nor into these.
      epsilon: how far the ratio is followed.

    Returns:
      Losses `[...]`.
    """
    adv_t = jax.lax.stop_gradient(adv_t)
    ratio = jnp.exp(log_prob_t - jax.lax.stop_gradient(behaviour_log_prob_t))
    return -jnp.minimum(ratio * adv_t, jnp.clip(ratio, 1 - epsilon, 1 + epsilon) * adv_t)


def entropy(logits_t: Array) -> Array:
    """Entropy of softmax(logits), -Σ_a p ln p in nats, `[..., A] -> [...]`; a bonus, so subtract it from a loss.

    Logits of -inf count as probability 0. Distributions of `networks` have an `entropy` of their own.
    """
    log_probs = jax.nn.log_softmax(logits_t)
    probs = jnp.exp(log_probs)
    return -jnp.sum(probs * jnp.where(probs > 0, log_probs, 0.0), -1)


def approx_kl(log_prob_t: Array, behaviour_log_prob_t: Array) -> Array:
    """An unbiased, never negative sample of KL(μ ‖ π): ρ - 1 - ln ρ with ρ = π/μ (Schulman, "Approximating KL", k3).

    Args:
      log_prob_t: log-probabilities of the actions taken, `[...]`.
      behaviour_log_prob_t: the same under the policy μ that took them, `[...]`.

    Returns:
      `[...]`, in nats.
    """
    log_ratio = log_prob_t - behaviour_log_prob_t
    return jnp.expm1(log_ratio) - log_ratio


def clip_fraction(log_prob_t: Array, behaviour_log_prob_t: Array, epsilon: Array | float) -> Array:
    """1.0 where |ρ - 1| > ε and 0.0 elsewhere, with ρ = π/μ.

    Args:
      log_prob_t: log-probabilities of the actions taken, `[...]`.
      behaviour_log_prob_t: the same under the policy μ that took them, `[...]`.
      epsilon: as in `clipped_surrogate`.

    Returns:
      float32 `[...]`; its mean is the fraction.
    """
    ratio_m1 = jnp.expm1(log_prob_t - behaviour_log_prob_t)
    return (jnp.abs(ratio_m1) > epsilon).astype(jnp.float32)
