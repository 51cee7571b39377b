"""A grid with a television that shows white noise, all the time or at the touch of a remote control.

After the noisy television of Burda et al., "Large-scale study of curiosity-driven learning", ICLR 2019, section 5: what
cannot be predicted holds an agent that is paid for what it mispredicts, and more so if it can bring it about itself.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))  # up, down, left, right, and the remote control
Television = Literal["off", "always", "remote"]


class State(NamedTuple):
    """The cell, int32, and what is on the screen."""

    row: Array
    column: Array
    screen: Array  # [pixels]


def noisy_tv(
    size: int = 8, television: Television = "remote", pixels: int = 16, reward: bool = False, time_limit: int = 100
) -> Environment:
    """Moves in four directions from the upper left corner; the fifth action is the remote control.

    Args:
      size: cells along a side, at least 2.
      television: "off", where the screen is dark and the remote control does nothing; "always", with a new picture at
        every step; "remote", with one whenever the remote control is used.
      pixels: of the screen, each uniform in [0, 1].
      reward: whether the lower right corner pays 1 and ends the episode.
      time_limit: steps.

    Returns:
      Observation float32: the row, one-hot; the column, one-hot; and the screen.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, least in (("size", size, 2), ("pixels", pixels, 1), ("time_limit", time_limit, 1)):
        if value < least:
            raise ValueError(f"noisy_tv: {name} must be at least {least}, got {value}")
    if television not in get_args(Television):
        raise ValueError(f"noisy_tv: television is {television!r}; allowed: {', '.join(get_args(Television))}")
    moves = jnp.asarray(MOVES, jnp.int32)

    def observe(state: State) -> Array:
        return jnp.concatenate([jax.nn.one_hot(state.row, size), jax.nn.one_hot(state.column, size), state.screen])

    def picture(key: Key) -> Array:
        return jax.random.uniform(key, (pixels,)) if television != "off" else jnp.zeros(pixels)

    def initial(key: Key) -> State:
        return State(jnp.int32(0), jnp.int32(0), picture(key))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        row = jnp.clip(state.row + moves[action, 0], 0, size - 1)
        column = jnp.clip(state.column + moves[action, 1], 0, size - 1)
        changes = (action == 4) | (television == "always")
        there = (row == size - 1) & (column == size - 1) & reward
        screen = jnp.where(changes, picture(key), state.screen)
        return State(row, column, screen), there.astype(jnp.float32), there

    def render(state: State) -> Array:
        side = 16
        board = jnp.zeros((size, size), jnp.int32).at[-1, -1].set(1 if reward else 0).at[state.row, state.column].set(2)
        frame = drawing.grid(board, (drawing.GREY, drawing.GREEN, drawing.ORANGE), side)
        columns = min(pixels, size)
        shown = jnp.pad(state.screen, (0, -pixels % columns)).reshape(-1, columns)
        shown = jnp.repeat(jnp.repeat((shown * 255).astype(jnp.uint8), side, 0), side, 1)
        shown = jnp.pad(shown, ((0, 0), (0, size * side - columns * side)))
        return jnp.concatenate([frame, jnp.broadcast_to(shown[..., None], (*shown.shape, 3))])

    spec = Spec("noisy_tv", Box((2 * size + pixels,), 0.0, 1.0), Discrete(5), time_limit)
    return episodic(initial, transition, observe, spec, render)
