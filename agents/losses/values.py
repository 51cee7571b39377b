"""Temporal-difference errors and losses for values, per step.

Leading axes are free: a single transition, `[T]` and `[T, B]` all work, and the result is shaped like the rewards.
Errors are target minus prediction, with the gradient through the prediction alone.
"""

import jax
import jax.numpy as jnp
import rlax

from agents.base import Array


def q_learning(q_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, q_t: Array) -> Array:
    """Q-learning error: δ = rₜ + γₜ max_a q(xₜ, a) - q(xₜ₋₁, aₜ₋₁) (Watkins, 1989; rlax).

    Args:
      q_tm1: action values at t-1, `[..., A]`.
      a_tm1: actions taken there, integers `[...]`.
      r_t: rewards `[...]`.
      discount_t: γ times the discount of the row, `[...]`.
      q_t: action values at t, of the target network if there is one, `[..., A]`.

    Returns:
      Errors `[...]`.
    """
    return jnp.vectorize(rlax.q_learning, signature="(a),(),(),(),(a)->()")(q_tm1, a_tm1, r_t, discount_t, q_t)


def double_q_learning(
    q_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, q_t_value: Array, q_t_selector: Array
) -> Array:
    """Double Q-learning error: δ = rₜ + γₜ q(xₜ, argmax_a q'(xₜ, a)) - q(xₜ₋₁, aₜ₋₁) (arXiv:1509.06461; rlax).

    Args:
      q_tm1: action values at t-1, `[..., A]`.
      a_tm1: actions taken there, integers `[...]`.
      r_t: rewards `[...]`.
      discount_t: γ times the discount of the row, `[...]`.
      q_t_value: action values at t that the target is read from: the target network's, `[..., A]`.
      q_t_selector: action values q' at t that choose the action: the online network's, `[..., A]`.

    Returns:
      Errors `[...]`.
    """
    errors = jnp.vectorize(rlax.double_q_learning, signature="(a),(),(),(),(a),(a)->()")
    return errors(q_tm1, a_tm1, r_t, discount_t, q_t_value, q_t_selector)


def expected_sarsa(q_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, q_t: Array, pi_t: Array) -> Array:
    """Expected-Sarsa error: δ = rₜ + γₜ Σ_a π(a) q(xₜ, a) - q(xₜ₋₁, aₜ₋₁) (van Seijen et al., 2009; rlax).

    With a one-hot π this is Q-learning, plain or double.

    Args:
      q_tm1: action values at t-1, `[..., A]`.
      a_tm1: actions taken there, integers `[...]`.
      r_t: rewards `[...]`.
      discount_t: γ times the discount of the row, `[...]`.
      q_t: action values at t, of the target network if there is one, `[..., A]`.
      pi_t: probabilities of the next action, `[..., A]`.

    Returns:
      Errors `[...]`.
    """
    errors = jnp.vectorize(rlax.expected_sarsa, signature="(a),(),(),(),(a),(a)->()")
    return errors(q_tm1, a_tm1, r_t, discount_t, q_t, pi_t)


def squared(x: Array) -> Array:
    """½ x², elementwise."""
    return rlax.l2_loss(x)


def huber(x: Array, delta: float = 1.0) -> Array:
    """½ x² up to |x| = δ and δ (|x| - ½ δ) beyond, elementwise (Huber, 1964; rlax)."""
    return rlax.huber_loss(x, delta)


def clip_gradient(x: Array, low: float, high: float) -> Array:
    """x, with the gradient that flows back through it clipped to [low, high] elementwise (rlax).

    `squared(clip_gradient(x, -1, 1))` is DQN's "error clipping" and has the gradient of `huber(x)`.
    """
    return rlax.clip_gradient(x, low, high)


def value_loss(
    v_tm1: Array, target_tm1: Array, behaviour_v_tm1: Array | None = None, epsilon: Array | float | None = None
) -> Array:
    """½ (v - G)², or with PPO's clipping ½ max((v - G)², (v' + clip(v - v', ±ε) - G)²).

    Args:
      v_tm1: values `[...]`.
      target_tm1: returns G, `[...]`; no gradient flows into them.
      behaviour_v_tm1: values v' when the data was collected, `[...]`; needed for clipping.
      epsilon: how far v may move from v' before its gradient is cut; None for no clipping.

    Returns:
      Losses `[...]`.

    Raises:
      ValueError: one of `behaviour_v_tm1` and `epsilon` is given without the other.
    """
    if (behaviour_v_tm1 is None) != (epsilon is None):
        raise ValueError(f"epsilon: {epsilon} must be given together with behaviour_v_tm1, or neither")
    target_tm1 = jax.lax.stop_gradient(target_tm1)
    loss = squared(v_tm1 - target_tm1)
    if behaviour_v_tm1 is None or epsilon is None:
        return loss
    behaviour_v_tm1 = jax.lax.stop_gradient(behaviour_v_tm1)
    clipped_v = behaviour_v_tm1 + jnp.clip(v_tm1 - behaviour_v_tm1, -epsilon, epsilon)
    return jnp.maximum(loss, squared(clipped_v - target_tm1))
