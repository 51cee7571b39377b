"""Pixels for the tasks' `render` functions, in jnp: coloured grids, segments and discs on an RGB frame.

Coordinates are (x, y) in units of the picture's height, x to the right and y upwards, with (0, 0) at its centre.
"""

import math

import jax.numpy as jnp

from envs.base import Array, Discrete, Space

WHITE = (255, 255, 255)
BLACK = (20, 20, 20)
GREY = (200, 200, 200)
BLUE = (31, 119, 180)
ORANGE = (255, 127, 14)
GREEN = (44, 160, 44)
RED = (214, 39, 40)

COLOURS = (BLUE, ORANGE, GREEN, RED, (148, 103, 189), (140, 86, 75), (227, 119, 194), (188, 189, 34), (23, 190, 207))
SIDE = 160  # pixels that the longer side of a small picture is brought to

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


def observed(space: Space, x: Array) -> Array:
    """An observation, for tasks that draw nothing: images as they are, planes as squares, numbers as columns.

    Args:
      space: of the observation.
      x: one of its elements. Of `[H, W, C]` with C other than 3, each channel has its colour, and the last one that is
        above its lower bound is seen; `[H, W]` is grey; all else is a column from bottom to top for each number, as
        high as it is between its bounds, or squashed where there are none.

    Returns:
      uint8 `[height, width, 3]`.
    """
    if isinstance(space, Discrete):
        return _columns((jnp.arange(space.num) == x).astype(jnp.float32))
    low, high = (jnp.broadcast_to(jnp.asarray(bound, jnp.float32), space.shape) for bound in (space.low, space.high))
    x = x.astype(jnp.float32)
    bounded = jnp.isfinite(low) & jnp.isfinite(high) & (high > low)
    part = (x - jnp.where(bounded, low, 0)) / jnp.where(bounded, high - low, 1)
    level = jnp.clip(jnp.where(bounded, part, 0.5 + 0.5 * x / (1 + abs(x))), 0, 1)
    if x.ndim not in (2, 3):
        return _columns(level.reshape(-1))
    if x.ndim == 2:
        level = level[..., None]
    if level.shape[-1] == 1 or level.shape[-1] == 3:
        frame = (255 * jnp.broadcast_to(level, (*level.shape[:2], 3))).astype(jnp.uint8)
    else:
        frame = canvas(level.shape[0], level.shape[1], BLACK)
        for channel in range(level.shape[-1]):
            frame = paint(frame, level[..., channel] > 0, COLOURS[channel % len(COLOURS)])
    scale = max(1, SIDE // max(level.shape[:2]))
    return jnp.repeat(jnp.repeat(frame, scale, axis=0), scale, axis=1)


def _columns(level: Array) -> Array:
    """Columns of heights `[n]` in [0, 1], 0 for none of the frame and 1 for all of it."""
    wide = math.ceil(SIDE / level.size)
    height = (SIDE - jnp.arange(SIDE) - 0.5)[:, None] / SIDE
    filled = jnp.repeat(height < level[None], wide, axis=1)
    gap = jnp.arange(wide * level.size)[None] % wide == wide - 1
    return paint(canvas(SIDE, wide * level.size), filled & ~gap, BLUE)
