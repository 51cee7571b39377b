"""Goals that a level of a hierarchy sets for the one below, as displacements: what becomes of them, what they pay, and
which goal would have made today's worker do what yesterday's did.

Nachum, Gu, Lee and Levine, "Data-efficient hierarchical reinforcement learning" (HIRO), NeurIPS 2018. States here are
the part of an observation that goals are about. Leading axes are free except where shapes are given.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key, Tree


def goal_transition(s_tm1: Array, g_tm1: Array, s_t: Array) -> Array:
    """h(sₜ₋₁, gₜ₋₁, sₜ) = sₜ₋₁ + gₜ₋₁ - sₜ: the same place, seen from the next state (section 3.2).

    Args:
      s_tm1: states at t-1, `[..., D]`.
      g_tm1: goals there, `[..., D]`.
      s_t: states at t, `[..., D]`.

    Returns:
      Goals at t, `[..., D]`.
    """
    return s_tm1 + g_tm1 - s_t


def goal_distance(s_tm1: Array, g_tm1: Array, s_t: Array) -> Array:
    """‖sₜ₋₁ + gₜ₋₁ - sₜ‖, with a gradient at 0; arguments as for `goal_transition`, result `[...]`."""
    return jnp.sqrt(jnp.sum(jnp.square(goal_transition(s_tm1, g_tm1, s_t)), axis=-1) + 1e-10)


def goal_reward(s_tm1: Array, g_tm1: Array, s_t: Array) -> Array:
    """What the lower level is paid: -‖sₜ₋₁ + gₜ₋₁ - sₜ‖ (equation 3); arguments as for `goal_transition`."""
    return -goal_distance(s_tm1, g_tm1, s_t)


def direction_reward(s_tm1: Array, g_tm1: Array, s_t: Array) -> Array:
    """What FuN pays for directions: the cosine between sₜ - sₜ₋₁ and gₜ₋₁ (Vezhnevets et al., ICML 2017, equation 8).

    Args:
      s_tm1: states at t-1, `[..., D]`.
      g_tm1: directions there, `[..., D]`; their lengths do not matter.
      s_t: states at t, `[..., D]`.

    Returns:
      Rewards `[...]` in [-1, 1].
    """
    move = s_t - s_tm1
    lengths = jnp.linalg.norm(move, axis=-1) * jnp.linalg.norm(g_tm1, axis=-1)
    return jnp.sum(move * g_tm1, axis=-1) / jnp.maximum(lengths, 1e-8)


def action_log_prob(mean: Array, a: Array, half_range: Array | float) -> Array:
    """-‖(a - μ) / half the actions' range‖², the log-likelihood by which goals are compared (released code).

    Args:
      mean: what the policy would do, `[..., A]`.
      a: what was done, `[..., A]`.
      half_range: number, or an array that broadcasts to them.

    Returns:
      `[...]`, up to a factor and a constant.
    """
    return -jnp.sum(jnp.square((a - mean) / half_range), axis=-1)


class Relabelled(NamedTuple):
    """A goal in place of another."""

    goal: Array  # [D]
    candidate: Array  # int32: 0 is the original goal, 1 the way that was gone, others were drawn around it


def goal_candidates(
    key: Key, goal: Array, move: Array, low: Array | float, high: Array | float, num: int = 8, spread: float = 0.5
) -> Array:
    """The original goal, the way that was gone, and `num` draws around that; all within the bounds (section 3.3).

    Args:
      key: of the draws.
      goal: `[D]`.
      move: s_{t+c} - s_t, `[D]`.
      low: bounds of goals, numbers or `[D]`.
      high: the upper ones.
      num: draws; the paper's 8 make 10 candidates.
      spread: their standard deviation, in halves of the range.

    Returns:
      `[2 + num, D]`.
    """
    low, high = jnp.broadcast_to(low, goal.shape), jnp.broadcast_to(high, goal.shape)
    noise = jax.random.normal(key, (num, *goal.shape)) * (spread * (high - low) / 2)[None]
    candidates = jnp.concatenate([goal[None], move[None], move[None] + noise])
    return jnp.clip(candidates, low[None], high[None])


def relabel_goals(
    log_prob_fn: Callable[[Tree, Array, Array], Array],
    observations: Tree,
    actions: Array,
    goal: Array,
    key: Key,
    *,
    low: Array | float,
    high: Array | float,
    states: Array | None = None,
    within: Array | None = None,
    num: int = 8,
    spread: float = 0.5,
) -> Relabelled:
    """Off-policy correction: the candidate under which the lower policy would most likely have done what was done.

        argmax_{g̃}  Σ_{i=t}^{t+c-1} log μ(a_i | s_i, g̃_i),      g̃_i = s_t + g̃ - s_i = h(s_{i-1}, g̃_{i-1}, s_i)

    Of one window; `vmap` it over a batch. The lower policy is the one of now, and actions pair with the states that
    they were taken in.

    Args:
      log_prob_fn: `(observations[c, ...], goals[c, D], actions[c, A]) -> [c]`, of the lower policy.
      observations: what the lower policy sees beside goals, `[c + 1, ...]`.
      actions: `[c, A]`.
      goal: the one that was set, `[D]`.
      key: of the candidates.
      low: bounds of goals, numbers or `[D]`.
      high: the upper ones.
      states: `[c + 1, D]`, the part of the observations that goals are about; by default their first D entries.
      within: booleans `[c]`, the steps that belong to the window where an episode ends in it; a run of True from the
        start. All by default.
      num: see `goal_candidates`.
      spread: the same.

    Returns:
      The goal to learn from in place of `goal`, without gradient.
    """
    steps = actions.shape[0]
    states = observations[..., : goal.shape[-1]] if states is None else states
    taken = jnp.ones(steps, bool) if within is None else within
    last = states[jnp.sum(taken)]
    candidates = goal_candidates(key, goal, last - states[0], low, high, num, spread)
    before = jax.tree.map(lambda x: x[:-1], observations)

    def likelihood(candidate: Array) -> Array:
        goals = goal_transition(states[:1], candidate[None], states[:-1])
        return jnp.sum(jnp.where(taken, log_prob_fn(before, goals, actions), 0.0))

    best = jnp.argmax(jax.vmap(likelihood)(candidates)).astype(jnp.int32)
    return jax.lax.stop_gradient(Relabelled(candidates[best], best))
