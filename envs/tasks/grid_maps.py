"""Maps with walls, a new one in every episode: the way to the goal must be planned on what is seen.

The grid-world domain of Tamar et al., "Value iteration networks", NeurIPS 2016, with four moves in place of eight.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing, grids
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

WALLS, GOAL, HERE = 0, 1, 2
"""The channels of the observation."""


class State(NamedTuple):
    """The map, and where on it the agent is."""

    walls: Array  # bool [size, size]
    goal: Array  # int32 [2], row and column
    here: Array  # int32 [2]
    away: Array  # int32 [size, size], moves to the goal


def ahead(size: int) -> int:
    """Moves that shortest paths are looked for in; cells that are farther count as cut off."""
    return 3 * size


def shortest(observation: Array) -> Array:
    """The expert: the first of the moves that begin a shortest path, of `[..., size, size, 3]` int32 `[...]`."""
    walls, goal, here = (observation[..., channel] > 0 for channel in (WALLS, GOAL, HERE))
    most = ahead(observation.shape[-2])
    nearness = -grids.beside(grids.distances(walls, goal, most), most + 1)
    return jnp.argmax(jnp.sum(jnp.where(here[..., None], nearness, 0), axis=(-3, -2)), axis=-1).astype(jnp.int32)


def grid_maps(
    size: int = 8, density: float = 0.3, decisions: bool = False, time_limit: int | None = None
) -> Environment:
    """Moves in four directions; walls and edges are not passed. Ends at the goal, which pays 1.

    Every cell is a wall with probability `density`, but for the goal, which is drawn uniformly, and those beside it.
    The agent starts in one of the cells from which the goal can be reached, drawn uniformly.

    Args:
      size: cells along a side, at least 3.
      density: 0 or more and below 1.
      decisions: an episode is one move, which pays 1 if it begins a shortest path; so the mean return is the share of
        such moves.
      time_limit: steps, by default four times `size`; 1 with `decisions`.

    Returns:
      Observation uint8 `[size, size, 3]` of zeros and ones: walls, the goal, the agent.

    Raises:
      ValueError: an argument out of range.
    """
    if size < 3:
        raise ValueError(f"grid_maps: size must be at least 3, got {size}")
    if not 0 <= density < 1:
        raise ValueError(f"grid_maps: density must be at least 0 and below 1, got {density}")
    limit = 1 if decisions else 4 * size if time_limit is None else time_limit
    if limit < 1 or (decisions and time_limit not in (None, 1)):
        allowed = "1 with decisions" if decisions else "at least 1"
        raise ValueError(f"grid_maps: time_limit must be {allowed}, got {time_limit}")
    shape, most = (size, size), ahead(size)
    everywhere = jnp.ones(shape, bool)

    def at(place: Array) -> Array:
        return jnp.zeros(shape, bool).at[place[0], place[1]].set(True)

    def initial(key: Key) -> State:
        drawn = jax.random.uniform(key, (3, *shape))
        goal = grids.one_of(drawn[0], everywhere)
        near = at(goal) | jnp.any(grids.beside(at(goal), False), axis=-1)
        walls = (drawn[1] < density) & ~near
        away = grids.distances(walls, at(goal), most)
        return State(walls, goal, grids.one_of(drawn[2], (away > 0) & (away <= most)), away)

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        row, column = grids.moved(state.here[0], state.here[1], action, state.walls)
        arrived = state._replace(here=jnp.stack([row, column]))
        left = state.away[row, column]
        if decisions:
            return arrived, left < state.away[state.here[0], state.here[1]], jnp.bool_(True)
        return arrived, left == 0, left == 0

    def observe(state: State) -> Array:
        return jnp.stack([state.walls, at(state.goal), at(state.here)], axis=-1).astype(jnp.uint8)

    def render(state: State) -> Array:
        board = jnp.where(state.walls, 1, 0)
        board = board.at[state.goal[0], state.goal[1]].set(2).at[state.here[0], state.here[1]].set(3)
        return drawing.grid(board, (drawing.WHITE, drawing.GREY, drawing.GREEN, drawing.ORANGE))

    spec = Spec("grid_maps", Box((*shape, 3), 0, 1, jnp.uint8), Discrete(4), limit)
    return episodic(initial, transition, observe, spec, render)
