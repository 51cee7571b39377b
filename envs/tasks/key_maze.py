"""Rooms in a row, the last of them behind a door that a key opens: one reward, far from the start.

After the multi-room and key-corridor tasks of MiniGrid (Chevalier-Boisvert et al., 2018), on which exploration bonuses
are compared.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
Reward = Literal["goal", "none"]


class State(NamedTuple):
    """The cell, int32, and whether the key is held."""

    row: Array
    column: Array
    key: Array


class Map(NamedTuple):
    """What stands where, as (row, column)."""

    walls: np.ndarray  # bool [rows, columns]
    start: tuple[int, int]
    key: tuple[int, int]
    door: tuple[int, int]  # that is locked
    goal: tuple[int, int]


def plan(rooms: int = 4, size: int = 5) -> Map:
    """The map: doorways are at the bottom and at the top in turns.

    The key is in the corner of the second room, or of the first of two, that is off the way. The goal is in the corner
    of the last room which is farthest from its door.
    """
    walls = np.ones((size + 2, rooms * (size + 1) + 1), bool)
    doors = [(size if i % 2 == 0 else 1, (i + 1) * (size + 1)) for i in range(rooms - 1)]
    for i in range(rooms):
        walls[1:-1, i * (size + 1) + 1 : (i + 1) * (size + 1)] = False
    for door in doors:
        walls[door] = False
    room = min(1, rooms - 2)
    key = (size if room else 1, room * (size + 1) + size)
    goal = (1 if rooms % 2 == 0 else size, rooms * (size + 1) - 1)
    return Map(walls, (1, 1), key, doors[-1], goal)


def key_maze(rooms: int = 4, size: int = 5, reward: Reward = "goal", time_limit: int = 200) -> Environment:
    """Moves in four directions; a wall, or the last door without the key, is not passed. Ends at the goal.

    Args:
      rooms: at least 2.
      size: free cells along a side of each.
      reward: "goal" (1 there), or "none": there is no goal either, and the episode goes on to its time limit.
      time_limit: steps.

    Returns:
      Observation float32: the row, one-hot; the column, one-hot; and 1 with the key.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, least in (("rooms", rooms, 2), ("size", size, 2), ("time_limit", time_limit, 1)):
        if value < least:
            raise ValueError(f"key_maze: {name} must be at least {least}, got {value}")
    if reward not in get_args(Reward):
        raise ValueError(f"key_maze: reward is {reward!r}; allowed: {', '.join(get_args(Reward))}")
    places = plan(rooms, size)
    rows, columns = places.walls.shape
    walls, moves = jnp.asarray(places.walls), jnp.asarray(MOVES, jnp.int32)

    def at(state: State, place: tuple[int, int]) -> Array:
        return (state.row == place[0]) & (state.column == place[1])

    def observe(state: State) -> Array:
        parts = (jax.nn.one_hot(state.row, rows), jax.nn.one_hot(state.column, columns), state.key[None])
        return jnp.concatenate([part.astype(jnp.float32) for part in parts])

    def initial(key: Key) -> State:
        del key
        return State(jnp.int32(places.start[0]), jnp.int32(places.start[1]), jnp.bool_(False))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        ahead = State(state.row + moves[action, 0], state.column + moves[action, 1], state.key)
        blocked = walls[ahead.row, ahead.column] | (at(ahead, places.door) & ~state.key)
        row, column = jnp.where(blocked, state.row, ahead.row), jnp.where(blocked, state.column, ahead.column)
        moved = State(row, column, state.key)
        moved = moved._replace(key=state.key | at(moved, places.key))
        there = at(moved, places.goal) & (reward == "goal")
        return moved, there.astype(jnp.float32), there

    def render(state: State) -> Array:
        board = jnp.asarray(places.walls, jnp.int32)
        board = board.at[places.door].set(jnp.where(state.key, 0, 4)).at[places.key].set(jnp.where(state.key, 0, 5))
        board = board.at[places.goal].set(2 if reward == "goal" else 0).at[state.row, state.column].set(3)
        colours = (drawing.WHITE, drawing.GREY, drawing.GREEN, drawing.ORANGE, drawing.RED, drawing.BLUE)
        return drawing.grid(board, colours)

    spec = Spec("key_maze", Box((rows + columns + 1,), 0.0, 1.0), Discrete(4), time_limit)
    return episodic(initial, transition, observe, spec, render)
