"""A maze of rooms whose doors, start and goal are drawn anew for each episode, and which falls into subtasks.

After the maze of Le, Jiang, Agarwal, Dudík, Yue and Daumé III, "Hierarchical imitation and reinforcement learning",
ICML 2018: 4 x 4 rooms of 3 x 3 cells. Which rooms have a door between them is fixed for the task and has to be learned;
where in the wall the door is, is seen. The subtasks are to leave the room on one of its sides, and to go to the goal.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Keys, Spec, Subgoals, episodic

ROOMS, CELLS, SIDES, STAY = 16, 9, 4, 4
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # north, south, west, east
NO_DOOR = 3


class State(NamedTuple):
    """Rooms and cells are numbered row by row; int32."""

    room: Array
    cell: Array
    goal_room: Array
    goal_cell: Array
    below: Array  # [16], where in the wall below each room its door is: 0, 1 or 2
    right: Array  # [16], the same of the wall to its right


def doors(map_seed: int) -> np.ndarray:
    """Whether a room has a door on each side, bool `[16, 4]`: a random tree, and each other wall has one in 3 of 10."""
    rng = np.random.default_rng(map_seed)
    walls = [(room, side) for room in range(ROOMS) for side in (1, 3) if neighbour(room, side) is not None]
    group, found = np.arange(ROOMS), np.zeros((ROOMS, SIDES), bool)
    for wall in rng.permutation(len(walls)):
        room, side = walls[wall]
        other = neighbour(room, side)
        if group[room] != group[other] or rng.random() < 0.3:
            found[room, side] = found[other, side - 1] = True
            group[group == group[other]] = group[room]
    return found


def neighbour(room: int, side: int) -> int | None:
    """The room on that side, if there is one."""
    row, column = room // 4 + MOVES[side][0], room % 4 + MOVES[side][1]
    return row * 4 + column if 0 <= row < 4 and 0 <= column < 4 else None


def routes(found: np.ndarray) -> np.ndarray:
    """The side on which a shortest way from each room to each leaves it, int32 `[16, 16]`; 4 where they are the same.

    Args:
      found: `doors`.
    """
    far = np.where(np.eye(ROOMS, dtype=bool), 0, ROOMS)
    for _ in range(ROOMS):
        for room, side in np.argwhere(found):
            far[room] = np.minimum(far[room], far[neighbour(room, side)] + 1)
    leave = np.full((ROOMS, ROOMS), STAY, np.int32)
    for room, side in np.argwhere(found)[::-1]:
        leave[room, far[neighbour(room, side)] < far[room]] = side
    return leave


def room_maze(
    map_seed: int = 0, slip: float = 0.1, step_cost: float = 0.01, give_up: bool = False, time_limit: int = 80
) -> Environment:
    """Moves in four directions; into a wall is to stay. Ends at the goal, which is never in the room of the start.

    Args:
      map_seed: of the doors between rooms.
      slip: probability that a move goes in a random direction instead.
      step_cost: of each step.
      give_up: whether a fifth action ends the episode, for teachers who stop what has gone wrong.
      time_limit: steps.

    Returns:
      Observation int32 [8]: room, cell, the goal's room and cell, and where in the north, south, west and east walls of
      the room their doors are: 0, 1 or 2, or 3 for none. Reward 1 at the goal, less the cost of each step.

    Raises:
      ValueError: an argument out of range.
    """
    if not 0 <= slip <= 1:
        raise ValueError(f"room_maze: slip must be in [0, 1], got {slip}")
    if time_limit < 1:
        raise ValueError(f"room_maze: time_limit must be at least 1, got {time_limit}")
    found = doors(map_seed)
    return of_map(jnp.asarray(found), jnp.asarray(routes(found)), slip, step_cost, give_up, time_limit)


def of_map(
    found: Array, leave: Array, slip: float = 0.1, step_cost: float = 0.01, give_up: bool = False, time_limit: int = 80
) -> Environment:
    """`room_maze` with given `doors` and `routes`, which may be traced."""
    moves = jnp.array(MOVES, jnp.int32)

    def offsets(state: State) -> Array:
        above, left = state.below[(state.room - 4) % ROOMS], state.right[(state.room - 1) % ROOMS]
        where = jnp.stack([above, state.below[state.room], left, state.right[state.room]])
        return jnp.where(found[state.room], where, NO_DOOR)

    def observe(state: State) -> Array:
        here = jnp.stack([state.room, state.cell, state.goal_room, state.goal_cell])
        return jnp.concatenate([here, offsets(state)]).astype(jnp.int32)

    def initial(key: Key) -> State:
        k_cells, k_doors = jax.random.split(key)
        word = jax.random.bits(k_cells, (4,))
        goal, away, cells = word[0] % ROOMS, 1 + word[1] % (ROOMS - 1), word[2:] % CELLS
        below, right = (jax.random.bits(k_doors, (2, ROOMS)) % 3).astype(jnp.int32)
        room, cell, goal, goal_cell = (x.astype(jnp.int32) for x in ((goal + away) % ROOMS, cells[0], goal, cells[1]))
        return State(room, cell, goal, goal_cell, below, right)

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        word = jax.random.bits(key, (2,))
        slips = word[0].astype(jnp.float32) < slip * 2.0**32
        way = jnp.where(slips, (word[1] % SIDES).astype(jnp.int32), action)
        move = moves[jnp.minimum(way, SIDES - 1)]
        y, x = state.cell // 3 + move[0], state.cell % 3 + move[1]
        inside = (y >= 0) & (y < 3) & (x >= 0) & (x < 3)
        along = jnp.where(move[0] != 0, x, y)  # of the wall that is met
        through = ~inside & (offsets(state)[jnp.minimum(way, SIDES - 1)] == along)
        room = jnp.where(through, state.room + 4 * move[0] + move[1], state.room)
        cell = jnp.where(inside | through, y % 3 * 3 + x % 3, state.cell)
        stopped = jnp.bool_(give_up) & (action == SIDES)
        room, cell = jnp.where(stopped, state.room, room), jnp.where(stopped, state.cell, cell)
        after = state._replace(room=room.astype(jnp.int32), cell=cell.astype(jnp.int32))
        there = (after.room == state.goal_room) & (after.cell == state.goal_cell)
        return after, there - jnp.float32(step_cost), there | stopped

    def render(state: State) -> Array:
        board = np.ones((17, 17), np.int32)
        inner = np.add.outer(4 * np.arange(4), 1 + np.arange(3)).ravel()
        board[np.ix_(inner, inner)] = 0
        shown, rooms = jnp.asarray(board), np.arange(ROOMS)
        row, column = 4 * (rooms // 4), 4 * (rooms % 4)
        shown = shown.at[row + 4, column + 1 + state.below].min(jnp.where(found[:, 1], 0, 1))
        shown = shown.at[row + 1 + state.right, column + 4].min(jnp.where(found[:, 3], 0, 1))
        for room, cell, mark in ((state.goal_room, state.goal_cell, 2), (state.room, state.cell, 3)):
            shown = shown.at[4 * (room // 4) + 1 + cell // 3, 4 * (room % 4) + 1 + cell % 3].set(mark)
        return drawing.grid(shown, (drawing.WHITE, drawing.GREY, drawing.GREEN, drawing.ORANGE), scale=10)

    space = Box((8,), 0, np.array([15, 8, 15, 8, 3, 3, 3, 3]), np.int32)
    told = subgoals(leave, SIDES if give_up else None)
    spec = Spec("room_maze", space, Discrete(SIDES + give_up), time_limit, subgoals=told)
    return episodic(initial, transition, observe, spec, render)


def subgoals(leave: Array, give_up: int | None = None) -> Subgoals:
    """The division of the task: to leave the room on one of its four sides, or to stay in it and go to the goal.

    Args:
      leave: `routes`.
      give_up: the action that ends an episode, if there is one.
    """
    steps = jnp.array([4 * y + x for y, x in MOVES], jnp.int32)

    def right(seen: Array) -> Array:
        return leave[seen[0], seen[2]]

    def action(seen: Array, goal: Array) -> Array:
        """To the column (or row) of the door and through it; to the goal by rows first."""
        y, x = seen[1] // 3, seen[1] % 3
        door = seen[4 + jnp.minimum(goal, SIDES - 1)]
        stays, across = goal == STAY, goal < 2
        to_y = jnp.where(stays, seen[3] // 3, jnp.where(across, y, door))
        to_x = jnp.where(stays, seen[3] % 3, jnp.where(across, door, x))
        to_y, to_x = (jnp.where(~stays & (door == NO_DOOR), here, to) for here, to in ((y, to_y), (x, to_x)))
        ways = jnp.stack([to_y < y, to_y > y, to_x < x, to_x > x])
        return jnp.where(jnp.any(ways), jnp.argmax(ways), jnp.where(stays, 0, goal)).astype(jnp.int32)

    def solved(seen: Array) -> Array:
        return (seen[0] == seen[2]) & (seen[1] == seen[3])

    def outcome(before: Array, goal: Array, after: Array) -> tuple[Array, Array]:
        left = before[0] != after[0]
        reached = jnp.where(goal == STAY, solved(after), after[0] == before[0] + steps[jnp.minimum(goal, SIDES - 1)])
        return left | solved(after), reached

    def high(seen: Array) -> tuple[Array, Array]:
        return seen[0] * ROOMS + seen[2], seen[0]

    def low(seen: Array, goal: Array) -> tuple[Array, Array]:
        door = seen[4 + jnp.minimum(goal, SIDES - 1)]
        fine = jnp.where(
            goal == STAY, SIDES * CELLS * 4 + seen[1] * CELLS + seen[3], (goal * CELLS + seen[1]) * 4 + door
        )
        return fine, goal * CELLS + seen[1]

    def joint(seen: Array, goal: Array) -> tuple[Array, Array]:
        del goal
        coarse = (seen[0] * ROOMS + seen[2]) * CELLS + seen[1]
        places = jnp.sum(seen[4:] % 3 * jnp.array([27, 9, 3, 1]))
        home = ROOMS * ROOMS * CELLS * 81 + seen[1] * CELLS + seen[3]
        return jnp.where(seen[0] == seen[2], home, coarse * 81 + places), coarse

    whole = Subgoals(
        num=1,
        right=lambda seen: jnp.int32(0),
        action=lambda seen, goal: action(seen, right(seen)),
        outcome=lambda before, goal, after: (solved(after), solved(after)),
        solved=solved,
        high=Keys((1, 1), lambda seen: (jnp.int32(0), jnp.int32(0))),
        low=Keys((ROOMS * ROOMS * CELLS * 81 + CELLS * CELLS, ROOMS * ROOMS * CELLS), joint),
        give_up=give_up,
    )
    return Subgoals(
        num=SIDES + 1,
        right=right,
        action=action,
        outcome=outcome,
        solved=solved,
        high=Keys((ROOMS * ROOMS, ROOMS), high),
        low=Keys((SIDES * CELLS * 4 + CELLS * CELLS, (SIDES + 1) * CELLS), low),
        give_up=give_up,
        whole=whole,
    )
