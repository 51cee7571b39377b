"""Rooms in a row, the last of them behind a door that a key opens: one reward, far from the start.

After the multi-room and key-corridor tasks of MiniGrid (Chevalier-Boisvert et al., 2018), on which exploration bonuses
are compared.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Keys, Spec, Subgoals, episodic

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
Reward = Literal["goal", "none"]
Shown = Literal["one-hot", "numbers"]


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


def key_maze(
    rooms: int = 4, size: int = 5, reward: Reward = "goal", time_limit: int = 200, shown: Shown = "one-hot"
) -> Environment:
    """Moves in four directions; a wall, or the last door without the key, is not passed. Ends at the goal.

    Args:
      rooms: at least 2.
      size: free cells along a side of each.
      reward: "goal" (1 there), or "none": there is no goal either, and the episode goes on to its time limit.
      time_limit: steps.
      shown: how the place is: "one-hot", or as two "numbers" in units of a room.

    Returns:
      Observation float32: the row and the column, as `shown` says, and 1 with the key.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, least in (("rooms", rooms, 2), ("size", size, 2), ("time_limit", time_limit, 1)):
        if value < least:
            raise ValueError(f"key_maze: {name} must be at least {least}, got {value}")
    for name, word, words in (("reward", reward, get_args(Reward)), ("shown", shown, get_args(Shown))):
        if word not in words:
            raise ValueError(f"key_maze: {name} is {word!r}; allowed: {', '.join(words)}")
    places = plan(rooms, size)
    rows, columns = places.walls.shape
    walls, moves = jnp.asarray(places.walls), jnp.asarray(MOVES, jnp.int32)

    def at(state: State, place: tuple[int, int]) -> Array:
        return (state.row == place[0]) & (state.column == place[1])

    def observe(state: State) -> Array:
        if shown == "numbers":
            return jnp.stack([state.row / (size + 1), state.column / (size + 1), state.key]).astype(jnp.float32)
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

    told = subgoals(rooms, size, shown) if reward == "goal" else None
    space = Box((3,), 0.0, float(rooms)) if shown == "numbers" else Box((rows + columns + 1,), 0.0, 1.0)
    spec = Spec("key_maze", space, Discrete(4), time_limit, subgoals=told)
    return episodic(initial, transition, observe, spec, render)


def ways(places: Map, objects: Sequence[tuple[int, int]]) -> np.ndarray:
    """The move of a shortest way from each cell to each object, without and with the key, int32 `[2, objects, R, C]`.

    0 where there is none. Moves are numbered as in `MOVES`.
    """
    found = np.zeros((2, len(objects), *places.walls.shape), np.int32)
    for key, (i, target) in itertools.product((0, 1), enumerate(objects)):
        shut, far, edge = places.walls.copy(), {target}, [target]
        shut[places.door] = not key
        while edge:
            row, column = edge.pop(0)
            for move, (y, x) in enumerate(MOVES):
                cell = row - y, column - x
                if not shut[cell] and cell not in far:
                    found[key, i][cell] = move
                    far.add(cell)
                    edge.append(cell)
    return found


def subgoals(rooms: int, size: int, shown: Shown = "one-hot") -> Subgoals:
    """The division of the task: to go to one of the doors, from the first to the last, to the key, or to the goal."""
    places = plan(rooms, size)
    (rows, columns), doors, key_room = places.walls.shape, rooms - 1, min(1, rooms - 2)
    door_at = [(size if i % 2 == 0 else 1, (i + 1) * (size + 1)) for i in range(doors)]
    objects = [*door_at, places.key, places.goal]
    where, moves = jnp.asarray(objects, jnp.int32), jnp.asarray(ways(places, objects))

    def parted(seen: Array) -> tuple[Array, Array, Array]:
        if shown == "numbers":
            row, column = jnp.round(seen[0] * (size + 1)), jnp.round(seen[1] * (size + 1))
        else:
            row, column = jnp.argmax(seen[:rows]), jnp.argmax(seen[rows : rows + columns])
        return row.astype(jnp.int32), column.astype(jnp.int32), seen[-1].astype(jnp.int32)

    def right(seen: Array) -> Array:
        """The door of the room towards the key, or the key; with the key the door on the way, or the goal."""
        _, column, key = parted(seen)
        room = column // (size + 1)
        fetch = jnp.where(room < key_room, room, doors)
        return jnp.where(key == 1, jnp.where(room < doors, room, doors + 1), fetch).astype(jnp.int32)

    def action(seen: Array, goal: Array) -> Array:
        row, column, key = parted(seen)
        return moves[key, goal, row, column]

    def at(seen: Array, goal: Array) -> Array:
        row, column, _ = parted(seen)
        return (row == where[goal, 0]) & (column == where[goal, 1])

    def outcome(before: Array, goal: Array, after: Array) -> tuple[Array, Array]:
        del before
        reached = at(after, goal)
        return reached | solved(after), reached

    def solved(seen: Array) -> Array:
        return at(seen, jnp.int32(doors + 1))

    def situation(seen: Array) -> Array:
        row, column, key = parted(seen)
        return (key * rows + row) * columns + column

    cells = 2 * rows * columns
    whole = Subgoals(
        num=1,
        right=lambda seen: jnp.int32(0),
        action=lambda seen, goal: action(seen, right(seen)),
        outcome=lambda before, goal, after: (solved(after), solved(after)),
        solved=solved,
        high=Keys((1, 1), lambda seen: (jnp.int32(0), jnp.int32(0))),
        low=Keys((cells, 1), lambda seen, goal: (situation(seen), jnp.int32(0))),
    )
    return Subgoals(
        num=doors + 2,
        right=right,
        action=action,
        outcome=outcome,
        solved=solved,
        high=Keys((cells, 2), lambda seen: (situation(seen), parted(seen)[2])),
        low=Keys(((doors + 2) * cells, doors + 2), lambda seen, goal: (goal * cells + situation(seen), goal)),
        whole=whole,
    )
