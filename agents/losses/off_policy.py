"""Targets from behaviour that is not the policy's: Q(λ), Retrace, its distributional form, V-trace; β-leave-one-out.

Targets are of one stream, with the conventions of `returns`: `r_t`, `discount_t` and whatever ends in `_t` are given
for rows 1, ..., T, so that entry t belongs to transition t, and `step_type` is that of all T+1 rows. Recursions stop at
termination, truncation, interruption and the end of the window, and all but termination bootstrap there. What is
returned for a transition that joins two episodes is 0. No gradient flows into targets.
"""

import jax
import jax.numpy as jnp
import rlax

from agents.base import Array
from agents.losses.distributional import categorical_projection
from agents.losses.returns import accumulated, boundaries, lambda_returns


def q_lambda_returns(
    r_t: Array, discount_t: Array, q_t: Array, step_type: Array, lambda_: Array | float = 1.0
) -> Array:
    """Peng's Q(λ): Gₜ = rₜ₊₁ + γₜ₊₁ [(1 - λₜ) max_a q(xₜ₊₁, a) + λₜ Gₜ₊₁] (Peng and Williams, 1996).

    Within an episode these are the targets of `rlax.q_lambda`, which cannot stop a recursion where γ is not 0.

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      q_t: action values of rows 1, ..., T, `[T, A]`.
      step_type: `[T+1]`.
      lambda_: a number, or `[T]`: 0 after actions that were not greedy makes it Watkins's.

    Returns:
      Returns `[T]`.
    """
    return lambda_returns(r_t, discount_t, jnp.max(q_t, axis=-1), step_type, lambda_)


def retrace_weights(a_t: Array, pi_t: Array, mu_t: Array, step_type: Array, lambda_: Array | float = 1.0) -> Array:
    """cₜ = λ min(1, π(aₜ|xₜ) / μ(aₜ|xₜ)) of rows 1, ..., T, and 0 where the recursion stops (arXiv:1606.02647).

    Args:
      a_t: actions taken from rows 1, ..., T, integers `[T]`.
      pi_t: probabilities of all actions under the policy, `[T, A]`.
      mu_t: those of the actions taken when they were taken, `[T]`.
      step_type: `[T+1]`.
      lambda_: how much of the trace to keep.

    Returns:
      `[T]`.
    """
    _, continues = boundaries(step_type)
    ratio = rlax.batched_index(pi_t, a_t) / jnp.maximum(mu_t, 1e-8)
    return lambda_ * continues * jnp.minimum(1.0, ratio)


def retrace_returns(
    r_t: Array,
    discount_t: Array,
    q_t: Array,
    a_t: Array,
    pi_t: Array,
    mu_t: Array,
    step_type: Array,
    lambda_: Array | float = 1.0,
) -> Array:
    """Retrace: Gₜ = rₜ₊₁ + γₜ₊₁ [Σ_a π(a|xₜ₊₁) q(xₜ₊₁, a) + cₜ₊₁ (Gₜ₊₁ - q(xₜ₊₁, aₜ₊₁))] (Munos et al., 2016).

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      q_t: action values of rows 1, ..., T, `[T, A]`.
      a_t: actions taken from them, integers `[T]`.
      pi_t: probabilities of all actions under the policy, `[T, A]`.
      mu_t: those of the actions taken when they were taken, `[T]`.
      step_type: `[T+1]`.
      lambda_: λ.

    Returns:
      Returns `[T]`.
    """
    valid, _ = boundaries(step_type)
    c_t = retrace_weights(a_t, pi_t, mu_t, step_type, lambda_)
    returns = rlax.general_off_policy_returns_from_action_values(q_t, a_t, r_t, discount_t, c_t, pi_t)
    return jax.lax.stop_gradient(jnp.where(valid, returns, 0.0))


