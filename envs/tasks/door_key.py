"""Two rooms with a locked door between them: fetch the key, open the door, reach the goal.

After MiniGrid's DoorKey (Chevalier-Boisvert et al., 2018), with the whole board observed. With two goals the
observation tells which of them is meant, so that the task is two tasks.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

MOVES = ((0, 1), (1, 0), (0, -1), (-1, 0))  # right, down, left, up: in the order in which one turns to the right
LEFT, RIGHT, FORWARD, PICK_UP, TOGGLE = range(5)


class State(NamedTuple):
    """Places as int32 `[2]`, row and column."""

    place: Array
    facing: Array  # int32, of MOVES
    key: Array
    held: Array  # bool: the key
    door: Array
    open: Array  # bool: the door
    task: Array  # int32: the goal that is meant
    t: Array  # int32, steps so far


def door_key(size: int = 5, goals: int = 1, task: int | None = None, time_limit: int | None = None) -> Environment:
    """Turns, moves forward, picks up and opens what is in front. Ends at a goal; the right one pays 1 - 0.9 t / T.

    Args:
      size: cells along a side, walls included.
      goals: 1, in the lower right corner, or 2, of which the second is in the upper right one.
      task: which goal is meant, 0 or 1; None draws it for each episode. The other one ends the episode unpaid.
      time_limit: T, steps; by default 10 size², as in MiniGrid.

    Returns:
      Observation float32, one-hot each: row, column, facing, the key's row and column (none while it is held), whether
      it is held, the door's row and column, whether it is open. With two goals a dict of that, `board`, and `task`.

    Raises:
      ValueError: an argument out of range.
    """
    limit = 10 * size**2 if time_limit is None else time_limit
    for name, value, least in (("size", size, 5), ("time_limit", limit, 1)):
        if value < least:
            raise ValueError(f"door_key: {name} must be at least {least}, got {value}")
    if goals not in (1, 2):
        raise ValueError(f"door_key: goals must be 1 or 2, got {goals}")
    if task is not None and not 0 <= task < goals:
        raise ValueError(f"door_key: task must be from 0 to {goals - 1}, got {task}")
    inside, moves = size - 2, jnp.asarray(MOVES, jnp.int32)
    corners = jnp.array([[inside, inside], [1, inside]], jnp.int32)[:goals]

    def same(place: Array, other: Array) -> Array:
        return jnp.all(place == other, axis=-1)

    def initial(key: Key) -> State:
        k_column, k_row, k_place, k_key, k_facing, k_task = jax.random.split(key, 6)
        column = jax.random.randint(k_column, (), 2, inside)
        # A door beside the second goal would lead into it, whichever is meant.
        row = jax.random.randint(k_row, (), goals, inside)
        room = inside * (column - 1)  # cells of the left one
        place = jax.random.randint(k_place, (), 0, room)
        other = (place + jax.random.randint(k_key, (), 1, room)) % room
        cell = lambda number: jnp.stack([number % inside + 1, number // inside + 1])  # noqa: E731
        facing = jax.random.randint(k_facing, (), 0, 4)
        meant = jnp.int32(task) if task is not None else jax.random.randint(k_task, (), 0, goals)
        no = jnp.bool_(False)
        return State(cell(place), facing, cell(other), no, jnp.stack([row, column]), no, meant, jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        turn = jnp.where(action == RIGHT, 1, 0) - jnp.where(action == LEFT, 1, 0)
        ahead = state.place + moves[state.facing]
        at_key, at_door = same(ahead, state.key) & ~state.held, same(ahead, state.door)
        outside = jnp.any((ahead < 1) | (ahead > inside))
        wall = outside | ((ahead[1] == state.door[1]) & ~at_door)
        steps = (action == FORWARD) & ~wall & ~at_key & (~at_door | state.open)
        place = jnp.where(steps, ahead, state.place)
        held = state.held | ((action == PICK_UP) & at_key)
        opened = jnp.where((action == TOGGLE) & at_door & state.held, ~state.open, state.open)
        moved = state._replace(
            place=place, facing=(state.facing + turn) % 4, held=held, open=opened, t=state.t + 1
        )  # fmt: skip
        there = same(place[None], corners)
        paid = jnp.where(there[state.task], 1 - 0.9 * moved.t / limit, 0.0)
        return moved, paid.astype(jnp.float32), jnp.any(there)

    def observe(state: State) -> Any:
        cells = lambda place: [jax.nn.one_hot(place[i] - 1, inside) for i in range(2)]  # noqa: E731
        key = [jnp.where(state.held, 0.0, x) for x in cells(state.key)]
        flags = jnp.stack([state.held, state.open]).astype(jnp.float32)
        parts = [*cells(state.place), jax.nn.one_hot(state.facing, 4), *key, *cells(state.door), flags]
        board = jnp.concatenate(parts)
        return board if goals == 1 else {"board": board, "task": state.task}

    def render(state: State) -> Array:
        board = jnp.ones((size, size), jnp.int32).at[1:-1, 1:-1].set(0)
        board = board.at[1:-1, state.door[1]].set(1)
        for number in range(goals):
            meant = (state.task == number) if goals > 1 else jnp.bool_(True)
            board = board.at[tuple(corners[number])].set(jnp.where(meant, 2, 6))
        board = board.at[tuple(state.door)].set(jnp.where(state.open, 0, 4))
        board = board.at[tuple(state.key)].set(jnp.where(state.held, board[tuple(state.key)], 5))
        board = board.at[tuple(state.place)].set(3)
        colours = (
            drawing.WHITE, drawing.GREY, drawing.GREEN, drawing.ORANGE, drawing.RED, drawing.BLUE, drawing.BLACK
        )  # fmt: skip
        frame = drawing.grid(board, colours)
        middle = jnp.stack([state.place[1] - (size - 1) / 2, (size - 1) / 2 - state.place[0]]) / size
        ahead = middle + moves[state.facing][::-1] * jnp.array([0.4, -0.4]) / size
        return drawing.segment(frame, tuple(middle), tuple(ahead), 0.25 / size, drawing.BLACK)

    board = Box((6 * inside + 6,), 0.0, 1.0)
    space: Any = board if goals == 1 else {"board": board, "task": Discrete(goals)}
    return episodic(initial, transition, observe, Spec("door_key", space, Discrete(5), limit), render)
