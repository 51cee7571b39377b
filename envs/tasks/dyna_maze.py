"""The mazes of Sutton and Barto, "Reinforcement learning" (2018), chapter 8: the Dyna maze, and one that changes."""

from typing import Literal

import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Discrete, Environment, Key, Spec, episodic

ROWS, COLUMNS = 6, 9
CELLS, ACTIONS = ROWS * COLUMNS, 4
LAYOUTS = {
    "dyna": ("       #G", "  #    # ", "S #    # ", "  #      ", "     #   ", "         "),
    "barrier": ("        G", "         ", "         ", " ########", "         ", "   S     "),
    "shortcut": ("        G", "         ", "         ", " ####### ", "         ", "   S     "),
}


def dyna_maze(layout: Literal["dyna", "barrier", "shortcut"] = "dyna", time_limit: int | None = None) -> Environment:
    """Reward 1 at the goal, which terminates, and 0 elsewhere; a move into a wall or off the board stays.

    Args:
      layout: "dyna" (figure 8.2, whose shortest path takes 14 steps), or "barrier" and "shortcut" (figure 8.5), which
        share their cells, so that an agent can be taken from one to the other.
      time_limit: steps, or None for no limit.

    Returns:
      Observation int32, row * 9 + column. Actions: up, down, left, right.

    Raises:
      ValueError: for another layout, or a time limit below 1.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"dyna_maze: layout is {layout!r}; allowed: {', '.join(LAYOUTS)}")
    if time_limit is not None and time_limit < 1:
        raise ValueError(f"dyna_maze: time_limit must be at least 1 or None, got {time_limit}")
    cells = np.array([list(row) for row in LAYOUTS[layout]])
    start, goal = (int(np.flatnonzero(cells == mark)[0]) for mark in "SG")
    after = np.tile(np.arange(CELLS, dtype=np.int32)[:, None], (1, ACTIONS))
    for cell, (row, column) in enumerate(np.ndindex(cells.shape)):
        for action, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            y, x = row + down, column + right
            if 0 <= y < ROWS and 0 <= x < COLUMNS and cells[y, x] != "#":
                after[cell, action] = y * COLUMNS + x

    def initial(key: Key) -> Array:
        del key
        return jnp.int32(start)

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        state = jnp.asarray(after)[state, action]
        return state, (state == goal).astype(jnp.float32), state == goal

    def render(state: Array) -> Array:
        kinds = np.where(cells == "#", 1, np.where(cells == "G", 2, 0))
        here = np.arange(CELLS).reshape(ROWS, COLUMNS) == state
        return drawing.grid(jnp.where(here, 3, kinds), (drawing.GREY, drawing.BLACK, drawing.GREEN, drawing.ORANGE))

    spec = Spec("dyna_maze", Discrete(CELLS), Discrete(4), time_limit)
    return episodic(initial, transition, lambda state: state, spec, render)