def traces(log_pi_t: Array, log_mu_t: Array, step_type: Array, lambda_: Array | float = 1.0) -> Array:
    """cₜ = λ min(1, π(aₜ|xₜ) / μ(aₜ|xₜ)) as `retrace_weights`, of the log-probabilities or densities of what was done.

    Args:
      log_pi_t: under the policy, of rows 1, ..., T, `[T]`.
      log_mu_t: when the actions were taken, `[T]`.
      step_type: `[T+1]`.
      lambda_: how much of the trace to keep.

    Returns:
      `[T]`.
    """
    _, continues = boundaries(step_type)
    return lambda_ * continues * jnp.exp(jnp.minimum(0.0, log_pi_t - log_mu_t))


def retrace_from_values(r_t: Array, discount_t: Array, v_t: Array, q_t: Array, c_t: Array, step_type: Array) -> Array:
    """Retrace where the policy's values are known: Gₜ = rₜ₊₁ + γₜ₊₁ [v(xₜ₊₁) + cₜ₊₁ (Gₜ₊₁ - q(xₜ₊₁, aₜ₊₁))].

    With v(x) = Σ_a π(a|x) q(x, a) and the weights `traces` it is `retrace_returns`; with samples of v it serves
    continuous actions (Riedmiller et al., ICML 2018, section 4).

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      v_t: values of the policy at rows 1, ..., T, `[T]`.
      q_t: values of the actions taken from them, `[T]`.
      c_t: weights of `traces`, `[T]`, 0 where the recursion stops.
      step_type: `[T+1]`.

    Returns:
      Returns `[T]`, without gradient.
    """
    valid, _ = boundaries(step_type)
    errors = jnp.where(valid, r_t + discount_t * (v_t - c_t * q_t), 0.0)
    return jax.lax.stop_gradient(jnp.where(valid, accumulated(errors, discount_t * c_t), 0.0))


def vtrace(
    r_t: Array,
    discount_t: Array,
    rho_tm1: Array,
    v: Array,
    step_type: Array,
    lambda_: Array | float = 1.0,
    clip_rho: Array | float = 1.0,
    clip_pg_rho: Array | float = 1.0,
) -> tuple[Array, Array]:
    """V-trace (Espeholt et al., arXiv:1802.01561, section 4), with its recursion cut where episodes end.

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      rho_tm1: π(aₜ|xₜ) / μ(aₜ|xₜ) of the actions taken from rows 0, ..., T-1, `[T]`, not clipped.
      v: values of all rows, `[T+1]`.
      step_type: `[T+1]`.
      lambda_: a number or `[T]`.
      clip_rho: ρ̄ of the value targets.
      clip_pg_rho: ρ̄ of the policy gradient.

    Returns:
      Errors vₜ - V(xₜ), and advantages min(ρ̄, ρₜ) (rₜ₊₁ + γₜ₊₁ [(1 - λₜ) V(xₜ₊₁) + λₜ vₜ₊₁] - V(xₜ)), both `[T]`.
    """
    valid, continues = boundaries(step_type)
    delta = jnp.where(valid, r_t + discount_t * v[1:] - v[:-1], 0.0)
    factor = jnp.where(continues, lambda_ * discount_t, 0.0)
    errors = accumulated(jnp.minimum(clip_rho, rho_tm1) * delta, factor * jnp.minimum(1.0, rho_tm1))
    later = jnp.pad(errors[1:], (0, 1))
    return jax.lax.stop_gradient((errors, jnp.minimum(clip_pg_rho, rho_tm1) * (delta + factor * later)))


