"""Errors of values that are told for every cell of a map at once."""

import jax
import jax.numpy as jnp

from envs import grids
from envs.base import Array


def map_value_error(v: Array, target: Array, row: Array, column: Array, r: Array, discount: Array) -> Array:
    """δ = r + γ max_n v⁻(n) - v(s) of the cell s that was entered, n the cells beside it (Janner et al., 2018).

    The reward is that of entering s. At an end, where the discount is 0, nothing follows.

    Args:
      v: values of all cells, `[..., H, W]`.
      target: those that targets are read from, of the target network, `[..., H, W]`.
      row: of s, integers `[...]`.
      column: of s, integers `[...]`.
      r: rewards `[...]`.
      discount: γ times the discount of the row, `[...]`.

    Returns:
      Errors `[...]`; no gradient flows into the target.
    """
    following = jnp.max(grids.beside(target, -jnp.inf), axis=-1)
    return jax.lax.stop_gradient(r + discount * map_value(following, row, column)) - map_value(v, row, column)


def map_value(v: Array, row: Array, column: Array) -> Array:
    """v(s) of one cell of each map; arguments as for `map_value_error`, result `[...]`."""
    return grids.at(v, row, column)
