"""Point mazes: a point walks through corridors to a goal that is far by foot and near as the crow flies.

The smallest continuous tasks on which a flat agent that follows the distance is caught behind a wall and a hierarchy
is not. `u` is the floor plan of AntMaze (Nachum et al., "Data-efficient hierarchical reinforcement learning", NeurIPS
2018) in cells of side 1.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, goals
from envs.base import Array, Box, Environment, Key, Spec, episodic

# S is the start, G the far goal, # a wall.
LAYOUTS = {
    "u": ("#####", "#G  #", "### #", "#S  #", "#####"),
    "medium": ("########", "#S ##  #", "#  #   #", "##   ###", "#  #   #", "# #  # #", "#   # G#", "########"),
    "spiral": ("#########", "#S      #", "####### #", "#     # #", "# ### # #", "# #G  # #", "# ##### #", "#       #",
               "#########"),
}  # fmt: skip
LIMITS = {"u": 100, "medium": 200, "spiral": 300}
MARGIN = 1e-3  # how close to a wall the point gets


class State(NamedTuple):
    """Where the point and the goal are, float32 [2]: x to the right and y up, the lower left corner at (0, 0)."""

    position: Array
    goal: Array


def floor_plan(layout: str) -> np.ndarray:
    """Booleans `[x, y]`, True at walls."""
    return marked(layout, "#")


def marked(layout: str, mark: str) -> np.ndarray:
    """Booleans `[x, y]`, True at cells so marked."""
    return np.array([[c == mark for c in row] for row in LAYOUTS[layout]])[::-1].T


def place(layout: str, mark: str) -> np.ndarray:
    """Centre of the cell marked "S" or "G", float32 [2]."""
    (found,) = np.argwhere(marked(layout, mark))
    return (found + 0.5).astype(np.float32)


def slide(blocked: Array, position: Array, move: Array) -> Array:
    """Moves along x, then along y, each as far as the next wall.

    Args:
      blocked: booleans `[x, y]`; moves are shorter than a cell, and the border is all wall.
      position: `[2]`, in a free cell.
      move: `[2]`.
    """
    for axis in (0, 1):
        there = position + move * (jnp.arange(2) == axis)
        column, row = jnp.floor(there).astype(jnp.int32)
        low, high = jnp.floor(position) + MARGIN, jnp.floor(position) + 1 - MARGIN
        position = jnp.where(blocked[column, row], jnp.clip(there, low, high), there)
    return position


def picture(blocked: Array, goal: Array, position: Array, size: float) -> Array:
    """A maze from above, uint8 `[32 y, 32 x, 3]`.

    Args:
      blocked: booleans `[x, y]`, cells of side 1.
      goal: `[2]`, a green disc of diameter 0.5.
      position: `[2]`, an orange one.
      size: its diameter.
    """
    width, height = blocked.shape
    frame = drawing.grid(blocked.T[::-1].astype(jnp.int32), (drawing.WHITE, drawing.GREY), scale=32)

    def disc(frame: Array, at: Array, colour: drawing.Colour, size: float) -> Array:
        centre = (at[0] - width / 2) / height, (at[1] - height / 2) / height
        return drawing.segment(frame, centre, centre, size / height, colour)

    return disc(disc(frame, goal, drawing.GREEN, 0.5), position, drawing.ORANGE, size)


def point_maze(
    layout: str = "u",
    reward: goals.Pay = "cost",
    goal: Literal["far", "any"] = "far",
    start: Literal["fixed", "any"] = "fixed",
    speed: float = 0.2,
    threshold: float = 0.5,
    time_limit: int | None = None,
    ends: bool = False,
) -> Environment:
    """A point that moves by `speed` times the action and slides along walls. Episodes are truncated at their limit.

    Args:
      layout: "u", "medium" or "spiral".
      reward: "cost" (-1 until within `threshold` of the goal, sparse) or "distance" (minus the distance to it), and
        the other ways of `goals.near`.
      goal: the "far" one of the layout, or one drawn uniformly over the free cells for each episode.
      start: the "fixed" one, or drawn likewise.
      speed: units per step, less than a cell.
      threshold: distance to the goal that counts as success.
      time_limit: steps, by default 100, 200 or 300 by layout.
      ends: end an episode where the goal is reached.

    Returns:
      Observation: `observation` (position), `achieved_goal` (the same) and `desired_goal`, float32 [2]. Action float32
      [2] in [-1, 1], clipped.

    Raises:
      ValueError: an unknown layout, or an argument out of range.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"point_maze: layout is {layout!r}; allowed: {', '.join(LAYOUTS)}")
    for name, text, allowed in (("goal", goal, ("far", "any")), ("start", start, ("fixed", "any"))):
        if text not in allowed:
            raise ValueError(f"point_maze: {name} is {text!r}; allowed: {', '.join(allowed)}")
    if not 0 < speed < 0.9:
        raise ValueError(f"point_maze: speed must be in (0, 0.9), got {speed}")
    limit = LIMITS[layout] if time_limit is None else time_limit
    if limit < 1:
        raise ValueError(f"point_maze: time_limit must be at least 1, got {limit}")
    rules = goals.near(threshold, reward, ends)
    plan = floor_plan(layout)
    blocked, free = jnp.asarray(plan), jnp.asarray(np.argwhere(~plan), jnp.float32)

    def observe(state: State) -> dict[str, Array]:
        return goals.observed(state.position, state.position, state.goal)

    def anywhere(key: Key) -> Array:
        k_cell, k_within = jax.random.split(key)
        corner = free[jax.random.randint(k_cell, (), 0, len(free))]
        return corner + jax.random.uniform(k_within, (2,), minval=0.1, maxval=0.9)

    def initial(key: Key) -> State:
        k_start, k_goal = jax.random.split(key)
        jitter = jax.random.uniform(k_start, (2,), minval=-0.1, maxval=0.1)
        position = anywhere(k_start) if start == "any" else jnp.asarray(place(layout, "S")) + jitter
        return State(position, anywhere(k_goal) if goal == "any" else jnp.asarray(place(layout, "G")))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        position = slide(blocked, state.position, speed * jnp.clip(action, -1.0, 1.0))
        done = rules.reached(position, state.goal) & rules.terminates
        return State(position, state.goal), rules.reward(position, state.goal), done

    def render(state: State) -> Array:
        return picture(blocked, state.goal, state.position, 0.35)

    place_space = Box((2,), 0.0, np.array(plan.shape, np.float32))
    spec = Spec("point_maze", goals.spaces(place_space, place_space), Box((2,), -1.0, 1.0), limit, rules)
    return episodic(initial, transition, observe, spec, render)
