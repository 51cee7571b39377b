"""OGBench's point mazes in pure JAX: a disc is pushed through corridors to one of five goals, or walks to make data.

Park, Frans, Eysenbach and Levine, "OGBench: benchmarking offline goal-conditioned RL", ICLR 2025. Cells are 4 wide, the
disc has a radius of 0.7 and moves by 0.2 times the action. OGBench leaves walls to MuJoCo, whose contacts give way: of
what a move goes into a wall by, 0.177 is left, measured with OGBench's model at faces and corners alike.
"""

import functools
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import goals
from envs.base import Array, Box, Environment, Key, Spec, episodic
from envs.tasks import point_maze

LAYOUTS = {
    "medium": point_maze.LAYOUTS["medium"],
    "large": ("############", "#    #     #", "# ## # # # #", "#      #   #", "# #### ### #", "#  # #     #",
              "## # # # ###", "#  #   #   #", "############"),
}  # fmt: skip
TASKS = {
    "medium": (((1, 1), (6, 6)), ((6, 1), (1, 6)), ((5, 3), (4, 2)), ((6, 5), (6, 1)), ((2, 6), (1, 1))),
    "large": (((1, 1), (7, 10)), ((5, 4), (7, 1)), ((7, 4), (1, 10)), ((3, 8), (5, 4)), ((1, 1), (5, 4))),
}
"""Rows and columns of the cells that an evaluation starts in and goes to."""
CELL, RADIUS, SPEED, REACHED, SPREAD, SOFT = 4.0, 0.7, 0.2, 1.0, 1.0, 0.177
LIMIT = 1000
BESIDE = ((-1, 0), (0, -1), (1, 0), (0, 1))  # rows and columns


class State(NamedTuple):
    """Where the disc and the goal are, float32 [2]: x by columns and y by rows, the first free cell at (0, 0)."""

    position: Array
    goal: Array


def walls(layout: str) -> np.ndarray:
    """Booleans `[rows, columns]`, True at walls."""
    return np.array([[mark == "#" for mark in row] for row in LAYOUTS[layout]])


def centre(cell: np.ndarray) -> np.ndarray:
    """The middle of cells `[..., 2]`, rows and columns, as x and y, float32."""
    return (CELL * (np.asarray(cell)[..., ::-1] - 1)).astype(np.float32)


def cell_of(position: Array) -> Array:
    """The cell that positions `[..., 2]` are in: rows and columns, int32."""
    return jnp.floor(position[..., ::-1] / CELL + 1.5).astype(jnp.int32)


def free(layout: str) -> np.ndarray:
    """All cells without a wall, `[F, 2]`."""
    return np.argwhere(~walls(layout))


def crossings(layout: str) -> np.ndarray:
    """Those of them that are no straight piece of a corridor, which the goals of data are drawn from, `[V, 2]`."""
    plan = walls(layout)

    def straight(i: int, j: int) -> bool:
        up, left, down, right = (plan[i + di, j + dj] for di, dj in BESIDE)
        return (up and down and not left and not right) or (left and right and not up and not down)

    return np.array([cell for cell in free(layout) if not straight(*cell)])


@functools.cache
def ways(layout: str) -> np.ndarray:
    """The middle of the cell next on the shortest way, float32 `[goals, cells, 2]`, with cells counted row by row."""
    plan = walls(layout)
    here = centre(np.moveaxis(np.indices(plan.shape), 0, -1)).reshape(-1, 2)
    found = np.tile(here[None], (plan.size, 1, 1))
    for goal in free(layout):
        far = np.full(plan.shape, plan.size)
        far[tuple(goal)] = 0
        for _ in range(plan.size):
            padded = np.pad(far, 1, constant_values=plan.size)
            near = np.min([padded[1 + di :, 1 + dj :][: plan.shape[0], : plan.shape[1]] for di, dj in BESIDE], axis=0)
            far = np.where(plan, plan.size, np.minimum(far, near + 1))
        for i, j in free(layout):
            if far[i, j]:
                at = min(((i + di, j + dj) for di, dj in BESIDE), key=lambda cell: far[cell])
                found[goal[0] * plan.shape[1] + goal[1], i * plan.shape[1] + j] = centre(np.array(at))
    return found


def direction(layout: str, position: Array, goal: Array) -> Array:
    """The unit vector to the middle of the next cell on the way, in the goal's cell to its own: OGBench's oracle.

    Args:
      layout: "medium" or "large".
      position: `[..., 2]`.
      goal: `[..., 2]`.
    """
    number = lambda at: cell_of(at) @ jnp.array([len(LAYOUTS[layout][0]), 1])  # noqa: E731
    way = jnp.asarray(ways(layout))[number(goal), number(position)] - position
    return way / (jnp.linalg.norm(way, axis=-1, keepdims=True) + 1e-6)


