"""Two hidden goals: find the one that is asked for, be put down somewhere else, and find your way back.

After the goal-finding tasks of Wayne et al., arXiv:1803.10760, figure 3, on a grid. An episode is a series of
sub-episodes, each ending at the goal that is sought; what is learned in the first ones, where the goals are, shortens
the later ones if it is remembered.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

MOVES = ((-1, 0), (0, 1), (1, 0), (0, -1))


class State(NamedTuple):
    """Cells are numbered row by row; int32."""

    goals: Array  # [G], where they are
    sought: Array  # which of them is asked for
    place: Array  # where the agent is


def rooms(size: int) -> np.ndarray:
    """Which cells are free, bool [size, size]: four rooms with a door in the middle of each wall between two."""
    free, middle = np.ones((size, size), bool), size // 2
    free[middle, :] = free[:, middle] = False
    for door in (middle // 2, middle + 1 + middle // 2):
        free[middle, min(door, size - 1)] = free[min(door, size - 1), middle] = True
    return free


def teleport_maze(
    size: int = 9, goals: int = 2, walls: bool = True, sight: int = 1, time_limit: int = 100
) -> Environment:
    """Goals are drawn per episode; the time limit truncates, as it is no end of the task.

    Args:
      size: rows and columns, at least 5.
      goals: G, at least 1.
      walls: four rooms, or none.
      sight: how far walls and goals are seen, in cells, at least 0.
      time_limit: steps, at least 1.

    Returns:
      Observation float32: row and column of the agent, one-hot each; which goal is sought, one-hot; and for each cell
      of the square that is seen, whether it is a wall and whether it is each of the goals. Actions: north, east, south,
      west. Reward 1 at the goal that is sought; the agent is then at a random cell and a random goal is sought.

    Raises:
      ValueError: for arguments out of range.
    """
    for name, value, least in (
        ("size", size, 5),
        ("goals", goals, 1),
        ("sight", sight, 0),
        ("time_limit", time_limit, 1),
    ):
        if value < least:
            raise ValueError(f"teleport_maze: {name} must be at least {least}, got {value}")
    ground = rooms(size) if walls else np.ones((size, size), bool)
    free, cells = jnp.asarray(ground.ravel()), jnp.asarray(np.flatnonzero(ground), jnp.int32)
    if goals >= len(cells):
        raise ValueError(f"teleport_maze: goals must be below the {len(cells)} free cells, got {goals}")
    moves = jnp.array(MOVES, jnp.int32)
    away = jnp.arange(-sight, sight + 1)

    def pick(word: Array) -> Array:
        index = (word % len(cells)).astype(jnp.int32)
        return jnp.sum(jnp.where(jnp.arange(len(cells)) == index, cells, 0))

    def is_free(row: Array, column: Array) -> Array:
        inside = (row >= 0) & (row < size) & (column >= 0) & (column < size)
        at = jnp.where(inside, row * size + column, 0)
        return inside & jnp.any((at[..., None] == cells.reshape((1,) * at.ndim + (-1,))), -1)

    def observe(state: State) -> Array:
        row, column = state.place // size, state.place % size
        rows, columns = jnp.broadcast_arrays(row + away[:, None], column + away[None])
        seen = [~is_free(rows, columns)]
        seen += [(rows == goal // size) & (columns == goal % size) for goal in state.goals]
        one_hot = [jax.nn.one_hot(x, n) for x, n in ((row, size), (column, size), (state.sought, goals))]
        return jnp.concatenate([*one_hot, jnp.stack(seen).astype(jnp.float32).ravel()])

    def initial(key: Key) -> State:
        k_goals, k_place = jax.random.split(key)
        order = jnp.argsort(jnp.where(free, jax.random.bits(k_goals, free.shape) >> 1, jnp.uint32(2**32 - 1)))
        word = jax.random.bits(k_place, (2,))
        return State(order[:goals].astype(jnp.int32), (word[0] % goals).astype(jnp.int32), pick(word[1]))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        step = jnp.sum(jnp.where((jnp.arange(4) == action)[:, None], moves, 0), 0)
        row, column = state.place // size + step[0], state.place % size + step[1]
        place = jnp.where(is_free(row, column), row * size + column, state.place).astype(jnp.int32)
        found = jnp.any((state.goals == place) & (jnp.arange(goals) == state.sought))
        word = jax.random.bits(key, (2,))
        sought = jnp.where(found, (word[0] % goals).astype(jnp.int32), state.sought)
        place = jnp.where(found, pick(word[1]), place)
        return State(state.goals, sought, place), found.astype(jnp.float32), jnp.bool_(False)

    def render(state: State) -> Array:
        here = jnp.arange(size * size)
        picture = jnp.where(free, 0, 1)
        for i in range(goals):
            picture = jnp.where(here == state.goals[i], jnp.where(state.sought == i, 3, 2), picture)
        picture = jnp.where(here == state.place, 4, picture).reshape(size, size)
        return drawing.grid(
            picture, (drawing.GREY, drawing.BLACK, drawing.BLUE, drawing.GREEN, drawing.ORANGE), scale=24
        )

    shape = (2 * size + goals + (1 + goals) * (2 * sight + 1) ** 2,)
    spec = Spec("teleport_maze", Box(shape, 0.0, 1.0), Discrete(4), time_limit)
    return episodic(initial, transition, observe, spec, render)
