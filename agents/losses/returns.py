"""Returns and advantages of one stream that may hold several episodes. Batches: `vmap`, with `in_axes=1` for [T, B].

A window has rows 0, ..., T; transition t leads from row t to row t+1. `r_t`, `discount_t` and `v_t` are given for rows
1, ..., T, as in rlax, so their entry t belongs to transition t; `discount_t` is γ times the discount of the row, hence
0 where the episode terminated there and not where it was truncated. `step_type` is that of all T+1 rows.

Two things are decided apart, for mixing them up is the commonest mistake of the field: whether a value is bootstrapped
(`discount_t`) and whether a recursion goes on (`boundaries`). What is returned for a transition that joins two episodes
is 0. Gradients are stopped unless `stop_target_gradients` is False.
"""

import jax
import jax.numpy as jnp
import rlax

from agents.base import FIRST, LAST, Array


def boundaries(step_type: Array) -> tuple[Array, Array]:
    """Which transitions are real, and across which rows a recursion may go on.

    Args:
      step_type: `[T+1]`.

    Returns:
      `valid[T]`, False where row t+1 is FIRST, so that transition t joins two episodes; and `continues[T]`, True where
      transition t+1 carries on the episode of transition t: both are valid, row t+1 is not LAST, and the window does
      not end there. Where `continues` is False, bootstrap at row t+1.
    """
    valid = step_type[1:] != FIRST
    follows = jnp.pad(valid[1:], (0, 1))  # not concatenate, which `vmap` with in_axes=1 would transpose for
    return valid, valid & follows & (step_type[1:] != LAST)


def accumulated(x: Array, factor: Array) -> Array:
    """yₜ = xₜ + fₜ yₜ₊₁, with 0 after the end: the recursion that all of these returns are.

    Args:
      x: `[T]`.
      factor: f, `[T]`.

    Returns:
      y, `[T]`.
    """

    def body(y: Array, each: tuple[Array, Array]) -> tuple[Array, Array]:
        y = each[0] + each[1] * y
        return y, y

    return jax.lax.scan(body, jnp.zeros_like(x[0]), (x, factor), reverse=True)[1]


def gae(
    r_t: Array,
    discount_t: Array,
    lambda_: Array | float,
    v: Array,
    step_type: Array,
    stop_target_gradients: bool = True,
) -> Array:
    """Generalised advantage estimates (Schulman et al., arXiv:1506.02438, equation 16).

    Âₜ = δₜ + γₜ₊₁ λₜ Âₜ₊₁ while the episode lasts, with δₜ = rₜ₊₁ + γₜ₊₁ v(xₜ₊₁) - v(xₜ). An episode that ends by
    truncation, an interruption (no LAST before the next FIRST) or the end of the window bootstraps from its last row.

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      lambda_: a number or `[T]`; entry t weighs what follows transition t.
      v: values of all rows, `[T+1]`.
      step_type: `[T+1]`.
      stop_target_gradients: whether to cut the gradient.

    Returns:
      Advantages `[T]`; added to `v[:-1]` they are the λ-returns.
    """
    valid, continues = boundaries(step_type)
    delta = jnp.where(valid, r_t + discount_t * v[1:] - v[:-1], 0.0)
    advantages = accumulated(delta, jnp.where(continues, lambda_ * discount_t, 0.0))
    return jax.lax.stop_gradient(advantages) if stop_target_gradients else advantages


def endless_gae(r_t: Array, discount: Array | float, lambda_: Array | float, v: Array, step_type: Array) -> Array:
    """Generalised advantages of rewards to which the ends of episodes mean nothing (Burda et al., 2019, section 2.3).

    What follows a LAST row is the FIRST of the next episode, in no time: their values are one value, that of FIRST, and
    the recursion goes on. Only the window's end bootstraps, from its last row.

    Args:
      r_t: rewards `[T]`; those of transitions that join two episodes do not count.
      discount: γ.
      lambda_: a number.
      v: values of all rows, `[T+1]`.
      step_type: `[T+1]`.

    Returns:
      Advantages `[T]`, without gradient.
    """
    valid = step_type[1:] != FIRST
    v = jnp.append(jnp.where(valid, v[:-1], v[1:]), v[-1])
    delta = jnp.where(valid, r_t + discount * v[1:] - v[:-1], 0.0)
    advantages = accumulated(delta, jnp.where(valid, lambda_ * discount, 1.0))
    return jax.lax.stop_gradient(jnp.where(valid, advantages, 0.0))


def lambda_returns(
    r_t: Array,
    discount_t: Array,
    v_t: Array,
    step_type: Array,
    lambda_: Array | float = 1.0,
    stop_target_gradients: bool = True,
) -> Array:
    """λ-returns: Gₜ = rₜ₊₁ + γₜ₊₁ [(1 - λₜ) vₜ₊₁ + λₜ Gₜ₊₁] (Sutton and Barto, 2nd edition, section 12.3).

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      v_t: values of rows 1, ..., T, `[T]`.
      step_type: `[T+1]`.
      lambda_: a number or `[T]`.
      stop_target_gradients: whether to cut the gradient.

    Returns:
      Returns `[T]`; every episode in the window bootstraps from its own last row.
    """
    valid, continues = boundaries(step_type)
    kept = jnp.where(continues, lambda_, 0.0)
    x = jnp.where(valid, r_t + discount_t * (1.0 - kept) * v_t, 0.0)
    returns = accumulated(x, discount_t * kept)
    return jax.lax.stop_gradient(returns) if stop_target_gradients else returns


def n_step_returns(
    r_t: Array,
    discount_t: Array,
    v_t: Array,
    step_type: Array,
    n: int,
    lambda_: Array | float = 1.0,
    stop_target_gradients: bool = True,
) -> Array:
    """n-step returns: Gₜ = rₜ₊₁ + γₜ₊₁ (rₜ₊₂ + … + γₜ₊ₙ vₜ₊ₙ), shorter where the episode or the window ends earlier.

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      v_t: values of rows 1, ..., T, `[T]`.
      step_type: `[T+1]`.
      n: steps before bootstrapping, at least 1.
      lambda_: a number or `[T]` below 1 mixes in the shorter returns, as in `lambda_returns`.
      stop_target_gradients: whether to cut the gradient.

    Returns:
      Returns `[T]`.

    Raises:
      ValueError: n is below 1.
    """
    if n < 1:
        raise ValueError(f"n: {n} must be at least 1")
    valid, continues = boundaries(step_type)
    n = min(n, r_t.shape[0])
    returns = rlax.n_step_bootstrapped_returns(r_t, discount_t, v_t, n, lambda_ * continues)
    returns = jnp.where(valid, returns, 0.0)
    return jax.lax.stop_gradient(returns) if stop_target_gradients else returns


def discounted_returns(
    r_t: Array, discount_t: Array, v_t: Array, step_type: Array, stop_target_gradients: bool = True
) -> Array:
    """Monte Carlo returns up to the end of the episode, or of the window, with v bootstrapped there.

    Args:
      r_t: rewards `[T]`.
      discount_t: γ times the discount of the row, `[T]`.
      v_t: values of rows 1, ..., T, `[T]`; only those of rows where an episode or the window ends count.
      step_type: `[T+1]`.
      stop_target_gradients: whether to cut the gradient.

    Returns:
      Returns `[T]`.
    """
    return lambda_returns(r_t, discount_t, v_t, step_type, 1.0, stop_target_gradients)
