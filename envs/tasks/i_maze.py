"""I-maze: the colour of a block in the upper arm says which of two goals in the lower arm is the good one.

A grid version of the task of Oh et al., "Control of memory, active perception, and action in Minecraft", ICML 2016,
without the pitch of the camera: the agent sees the cells around it, turned with it, and has to look for the block.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.wrappers import frame_stack

WIDTH, MIDDLE = 7, 3
MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class State(NamedTuple):
    """The maze and the agent in it; int32."""

    length: Array  # of the corridor
    green: Array  # 1 if the block is green, 0 if yellow
    swapped: Array  # 1 if the red goal is on the right
    row: Array
    column: Array
    heading: Array  # north, east, south, west


def i_maze(
    lengths: tuple[int, ...] | int = (5, 7, 9), view: int = 5, time_limit: int = 50, frames: int = 1
) -> Environment:
    """Terminates at a goal. The agent starts in the middle of the upper arm and faces the corridor.

    Args:
      lengths: of the corridor, one of them drawn per episode; each at least 1.
      view: cells seen along each side of the square around the agent, odd, 3 or 5: from the start the block, three
        cells to the left, must not be seen.
      time_limit: steps.
      frames: the last so many observations are shown together, as to the paper's DQN; see `wrappers.frame_stack`.

    Returns:
      Observation float32 [view * view * 5], times `frames`: for each cell, ahead first and from left to right, whether
      it is a wall, the yellow block, the green one, the red goal, the cyan goal. Actions: turn left, turn right,
      forward, backward. Reward -0.04 per step, and 1 at the red goal if the block is yellow, else at the cyan one, -1
      at the other.

    Raises:
      ValueError: for arguments out of range.
    """
    lengths = (lengths,) if isinstance(lengths, int) else tuple(lengths)
    if not lengths or min(lengths) < 1:
        raise ValueError(f"i_maze: lengths must be one or more of at least 1, got {lengths}")
    if view not in (3, 5):
        raise ValueError(f"i_maze: view must be 3 or 5, got {view}")
    if time_limit < 1:
        raise ValueError(f"i_maze: time_limit must be at least 1, got {time_limit}")
    moves = jnp.array(MOVES, jnp.int32)
    away = jnp.arange(view) - view // 2

    def free(state: State, row: Array, column: Array) -> Array:
        inside = (row >= 0) & (row <= state.length + 1) & (column >= 0) & (column < WIDTH)
        return inside & ((row == 0) | (row == state.length + 1) | (column == MIDDLE))

    def things(state: State, row: Array, column: Array) -> list[Array]:
        block = (row == 0) & (column == 0)
        below = row == state.length + 1
        left, right = below & (column == 0), below & (column == WIDTH - 1)
        swapped = state.swapped == 1
        red, cyan = jnp.where(swapped, right, left), jnp.where(swapped, left, right)
        green = state.green == 1
        return [~free(state, row, column), block & ~green, block & green, red, cyan]

    def ahead(heading: Array) -> Array:
        return jnp.sum(jnp.where((jnp.arange(4) == heading % 4)[:, None], moves, 0), 0)

    def observe(state: State) -> Array:
        forward, rightward = ahead(state.heading), ahead(state.heading + 1)
        row = state.row - away[:, None] * forward[0] + away[None] * rightward[0]
        column = state.column - away[:, None] * forward[1] + away[None] * rightward[1]
        return jnp.stack(things(state, row, column), -1).astype(jnp.float32).ravel()

    def initial(key: Key) -> State:
        word = jax.random.bits(key, (3,))
        which = (word[0] % len(lengths)).astype(jnp.int32)
        length = jnp.sum(jnp.where(jnp.arange(len(lengths)) == which, jnp.array(lengths, jnp.int32), 0))
        green, swapped = (word[1:] >> 31).astype(jnp.int32)
        return State(length, green, swapped, jnp.int32(0), jnp.int32(MIDDLE), jnp.int32(2))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        action = action.astype(jnp.int32)
        heading = (state.heading + (action == 1) - (action == 0)) % 4
        step = ahead(state.heading) * ((action == 2).astype(jnp.int32) - (action == 3))
        row, column = state.row + step[0], state.column + step[1]
        moved = free(state, row, column)
        row, column = jnp.where(moved, row, state.row), jnp.where(moved, column, state.column)
        state = state._replace(row=row, column=column, heading=heading)
        *_, red, cyan = things(state, row, column)
        good, bad = jnp.where(state.green == 1, cyan, red), jnp.where(state.green == 1, red, cyan)
        return state, -0.04 + good - 1.0 * bad, red | cyan

    def render(state: State) -> Array:
        row, column = jnp.arange(max(lengths) + 2)[:, None], jnp.arange(WIDTH)[None]
        cells = jnp.zeros((max(lengths) + 2, WIDTH), jnp.int32)
        for i, thing in enumerate(things(state, row, column)):
            cells = jnp.where(thing, i + 1, cells)
        cells = jnp.where((row == state.row) & (column == state.column), 6, cells)
        yellow, cyan = (230, 200, 40), (60, 200, 220)
        colours = (drawing.GREY, drawing.BLACK, yellow, drawing.GREEN, drawing.RED, cyan, drawing.ORANGE)
        return drawing.grid(cells, colours, scale=24)

    spec = Spec("i_maze", Box((view * view * 5,), 0.0, 1.0), Discrete(4), time_limit)
    env = episodic(initial, transition, observe, spec, render)
    return env if frames == 1 else frame_stack(env, frames)
