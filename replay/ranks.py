"""Rank-based priorities without sorting.

P(i) ∝ rank(i)^-α (Schaul et al., 2016, section 3.3). The paper keeps an array that is sorted seldom, and so is
approximately right; a sort cannot be left out where many seeds are mapped over, and takes most of the time of a sample.
Here priorities are counted instead by the leading 15 bits of their float32, so those within 1.6 % of each other share
what their ranks have in all, which takes O(n), is never out of date and gives equal priorities equal chances.
"""

import jax
import jax.numpy as jnp

from envs.base import Array

BUCKETS = 1 << 14  # of floats that are not negative, in order
EXACT = 64  # ranks up to this one are added one by one, later ones by an integral


def masses(priority: Array, alpha: float | Array) -> Array:
    """rank^-α of each of n priorities, float32 `[n]`; those that share a bucket have the mean of their ranks'.

    Args:
      priority: float32 `[n]`; the largest has rank 1, and those that are 0 have no rank: their mass is 0.
      alpha: α.
    """
    alpha = jnp.asarray(alpha)
    bucket = BUCKETS - 1 - (jax.lax.bitcast_convert_type(priority, jnp.int32) >> 17)  # the highest first, 0 last
    count = jnp.zeros(BUCKETS, jnp.int32).at[bucket].add(1, mode="promise_in_bounds").at[-1].set(0)
    last = _sums(count)
    upto = summed(last, alpha)
    mean = (upto - jnp.roll(upto, 1).at[0].set(0.0)) / jnp.maximum(count, 1)
    # Where ranks in a bucket are close to each other the difference has few digits left, and the first terms around
    # their middle have them all.
    middle = last - (count - 1) / 2
    spread = alpha * (alpha + 1) / 24 * (count**2 - 1) / middle**2
    mass = jnp.where(count > 0, jnp.where(8 * count <= last, middle**-alpha * (1 + spread), mean), 0.0)
    # The minimum changes nothing; with a second use XLA keeps the masses of buckets, where it would otherwise work one
    # out anew for each priority.
    return jnp.minimum(mass.at[bucket].get(mode="promise_in_bounds"), jnp.max(mass))


def summed(ranks: Array, alpha: float | Array) -> Array:
    """The sum of r^-α over r = 1 ... R, elementwise.

    Above `EXACT` each term is the integral over r ± 1/2, which errs by less than α (α + 1) / (24 r²) of itself.

    Args:
      ranks: R, whole numbers from 0.
      alpha: α.
    """
    first = jnp.concatenate([jnp.zeros(1), jnp.cumsum(jnp.arange(1.0, EXACT + 1) ** -jnp.asarray(alpha))])
    power, below = 1.0 - jnp.asarray(alpha), EXACT + 0.5
    # ∫ x^-α dx from a to b is a^p ((b / a)^p - 1) / p, and near p = 0 the first terms of its series.
    ratio = (jnp.maximum(ranks, EXACT) + 0.5) / below
    near, log = jnp.abs(power) < 0.01, jnp.log(ratio)
    series = log * (1 + power * log / 2 * (1 + power * log / 3))
    grown = jnp.where(near, series, (ratio**power - 1) / jnp.where(near, 1.0, power))
    return jnp.where(ranks <= EXACT, first[jnp.minimum(ranks, EXACT)], first[EXACT] + below**power * grown)


def _sums(count: Array) -> Array:
    """The cumulative sum, in two levels, which costs a quarter of one long one."""
    rows = jnp.cumsum(count.reshape(-1, 256), axis=1)
    above = jnp.cumsum(rows[:, -1]) - rows[:, -1]
    return (rows + above[:, None]).reshape(-1)
