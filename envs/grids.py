"""Moves on a grid whose cells are rows and columns: what lies beside each cell, and how far it is to a goal."""

import jax
import jax.numpy as jnp

from envs.base import Array

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Up, down, left and right, as (rows, columns)."""


def beside(values: Array, outside: float) -> Array:
    """What lies one move away from each cell.

    Args:
      values: `[..., H, W]`.
      outside: the value beyond the edges.

    Returns:
      `[..., H, W, 4]`, in the order of `MOVES`.
    """
    rows, columns = values.shape[-2:]
    margin = [(0, 0)] * (values.ndim - 2) + [(1, 1), (1, 1)]
    wide = jnp.pad(values, margin, constant_values=outside)
    return jnp.stack([wide[..., 1 + i : 1 + i + rows, 1 + j : 1 + j + columns] for i, j in MOVES], -1)


def distances(walls: Array, goal: Array, most: int) -> Array:
    """Moves on a shortest path from every cell to the nearest goal.

    Args:
      walls: booleans `[..., H, W]`, cells that cannot be entered.
      goal: booleans of the same shape.
      most: moves that are looked ahead.

    Returns:
      int32 `[..., H, W]`; `most` + 1 in walls and where no path of `most` moves leads to a goal.
    """
    far = most + 1

    def sweep(_: Array, found: Array) -> Array:
        nearer = 1 + jnp.min(beside(found, far), axis=-1)
        return jnp.where(walls, far, jnp.minimum(found, nearer))

    return jax.lax.fori_loop(0, most, sweep, jnp.where(goal & ~walls, 0, far).astype(jnp.int32))


def moved(row: Array, column: Array, action: Array, walls: Array) -> tuple[Array, Array]:
    """The cell that a move leads to; walls and edges are not passed.

    Args:
      row: int32 `[]`, of where it starts.
      column: int32 `[]`.
      action: int32 `[]`, a move of `MOVES`.
      walls: booleans `[H, W]`.

    Returns:
      Row and column, int32 `[]`.
    """
    step = jnp.asarray(MOVES, jnp.int32)[action]
    to_row = jnp.clip(row + step[0], 0, walls.shape[0] - 1)
    to_column = jnp.clip(column + step[1], 0, walls.shape[1] - 1)
    free = ~walls[to_row, to_column]
    return jnp.where(free, to_row, row), jnp.where(free, to_column, column)


def one_of(numbers: Array, allowed: Array) -> Array:
    """One of the cells that are allowed, each as likely as another.

    Args:
      numbers: uniform random numbers `[H, W]`.
      allowed: booleans `[H, W]`; where there are none, the first cell is chosen.

    Returns:
      Row and column, int32 `[2]`.
    """
    cell = jnp.argmax(jnp.where(allowed, numbers, -1.0))
    return jnp.stack(jnp.divmod(cell, numbers.shape[1])).astype(jnp.int32)


def at(values: Array, row: Array, column: Array) -> Array:
    """The values of one cell of each map.

    Args:
      values: `[..., H, W, *rest]`, with the leading axes of `row`.
      row: integers `[...]`.
      column: integers `[...]`.

    Returns:
      `[..., *rest]`.
    """
    axes = row.ndim
    index = (row * values.shape[axes + 1] + column).reshape((*row.shape, *(1,) * (values.ndim - axes - 1)))
    flat = values.reshape((*values.shape[:axes], -1, *values.shape[axes + 2 :]))
    return jnp.take_along_axis(flat, index.astype(jnp.int32), axis=axes).squeeze(axes)
