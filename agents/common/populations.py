"""Populations of runs that are copied from one another: who copies whom, and how what is copied is changed.

Population-based training (Jaderberg et al., 2017). The runs of a population lie along the first axis. All functions are
pure and of fixed shapes, so that a population is turned where it lies, on the devices.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key

RULES = ("truncation", "tournament", "t-test", "none")
LEVEL = 0.05
"""Two-sided level of Welch's test."""


class Bounds(NamedTuple):
    """Between what a number may lie."""

    low: float
    high: float


class Explore(NamedTuple):
    """How numbers that were copied are changed."""

    factors: tuple[float, ...] = (0.8, 1.2)
    """One of them multiplies each number."""
    resample: float = 0.0
    """Probability that a number is drawn anew in place of that."""
    noise: float = 0.0
    """Standard deviation of what is added to it."""


def drawn(key: Key, bounds: Bounds, shape: tuple[int, ...]) -> Array:
    """Numbers between bounds: uniform in the logarithm where both are positive, and uniform otherwise."""
    low, high = bounds
    share = jax.random.uniform(key, shape)
    found = low * (high / low) ** share if low > 0 else low + (high - low) * share
    return jnp.clip(found, low, high)


def ranked(scores: Array) -> Array:
    """The mean score of each member `[P]`, of scores `[P, E]`; minus infinity for one that is not finite."""
    means = jnp.mean(scores, axis=-1)
    return jnp.where(jnp.isfinite(means), means, -jnp.inf)


def truncation(key: Key, scores: Array, share: float = 0.2) -> Array:
    """The worst of a population copy members drawn from the best.

    Args:
      key: of the draws.
      scores: `[P, E]`, E of each member, whose mean ranks it.
      share: of the population that copies, and is copied from; one member at least.

    Returns:
      `[P]`, whom each member is to copy; itself where it goes on as it is.
    """
    members = scores.shape[0]
    number = max(1, int(share * members + 1e-6))
    means = ranked(scores)
    order = jnp.argsort(means)  # from worst to best
    worst, best = order[:number], order[members - number :]
    weights = jnp.where(jnp.isfinite(means[best]), 0.0, -jnp.inf)
    chosen = best[jax.random.categorical(key, jnp.where(jnp.any(weights == 0), weights, 0.0), shape=(number,))]
    return jnp.arange(members).at[worst].set(chosen)


def opponents(key: Key, members: int) -> Array:
    """Another member for each, `[P]`."""
    return (jnp.arange(members) + jax.random.randint(key, (members,), 1, members)) % members


def tournament(key: Key, scores: Array) -> Array:
    """Each member meets another one, and copies it if that has a better mean; as `truncation` otherwise."""
    members, means = scores.shape[0], ranked(scores)
    other = opponents(key, members)
    return jnp.where(means[other] > means, other, jnp.arange(members))


def t_test(key: Key, scores: Array) -> Array:
    """Each member meets another one, and copies it if that is better by Welch's test of their E scores."""
    members, means = scores.shape[0], ranked(scores)
    other = opponents(key, members)
    better = (means[other] > means) & (welch(scores, scores[other]) < LEVEL)
    lost = jnp.isfinite(means[other]) & ~jnp.isfinite(means)
    return jnp.where(better | lost, other, jnp.arange(members))


def welch(a: Array, b: Array) -> Array:
    """Two-sided p-value of Welch's test along the last axis, of which there are two numbers at least.

    Without any spread it is 0 where the means differ and 1 where they do not.
    """
    count_a, count_b = a.shape[-1], b.shape[-1]
    spread_a, spread_b = (jnp.var(x, axis=-1, ddof=1) / x.shape[-1] for x in (a, b))
    spread, gap = spread_a + spread_b, jnp.mean(b, axis=-1) - jnp.mean(a, axis=-1)
    sure = spread > 0
    safe = jnp.where(sure, spread, 1.0)
    parts = spread_a**2 / (count_a - 1) + spread_b**2 / (count_b - 1)
    freedom = jnp.where(sure, safe**2 / jnp.where(parts > 0, parts, 1.0), 1.0)
    found = jax.scipy.special.betainc(freedom / 2, 0.5, freedom / (freedom + gap**2 / safe))
    return jnp.where(sure, found, jnp.where(gap == 0, 1.0, 0.0))


def parents(rule: str, key: Key, scores: Array, share: float = 0.2) -> Array:
    """Whom each member is to copy, `[P]`, by one of RULES; by "none" everybody goes on.

    Args:
      rule: one of RULES.
      key: of the draws.
      scores: `[P, E]`.
      share: of truncation.

    Raises:
      ValueError: there is no such rule.
    """
    rules: dict[str, Callable[[], Array]] = {
        "truncation": lambda: truncation(key, scores, share),
        "tournament": lambda: tournament(key, scores),
        "t-test": lambda: t_test(key, scores),
        "none": lambda: jnp.arange(scores.shape[0]),
    }
    if rule not in rules:
        raise ValueError(f"rule {rule}: must be one of {', '.join(RULES)}")
    return rules[rule]()


def explored(key: Key, values: Array, bounds: Bounds, how: Explore) -> Array:
    """Numbers `[P]` after a change: multiplied by one of the factors or drawn anew, and held between the bounds."""
    k_factor, k_which, k_new, k_noise = jax.random.split(key, 4)
    factors = jnp.asarray(how.factors, values.dtype)[jax.random.randint(k_factor, values.shape, 0, len(how.factors))]
    fresh = jax.random.uniform(k_which, values.shape) < how.resample
    changed = values * factors + how.noise * jax.random.normal(k_noise, values.shape)
    return jnp.clip(jnp.where(fresh, drawn(k_new, bounds, values.shape), changed), *bounds)


def turn(
    key: Key,
    scores: Array,
    values: dict[str, Array],
    bounds: dict[str, Bounds],
    rule: str = "truncation",
    share: float = 0.2,
    how: Explore | None = None,
) -> tuple[Array, dict[str, Any]]:
    """One exploit and explore of a population: whom each member copies, and its numbers afterwards.

    Args:
      key: of all draws.
      scores: `[P, E]`.
      values: the numbers of the members by name, `[P]` each; those of members that copy are the copied ones, changed.
      bounds: of each number.
      rule: one of RULES.
      share: of truncation.
      how: numbers are changed; by default by the paper's factors.

    Returns:
      `(parents [P], values)`.
    """
    k_parents, k_explore = jax.random.split(key)
    parent = parents(rule, k_parents, scores, share)
    moved = parent != jnp.arange(scores.shape[0])
    keys = jax.random.split(k_explore, max(1, len(values)))
    after = {
        name: jnp.where(moved, explored(k, values[name][parent], bounds[name], how or Explore()), values[name])
        for name, k in zip(sorted(values), keys, strict=False)
    }
    return parent, after