def categorical_retrace(
    z: Array,
    r_t: Array,
    discount_t: Array,
    probs_t: Array,
    a_t: Array,
    pi_t: Array,
    mu_t: Array,
    step_type: Array,
    lambda_: Array | float = 1.0,
) -> Array:
    """Distributional Retrace (Gruslys et al., "The Reactor", ICLR 2018, section 3.2).

    The target of transition t is a mixture over the rows t+n that it may bootstrap from, and over their actions:

        m_i = Σ_n Σ_a α_{n,a} Σ_j p_j(xₜ₊ₙ, a) h_i(z_j^n)      z_j^n = rₜ₊₁ + γₜ₊₁ rₜ₊₂ + ... + γₜ₊₁ ... γₜ₊ₙ z_j
        α_{n,a} = cₜ₊₁ ... cₜ₊ₙ₋₁ (π(a|xₜ₊ₙ) - 1{a = aₜ₊ₙ} cₜ₊ₙ)

    with h the projection onto the support. The weights sum to 1 and some are negative, so that masses may be too: where
    the support holds all z^n, the mean is that of `retrace_returns`, and neither clipping nor renormalising keeps it.
    Distributions are shifted from row to row as they are and projected once, as every projection adds variance.

    Args:
      z: the support `[K]`, ascending, equally spaced.
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      probs_t: return distributions of all actions at rows 1, ..., T, `[T, A, K]`.
      a_t: actions taken from them, integers `[T]`.
      pi_t: probabilities of all actions under the policy, `[T, A]`.
      mu_t: those of the actions taken when they were taken, `[T]`.
      step_type: `[T+1]`.
      lambda_: λ.

    Returns:
      Masses `[T, K]`, each row with the sum 1.
    """
    valid, _ = boundaries(step_type)
    c_t = retrace_weights(a_t, pi_t, mu_t, step_type, lambda_)
    taken = jnp.take_along_axis(probs_t, a_t[:, None, None], axis=1)[:, 0]
    fresh = jnp.sum(pi_t[..., None] * probs_t, axis=1) - c_t[:, None] * taken

    def back(later: tuple[Array, Array], row: tuple[Array, ...]) -> tuple[tuple[Array, Array], Array]:
        atoms, masses = later  # [T, K], one distribution per row that is bootstrapped from
        t, r, discount, c, mixture = row
        atoms = r + discount * atoms.at[t].set(z)
        masses = (c * masses).at[t].set(mixture)
        return (atoms, masses), categorical_projection(atoms.ravel(), masses.ravel(), z)

    rows = (jnp.arange(r_t.shape[0]), r_t, discount_t, c_t, fresh)
    _, target = jax.lax.scan(back, (jnp.zeros_like(fresh), jnp.zeros_like(fresh)), rows, reverse=True)
    return jax.lax.stop_gradient(jnp.where(valid[:, None], target, 0.0))


def beta_leave_one_out(
    pi_t: Array, a_t: Array, q_t: Array, return_t: Array, mu_t: Array, bound: Array | float = 1.0
) -> Array:
    """β-LOO policy gradient: -[β (Gₜ - q(xₜ, aₜ)) π(aₜ|xₜ) + Σ_a q(xₜ, a) π(a|xₜ)] (Gruslys et al., 2018, (2)).

    β = min(bound, 1 / μ(aₜ|xₜ)). With bound ∞ the gradient is unbiased (leave-one-out), with 0 it rests on the critic
    alone, and with 1 it is the published agent's, β = 1: less bias the larger the bound, and more variance.

    Args:
      pi_t: probabilities of all actions under the policy, `[..., A]`; the gradient flows into them alone.
      a_t: actions taken, integers `[...]`.
      q_t: action values `[..., A]`.
      return_t: returns of the actions taken, off-policy corrected, `[...]`.
      mu_t: probabilities of the actions taken when they were taken, `[...]`.
      bound: on β.

    Returns:
      Losses `[...]`.
    """
    beta = jnp.minimum(bound, 1 / jnp.maximum(mu_t, 1e-8))
    surprise = beta * (return_t - rlax.batched_index(q_t, a_t))
    taken = rlax.batched_index(pi_t, a_t)
    return -(jax.lax.stop_gradient(surprise) * taken + jnp.sum(jax.lax.stop_gradient(q_t) * pi_t, axis=-1))
