"""What weighs ∇ log π(aₜ|xₜ) in the policy gradient: the Ψₜ family of Schulman et al., arXiv:1506.02438, equation 1.

    total         Σ of all rewards of the episode                         any critic; the past is noise
    reward_to_go  Σ of the rewards from t on                              any critic
    baselined     Σ of the rewards from t on, minus V(xₜ)                 any critic: a baseline lowers the variance
    q             Q(xₜ, aₜ)                                               biased unless Q is right
    advantage     Q(xₜ, aₜ) - V(xₜ)                                       biased unless Q is right
    td            rₜ₊₁ + γₜ₊₁ V(xₜ₊₁) - V(xₜ)                             biased unless V is right
    gae           Σ_k (γλ)^k of the td from t on                          from td (λ = 0) to baselined (λ = 1)

Conventions of `returns`: one stream, rows 0, ..., T. Sums are discounted from their first reward; where the window or a
time limit cuts an episode, V stands for what is missing. As is usual, the factor γ^t of the state is dropped from all
but `total`, so that for γ < 1 it alone follows the gradient of the discounted return.
"""

from typing import Literal, get_args

import jax
import jax.numpy as jnp

from agents.base import Array
from agents.losses.policies import surrogate
from agents.losses.returns import boundaries, discounted_returns, gae

Psi = Literal["total", "reward_to_go", "baselined", "q", "advantage", "td", "gae"]


def total_returns(r_t: Array, discount_t: Array, v_t: Array, step_type: Array) -> Array:
    """The return of the whole episode, as far as it lies in the window, for each of its transitions.

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      v_t: values of rows 1, ..., T, `[T]`; only those of rows where an episode or the window ends count.
      step_type: `[T+1]`.

    Returns:
      Returns `[T]`, discounted from the first transition of the episode in the window.
    """
    valid, continues = boundaries(step_type)
    opens = jnp.concatenate([jnp.ones((1,), bool), ~continues[:-1]])
    opening = jax.lax.cummax(jnp.where(opens, jnp.arange(r_t.shape[0]), 0))
    return jnp.where(valid, discounted_returns(r_t, discount_t, v_t, step_type)[opening], 0.0)


def policy_weights(
    psi: Psi,
    r_t: Array,
    discount_t: Array,
    v: Array,
    step_type: Array,
    q_tm1: Array | None = None,
    lambda_: Array | float = 1.0,
) -> Array:
    """Ψₜ of each transition; no gradient flows into it.

    Args:
      psi: which member of the family.
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      v: values of all rows, `[T+1]`.
      step_type: `[T+1]`.
      q_tm1: values of the actions taken from rows 0, ..., T-1, `[T]`; needed by `q` and `advantage`.
      lambda_: λ of `gae`.

    Returns:
      `[T]`; 0 where a transition joins two episodes.

    Raises:
      ValueError: an unknown member, or one that needs action values and has none.
    """
    if psi not in get_args(Psi):
        raise ValueError(f"psi: {psi!r} must be one of {', '.join(get_args(Psi))}")
    valid, _ = boundaries(step_type)
    if psi == "total":
        weights = total_returns(r_t, discount_t, v[1:], step_type)
    elif psi in ("reward_to_go", "baselined"):
        weights = discounted_returns(r_t, discount_t, v[1:], step_type) - (v[:-1] if psi == "baselined" else 0.0)
    elif psi in ("td", "gae"):
        weights = gae(r_t, discount_t, 0.0 if psi == "td" else lambda_, v, step_type)
    elif q_tm1 is None:
        raise ValueError(f"psi: {psi!r} needs action values, q_tm1")
    else:
        weights = q_tm1 - (v[:-1] if psi == "advantage" else 0.0)
    return jax.lax.stop_gradient(jnp.where(valid, weights, 0.0))


Control = Literal["standard", "conservative", "aggressive", "none"]


def control(mode: Control, adv_t: Array, variate_t: Array) -> Array:
    """η of a control variate Ā, for the advantages Â - ηĀ (Q-Prop: Gu et al., arXiv:1611.02247, section 3.3).

    Args:
      mode: standard, 1; conservative, 1 where ÂĀ > 0 and else 0; aggressive, the sign of ÂĀ; none, 0.
      adv_t: Â, `[...]`.
      variate_t: Ā, `[...]`.

    Returns:
      `[...]`; no gradient flows into it.

    Raises:
      ValueError: an unknown mode.
    """
    if mode not in get_args(Control):
        raise ValueError(f"mode: {mode!r} must be one of {', '.join(get_args(Control))}")
    sign = jax.lax.stop_gradient(jnp.sign(adv_t * variate_t))
    constant = {"standard": jnp.ones_like(sign), "none": jnp.zeros_like(sign)}
    return {**constant, "conservative": jnp.maximum(sign, 0.0), "aggressive": sign}[mode]


def controlled_surrogate(
    log_prob_t: Array, behaviour_log_prob_t: Array, rest_t: Array, eta_t: Array, slope_t: Array, mean_t: Array
) -> Array:
    """-ρₜ (Âₜ - ηₜĀₜ) - ηₜ ∇ₐQ(xₜ, a)|_{a=μ_old}ᵀ μ(xₜ): what Q-Prop minimises (arXiv:1611.02247, equation 9).

    Its gradient at the old policy is that of `surrogate` with Âₜ, but for the sampling noise that Āₜ takes away.

    Args:
      log_prob_t: log-probabilities of the actions taken, `[...]`.
      behaviour_log_prob_t: the same under the policy that took them, `[...]`.
      rest_t: Âₜ - ηₜĀₜ, `[...]`, with Āₜ = ∇ₐQᵀ(aₜ - μ_old(xₜ)).
      eta_t: η, by `control`, `[...]`; in the units of `rest_t`, if that was rescaled.
      slope_t: ∇ₐQ at the old mean action, `[..., D]`.
      mean_t: μ(xₜ), the policy's mean action, `[..., D]`.

    Returns:
      Losses `[...]`; gradients flow into `log_prob_t` and `mean_t` alone.
    """
    known = jax.lax.stop_gradient(eta_t[..., None] * slope_t)
    return surrogate(log_prob_t, behaviour_log_prob_t, rest_t) - jnp.sum(known * mean_t, axis=-1)
