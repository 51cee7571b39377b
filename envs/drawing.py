"""Pixels for the tasks' `render` functions, in jnp: coloured grids, segments and discs on an RGB frame.

Coordinates are (x, y) in units of the picture's height, x to the right and y upwards, with (0, 0) at its centre.
"""

import jax.numpy as jnp

from envs.base import Array

WHITE = (255, 255, 255)
BLACK = (20, 20, 20)
GREY = (200, 200, 200)
BLUE = (31, 119, 180)
ORANGE = (255, 127, 14)
GREEN = (44, 160, 44)
RED = (214, 39, 40)

Colour = tuple[int, int, int]


def canvas(height: int, width: int, colour: Colour = WHITE) -> Array:
    """A frame of one colour, uint8 [height, width, 3]."""
    return jnp.broadcast_to(jnp.array(colour, jnp.uint8), (height, width, 3))


def paint(frame: Array, mask: Array, colour: Colour) -> Array:
    """`frame` with `colour` where `mask` [height, width] holds."""
    return jnp.where(mask[..., None], jnp.array(colour, jnp.uint8).reshape(1, 1, 3), frame)


def _coordinates(frame: Array) -> tuple[Array, Array]:
    height, width = frame.shape[:2]
    x = (jnp.arange(width) + 0.5 - width / 2) / height
    y = (height / 2 - jnp.arange(height) - 0.5) / height
    return x[None, :], y[:, None]


def rectangle(frame: Array, centre: tuple, size: tuple[float, float], colour: Colour) -> Array:
    """A filled rectangle; `size` is (width, height)."""
    x, y = _coordinates(frame)
    return paint(frame, (abs(x - centre[0]) <= size[0] / 2) & (abs(y - centre[1]) <= size[1] / 2), colour)


def segment(frame: Array, start: tuple, end: tuple, width: float, colour: Colour) -> Array:
    """A line with round ends from `start` to `end`; a disc where they coincide."""
    x, y = _coordinates(frame)
    dx, dy = end[0] - start[0], end[1] - start[1]
    along = ((x - start[0]) * dx + (y - start[1]) * dy) / jnp.maximum(dx * dx + dy * dy, 1e-12)
    along = jnp.clip(along, 0, 1)
    square = (x - start[0] - along * dx) ** 2 + (y - start[1] - along * dy) ** 2
    return paint(frame, square <= width * width / 4, colour)


def grid(cells: Array, colours: tuple[Colour, ...], scale: int = 16) -> Array:
    """A board of squares.

    Args:
      cells: int [rows, columns], indices into `colours`.
      colours: RGB of each index.
      scale: pixels per side of a square; the last row and column of each are white, as a grid line.

    Returns:
      uint8 [rows * scale, columns * scale, 3].
    """
    frame = jnp.array(colours, jnp.uint8)[cells]
    frame = jnp.repeat(jnp.repeat(frame, scale, axis=0), scale, axis=1)
    line = jnp.arange(frame.shape[0])[:, None] % scale == scale - 1
    return paint(frame, line | (jnp.arange(frame.shape[1])[None, :] % scale == scale - 1), WHITE)
