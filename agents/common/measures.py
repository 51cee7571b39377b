"""What several agents tell of how they learn, beside their losses. The names of all metrics are in docs/design.md."""

import jax.numpy as jnp

from agents.base import Array
from envs import parallel


def explained_variance(value: Array, target: Array, mask: Array) -> Array:
    """1 - Var[G - V] / Var[G]: 1 for a critic that knows its targets, 0 for one no better than their mean.

    Args:
      value: V, `[T, N]`; no gradient should flow into it.
      target: G, `[T, N]`.
      mask: which of them count, `[T, N]`.

    Returns:
      A scalar over all devices; 0 where the targets do not vary, since a metric must be finite.
    """
    pair = (target, target - value)
    mean = parallel.mean(tuple(parallel.masked_mean(x, mask) for x in pair))
    squares = (jnp.square(x - m) for x, m in zip(pair, mean, strict=True))
    variance, unexplained = parallel.mean(tuple(parallel.masked_mean(x, mask) for x in squares))
    varies = variance > 1e-12 * jnp.square(mean[0])  # and not by rounding alone
    return jnp.where(varies, 1 - unexplained / jnp.where(varies, variance, 1.0), 0.0)