def moved(plan: Array, position: Array, move: Array) -> Array:
    """Where a disc comes to lie that is moved, `[2]`.

    Args:
      plan: booleans `[rows, columns]`; the border is all wall.
      position: `[2]`, outside of walls.
      move: `[2]`, much shorter than a cell.
    """
    there = position + move
    row, column = cell_of(there)
    middle = (jnp.stack([column, row]) - 1) * CELL
    reach = lambda di, dj: jnp.where(plan[row + di, column + dj], CELL / 2 - RADIUS, CELL)  # noqa: E731
    low, high = jnp.stack([reach(0, -1), reach(-1, 0)]), jnp.stack([reach(0, 1), reach(1, 0)])
    outside = jnp.clip(there, middle - low, middle + high)
    for di, dj in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
        off = outside - middle - CELL / 2 * jnp.array([dj, di])
        gap = jnp.sqrt(jnp.sum(jnp.square(off)) + 1e-12)
        inside = plan[row + di, column + dj] & (gap < RADIUS)
        outside = outside + jnp.where(inside, (RADIUS - gap) / gap, 0.0) * off
    return outside + SOFT * (there - outside)


def maze(
    layout: str,
    goal: Literal["tasks", "walk"] = "tasks",
    task: int = 0,
    reward: goals.Pay = "bonus",
    time_limit: int = LIMIT,
) -> Environment:
    """A maze of the benchmark. Starts and goals lie within 1 of the middle of a cell, and within 1 a goal is reached.

    Args:
      layout: "medium" or "large".
      goal: "tasks", the starts and goals of evaluations, where reaching the goal ends the episode; or "walk", which
        data is of ("navigate" there): from anywhere to cells that are no straight piece of a corridor, in turn.
      task: 1 to 5, or 0 for any of them, drawn uniformly.
      reward: how goals pay, see `goals.near`.
      time_limit: steps.

    Returns:
      Observation: `observation` (x and y), `achieved_goal` (the same) and `desired_goal`, float32 [2]. Action float32
      [2] in [-1, 1], clipped.

    Raises:
      ValueError: an argument out of range.
    """
    if goal not in ("tasks", "walk"):
        raise ValueError(f"pointmaze-{layout}: goal is {goal!r}; allowed: tasks, walk")
    if not 0 <= task <= len(TASKS[layout]) or (task and goal == "walk"):
        raise ValueError(f"pointmaze-{layout}: task is {task}; allowed: 0, and with goal=tasks 1 to 5")
    if time_limit < 1:
        raise ValueError(f"pointmaze-{layout}: time_limit must be at least 1, got {time_limit}")
    rules = goals.near(REACHED, reward, terminates=goal == "tasks")
    grid = walls(layout)
    plan = jnp.asarray(grid)
    chosen = TASKS[layout] if task == 0 else TASKS[layout][task - 1 : task]
    starts = jnp.asarray(centre(free(layout) if goal == "walk" else np.array(chosen)[:, 0]))
    aims = jnp.asarray(centre(crossings(layout) if goal == "walk" else np.array(chosen)[:, 1]))

    def about(key: Key, places: Array, number: Array) -> Array:
        return places[number] + jax.random.uniform(key, (2,), minval=-SPREAD, maxval=SPREAD)

    def initial(key: Key) -> State:
        k_start, k_goal, k_from, k_to = jax.random.split(key, 4)
        start = jax.random.randint(k_start, (), 0, len(starts))
        aim = jax.random.randint(k_goal, (), 0, len(aims)) if goal == "walk" else start
        return State(about(k_from, starts, start), about(k_to, aims, aim))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        towards = state.goal
        if goal == "walk":  # a goal that was reached is shown once more, in the row that is paid for it
            k_goal, k_to = jax.random.split(key)
            new = about(k_to, aims, jax.random.randint(k_goal, (), 0, len(aims)))
            towards = jnp.where(rules.reached(state.position, towards), new, towards)
        position = moved(plan, state.position, SPEED * jnp.clip(action, -1.0, 1.0))
        over = rules.reached(position, towards) if goal == "tasks" else jnp.bool_(False)
        return State(position, towards), rules.reward(position, towards), over

    def observe(state: State) -> dict[str, Array]:
        return goals.observed(state.position, state.position, state.goal)

    def render(state: State) -> Array:
        # As on paper: y grows upwards, and the lower left corner of the plan is at (0, 0).
        unit = lambda at: at / CELL + 1.5  # noqa: E731
        return point_maze.picture(plan.T, unit(state.goal), unit(state.position), RADIUS / CELL * 2)

    space = Box((2,), -CELL, np.array(grid.shape[::-1], np.float32) * CELL - 1.5 * CELL)
    spec = Spec(f"pointmaze-{layout}", goals.spaces(space, space), Box((2,), -1.0, 1.0), time_limit, rules)
    return episodic(initial, transition, observe, spec, render)


def medium(
    goal: Literal["tasks", "walk"] = "tasks", task: int = 0, reward: goals.Pay = "bonus", time_limit: int = LIMIT
) -> Environment:
    """The medium maze, 26 free cells of 8 × 8; see `maze`."""
    return maze("medium", goal, task, reward, time_limit)


def large(
    goal: Literal["tasks", "walk"] = "tasks", task: int = 0, reward: goals.Pay = "bonus", time_limit: int = LIMIT
) -> Environment:
    """The large maze, 12 × 9 cells; see `maze`."""
    return maze("large", goal, task, reward, time_limit)
