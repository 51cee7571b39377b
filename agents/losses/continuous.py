"""Targets and losses of actor-critics that learn off policy: DDPG, TD3, SAC. Per step; leading axes are free.

Critics come as an ensemble: `q[E, ...]` holds the values of E critics. Means over steps are the agent's.
"""

import jax
import jax.numpy as jnp

from agents.base import Array, Key
from envs.extremes import least


def pessimistic_target(r_t: Array, discount_t: Array, q_t: Array, low: Array | float, high: Array | float) -> Array:
    """y = clip(rₜ + γₜ min_e q_e(xₜ, ã), low, high): TD3's clipped double Q-learning (arXiv:1802.09477, equation 10).

    With one critic it is DDPG's target. HER clips it to what returns can be (arXiv:1707.01495, section 4.4).

    Args:
      r_t: rewards `[...]`.
      discount_t: γ times the discount of the row, `[...]`.
      q_t: values of the target critics at t and the target policy's action there, `[E, ...]`.
      low: least possible return, -inf if unknown.
      high: largest possible return, inf if unknown.

    Returns:
      `[...]`; no gradient flows through it.
    """
    return jax.lax.stop_gradient(jnp.clip(r_t + discount_t * jnp.min(q_t, axis=0), low, high))


def smoothed_action(key: Key, a_t: Array, std: Array | float, limit: Array | float) -> Array:
    """ã = clip(a + clip(ε, ±c), ±1), ε ~ N(0, σ̃²): target policy smoothing (arXiv:1802.09477, equation 14).

    Args:
      key: of the noise.
      a_t: actions of the target policy, `[..., D]` in [-1, 1].
      std: σ̃.
      limit: c.
    """
    noise = jnp.clip(std * jax.random.normal(key, a_t.shape), -limit, limit)
    return jnp.clip(a_t + noise, -1.0, 1.0)


def limited_ascent(q_tm1: Array, slope_tm1: Array, a_tm1: Array, limit: Array | float) -> Array:
    """q, with clip(∂q/∂a, ±c) in place of its derivative by the action, entry by entry: Ape-X DPG's policy gradient.

    Horgan et al., "Distributed prioritized experience replay", ICLR 2018, appendix D.

    Args:
      q_tm1: values of the policy's actions, `[...]`.
      slope_tm1: ∂q/∂a there, `[..., D]`.
      a_tm1: the actions, `[..., D]`, of which gradients flow on into the policy.
      limit: c.

    Returns:
      Values `[...]`, equal to `q_tm1`.
    """
    slope = jax.lax.stop_gradient(jnp.clip(slope_tm1, -limit, limit))
    return jax.lax.stop_gradient(q_tm1) + jnp.sum(slope * (a_tm1 - jax.lax.stop_gradient(a_tm1)), axis=-1)


def soft_value(q_t: Array, log_prob_t: Array, temperature: Array | float) -> Array:
    """min_e q_e(xₜ, a) - α ln π(a|xₜ), a ~ π: a sample of SAC's soft value (arXiv:1812.05905, equations 3 and 7).

    The critics bootstrap from it, with the targets' q; the policy ascends it, with a reparameterised.

    Args:
      q_t: values of the critics at t and the action, `[E, ...]`.
      log_prob_t: ln π of the action, `[...]`.
      temperature: α.

    Returns:
      Values `[...]`.
    """
    return least(q_t, 0) - temperature * log_prob_t


def temperature_loss(log_temperature: Array, entropy_t: Array, target_entropy: Array | float) -> Array:
    """α (H - H̄): lowers the temperature where the policy is more random than asked (arXiv:1812.05905, equation 18).

    Args:
      log_temperature: ln α, a scalar.
      entropy_t: entropies `[...]`, or samples -ln π(a|xₜ) of them; no gradient flows into them.
      target_entropy: H̄.

    Returns:
      Losses `[...]`.
    """
    return jnp.exp(log_temperature) * (jax.lax.stop_gradient(entropy_t) - target_entropy)


def expected_soft_value(q_t: Array, logits_t: Array, temperature: Array | float) -> Array:
    """Σ_a π(a) (min_e q_e(xₜ, a) - α ln π(a)): `soft_value` in expectation, for discrete actions (arXiv:1910.07207).

    Args:
      q_t: values of the critics, `[E, ..., A]`.
      logits_t: of the policy, `[..., A]`.
      temperature: α.

    Returns:
      Values `[...]`.
    """
    log_prob = jax.nn.log_softmax(logits_t)
    return jnp.sum(jnp.exp(log_prob) * (least(q_t, 0) - temperature * log_prob), axis=-1)


def quadratic_advantage(mu: Array, lower: Array, action: Array) -> Array:
    """A(x, u) = -½ (u - μ)ᵀ L Lᵀ (u - μ): NAF's advantage, 0 at its best action μ (arXiv:1603.00748, section 4).

    Args:
      mu: μ, `[..., D]`.
      lower: L, `[..., D, D]`, lower triangular with a positive diagonal.
      action: u, `[..., D]`.

    Returns:
      Advantages `[...]`, never positive.
    """
    return -0.5 * jnp.sum(jnp.square(jnp.einsum("...ij,...i->...j", lower, action - mu)), axis=-1)
