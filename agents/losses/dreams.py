"""What is learned from imagined trajectories: how much each of their steps counts, and how large their returns are.

Hafner et al., arXiv:1912.01603, arXiv:2010.02193 and arXiv:2301.04104. The returns themselves are
`agents.losses.lambda_returns`, for which every imagined row is within one episode.
"""

import jax
import jax.numpy as jnp

from agents.base import Array


def dream_weights(opening: Array, discount_t: Array) -> Array:
    """w_t = d_0 c_1 ... c_t: how likely an imagined step is to be reached at all, discounted.

    Args:
      opening: d_0, of the row that the trajectory begins at, `[N]`; 0 where the episode ended with it.
      discount_t: c_1, ..., c_H, discounts of the rows that were imagined, `[H, N]`.

    Returns:
      Weights of rows 0, ..., H - 1, `[H, N]`; no gradient flows out of them.
    """
    before = jnp.concatenate([opening[None], discount_t[:-1]])
    return jax.lax.stop_gradient(jnp.cumprod(before, 0))


def percentile_range(x: Array, low: float = 0.05, high: float = 0.95) -> Array:
    """The two quantiles of all entries of x, `[2]`, between which most of them lie (DreamerV3, section "Actor").

    Args:
      x: any shape; no gradient flows into it.
      low: share of the entries below the first, interpolated linearly.
      high: share of those below the second.
    """
    return jnp.quantile(jax.lax.stop_gradient(x).reshape(-1), jnp.array([low, high]))
