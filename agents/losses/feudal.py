"""What a feudal hierarchy computes of directions: the manager's gradient, what the worker is paid, what it is told.

Vezhnevets et al., "FeUdal networks for hierarchical reinforcement learning" (FuN), ICML 2017. Of one stream that may
hold several episodes, with the conventions of `agents.losses.returns`: a window has rows 0, ..., T. Histories have c
rows more in front, those before the window. Batches: `vmap`, with `in_axes=1` for [T, B].
"""

import jax
import jax.numpy as jnp

from agents.base import FIRST, Array
from agents.losses.goals import direction_reward


def row_ages(step_type: Array, before: Array) -> Array:
    """How many rows of its episode came before each row, 0 where it is FIRST.

    Args:
      step_type: `[T]`.
      before: int32, that number for the row before the first one.

    Returns:
      int32 `[T]`.
    """
    row = jnp.arange(step_type.shape[0], dtype=jnp.int32)
    opened = jax.lax.cummax(jnp.where(step_type == FIRST, row, -1))
    return jnp.where(opened >= 0, row - opened, before + 1 + row)


def horizon_ends(step_type: Array, c: int) -> Array:
    """The last row that is reached from each within c steps, in its episode and in the window.

    Args:
      step_type: `[T+1]`.
      c: steps for which a goal is meant.

    Returns:
      int32 `[T]`, of rows 0, ..., T-1; a row that ends its episode is its own.
    """
    rows = step_type.shape[0]
    row = jnp.arange(rows, dtype=jnp.int32)
    opens = jax.lax.cummin(jnp.where(step_type == FIRST, row, rows), reverse=True)
    return jnp.minimum(row[:-1] + c, opens[1:] - 1)


def transition_policy_gradient(s: Array, g_t: Array, adv_t: Array, step_type: Array, c: int) -> Array:
    """-Âₜ cos(sₜ₊c - sₜ, gₜ), whose gradient is the manager's (equation 7).

    As if the direction in which states go in c steps were drawn around the goal, from a von Mises-Fisher distribution.
    No gradient flows into states. Where the episode or the window ends before c steps, the state there is taken.

    Args:
      s: states of all rows, `[T+1, D]`.
      g_t: goals of rows 0, ..., T-1, `[T, D]`; one of length 0 has neither loss nor gradient.
      adv_t: advantages `[T]`; no gradient flows into them.
      step_type: `[T+1]`.
      c: steps for which a goal is meant.

    Returns:
      Losses `[T]`, 0 for transitions that join two episodes.
    """
    s, adv_t = jax.lax.stop_gradient((s, adv_t))
    nowhere = jnp.all(g_t == 0, axis=-1)  # where a norm has no gradient
    directions = direction_reward(s[:-1], jnp.where(nowhere[:, None], 1.0, g_t), s[horizon_ends(step_type, c)])
    return -adv_t * jnp.where(nowhere, 0.0, directions)


def goal_intrinsic(s: Array, g: Array, age: Array) -> Array:
    """(1/c) Σ_{i=1}^{c} cos(sₜ - sₜ₋ᵢ, gₜ₋ᵢ), what the worker is paid for arriving in row t (equation 8).

    Args:
      s: states of the c rows before the window and of the window, `[c + T, D]`.
      g: goals, the same.
      age: rows of the episode before each row of the window, int32 `[T]`; terms that reach further back are 0.

    Returns:
      Rewards `[T]` in [-1, 1], without gradient.
    """
    rows, c = age.shape[0], s.shape[0] - age.shape[0]
    terms = (
        jnp.where(age >= i, direction_reward(s[c - i : c - i + rows], g[c - i : c - i + rows], s[c:]), 0.0)
        for i in range(1, c + 1)
    )
    return jax.lax.stop_gradient(sum(terms, jnp.zeros(rows)) / c)


def pooled_goals(g: Array, age: Array) -> Array:
    """Σ_{i=0}^{c} gₜ₋ᵢ, what the worker is told of goals; arguments as above, of goals before the episode none.

    Returns:
      `[T, D]`.
    """
    rows, c = age.shape[0], g.shape[0] - age.shape[0]
    terms = (jnp.where((age >= i)[:, None], g[c - i : c - i + rows], 0.0) for i in range(c + 1))
    return sum(terms, jnp.zeros((rows, g.shape[1])))
