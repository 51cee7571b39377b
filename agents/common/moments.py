"""Running means and variances of trees of arrays, merged exactly over devices."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Tree
from envs import parallel


class Moments(NamedTuple):
    """Running count, mean and centred second moment of a tree of arrays."""

    rows: Array
    mean: Tree
    m2: Tree


class Measured(NamedTuple):
    """An inner agent's state with the statistics that a wrapper keeps around it."""

    inner: Any
    moments: Moments


def fresh_moments(example: Tree) -> Moments:
    """Moments of nothing yet; `example` has the shape of one element."""
    zeros = jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.float32), example)
    return Moments(jnp.float32(0), zeros, jax.tree.map(jnp.copy, zeros))


def merge(moments: Moments, batch: Tree, mask: Array) -> Moments:
    """Adds the rows of `batch[T, N, ...]` where `mask[T, N]`, from all devices (Chan et al., 1979).

    The result does not depend on how the rows are spread over devices.
    """
    count = parallel.total(jnp.sum(mask, dtype=jnp.float32))
    total = moments.rows + count

    def spread(x: Array) -> Array:
        return jnp.reshape(mask, mask.shape + (1,) * (x.ndim - 2)).astype(jnp.float32)

    def mean_of(x: Array) -> Array:
        return parallel.total(jnp.sum(x * spread(x), axis=(0, 1))) / jnp.maximum(count, 1.0)

    batch = jax.tree.map(lambda x: x.astype(jnp.float32), batch)
    batch_mean = jax.tree.map(mean_of, batch)
    batch_m2 = jax.tree.map(lambda x, m: count * mean_of(jnp.square(x - m[None, None])), batch, batch_mean)
    share = count / jnp.maximum(total, 1.0)
    mean = jax.tree.map(lambda a, b: a + (b - a) * share, moments.mean, batch_mean)
    m2 = jax.tree.map(
        lambda a, b, am, bm: a + b + jnp.square(bm - am) * moments.rows * share,
        moments.m2, batch_m2, moments.mean, batch_mean,
    )  # fmt: skip
    return Moments(total, mean, m2)


def variance(moments: Moments) -> Tree:
    """Variance of each element; 1 until two rows were seen."""
    return jax.tree.map(lambda m2: jnp.where(moments.rows > 1, m2 / jnp.maximum(moments.rows, 1.0), 1.0), moments.m2)
