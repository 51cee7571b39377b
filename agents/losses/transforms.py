"""Values on another scale: the invertible rescaling of R2D2 and temporal-difference errors that are taken in it.

h compresses returns of any size, so that one set of hyper-parameters serves tasks whose rewards were never clipped
(Pohlen et al., "Observe and look further", arXiv:1805.11593, proposition A.2).
"""

import jax.numpy as jnp
import rlax

from agents.base import FIRST, Array
from agents.losses.returns import n_step_returns


def signed_hyperbolic(x: Array, eps: float = 1e-3) -> Array:
    """h(x) = sgn(x) (√(|x| + 1) - 1) + ε x, elementwise.

    The root is taken as |x| / (√(|x| + 1) + 1), which does not cancel near 0.
    """
    return x / (jnp.sqrt(jnp.abs(x) + 1) + 1) + eps * x


def signed_parabolic(x: Array, eps: float = 1e-3) -> Array:
    """h⁻¹(x) = sgn(x) w (w + 2) with w = 2|x| / (b + √(b² + 4ε|x|)) and b = 1 + 2ε, elementwise.

    w = √(|h⁻¹(x)| + 1) - 1 is the positive root of ε w² + b w = |x|, in the form that subtracts nothing. The usual one,
    also rlax's, is (√(1 + 4ε(|x| + 1 + ε)) - 1) / 2ε for w + 1; in float32 it is off by 2.6e-4 for |x| <= 2.

    Args:
      x: values under h, any shape.
      eps: ε, at least 0.

    Returns:
      Values of the shape of `x`; h⁻¹(h(x)) is x up to a relative error of 6e-7 in float32.
    """
    b, x_abs = 1 + 2 * eps, jnp.abs(x)
    w = 2 * x_abs / (b + jnp.sqrt(b * b + 4 * eps * x_abs))
    return jnp.sign(x) * w * (w + 2)


IDENTITY_PAIR = rlax.IDENTITY_PAIR
"""No rescaling."""

SIGNED_HYPERBOLIC_PAIR = rlax.TxPair(signed_hyperbolic, signed_parabolic)
"""h and h⁻¹, for every function of rlax that takes a `tx_pair`."""


def transformed_n_step_q_learning(
    q_tm1: Array,
    a_tm1: Array,
    target_q_t: Array,
    a_t: Array,
    r_t: Array,
    discount_t: Array,
    step_type: Array,
    n: int,
    tx_pair: rlax.TxPair = SIGNED_HYPERBOLIC_PAIR,
) -> Array:
    """n-step Q-learning errors of values under h, over one stream that may hold several episodes.

    δₜ = h(rₜ₊₁ + γₜ₊₁ (rₜ₊₂ + … + γₜ₊ₙ h⁻¹(q'(xₜ₊ₙ, aₜ₊ₙ)))) - q(xₜ, aₜ)

    (Kapturowski et al., ICLR 2019, equation 1; rlax has it for one episode.) The sum stops where the episode ends, by
    termination, truncation or interruption, and at the end of the window, and bootstraps there.

    Args:
      q_tm1: action values of rows 0, ..., T-1, under h, `[T, A]`.
      a_tm1: actions taken there, integers `[T]`.
      target_q_t: action values q' of rows 1, ..., T that targets are read from, `[T, A]`.
      a_t: the action to read at each of these rows, integers `[T]`; argmax q(xₜ, ·) makes it double Q-learning.
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      step_type: of all rows, `[T+1]`.
      n: steps before bootstrapping, at least 1.
      tx_pair: h and its inverse.

    Returns:
      Errors `[T]`, with the gradient through `q_tm1` alone; 0 where a transition joins two episodes.

    Raises:
      ValueError: n is below 1.
    """
    v_t = tx_pair.apply_inv(rlax.batched_index(target_q_t, a_t))
    target_tm1 = tx_pair.apply(n_step_returns(r_t, discount_t, v_t, step_type, n))
    return jnp.where(step_type[1:] != FIRST, target_tm1 - rlax.batched_index(q_tm1, a_tm1), 0.0)
