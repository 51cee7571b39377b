"""Four rooms: a grid of four rooms joined by four doorways.

Sutton, Precup and Singh, "Between MDPs and semi-MDPs", Artificial Intelligence 1999; with any cell as the goal in
Schaul et al., "Universal value function approximators", ICML 2015; with a goal that moves after so many episodes in
Bacon, Harb and Precup, "The option-critic architecture", AAAI 2017.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, goals
from envs.base import Array, Discrete, Environment, Key, Spec, episodic

LAYOUT = (
    "#############",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#     #     #",
    "## ####     #",
    "#     ### ###",
    "#     #     #",
    "#     #     #",
    "#           #",
    "#     #     #",
    "#############",
)
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
Target = Literal["any", "doorway", "room", "corner"]
Start = Literal["any", "corner"]


class State(NamedTuple):
    """Numbers of two cells; int32."""

    cell: Array
    goal: Array


def walls(scale: int = 1) -> np.ndarray:
    """The map as booleans, True at walls, every cell `scale` x `scale` times."""
    return np.kron(np.array([[c == "#" for c in row] for row in LAYOUT]), np.ones((scale, scale), bool))


def cells(scale: int = 1) -> np.ndarray:
    """Row and column of every free cell, int `[cells, 2]`, in the order in which they are numbered."""
    return np.argwhere(~walls(scale))


def neighbours(scale: int = 1) -> np.ndarray:
    """Where each action leads, int `[cells, 4]`: numbers of cells, the same one where there is a wall."""
    free = cells(scale)
    number = {tuple(cell): i for i, cell in enumerate(free.tolist())}
    return np.array([[number.get((r + dr, c + dc), i) for dr, dc in MOVES] for i, (r, c) in enumerate(free.tolist())])


def distances(scale: int = 1) -> np.ndarray:
    """Steps from each cell to each, int `[cells, cells]`."""
    adjacent = neighbours(scale)
    far = np.full((len(adjacent), len(adjacent)), len(adjacent))
    np.fill_diagonal(far, 0)
    while True:
        nearer = np.minimum(far, far[adjacent].min(1) + 1)
        if (nearer == far).all():
            return far
        far = nearer


def four_rooms(
    goal: Target = "any",
    start: Start = "any",
    switch: int | None = None,
    slip: float = 0.0,
    scale: int = 1,
    reward: goals.Pay = "bonus",
    time_limit: int = 200,
    told: bool = True,
) -> Environment:
    """Moves in four directions; into a wall is to stay. Ends at the goal.

    Args:
      goal: where it is: "any" free cell, drawn for each episode; the "doorway" in the east; any cell of the lower
        right "room"; the lower right "corner".
      start: "any" cell but the goal, or the upper left "corner".
      switch: after so many episodes in a lane the goal moves to a cell of the lower right room, drawn once for the
        lane, where it stays; None for never. With goal="doorway", switch=1000, slip=1/3 and told=False this is the task
        of option-critic.
      slip: probability that a move is followed by one to a random free neighbour.
      scale: cells along the side of a square that was one cell: 1 gives 104 cells, 2 gives 416.
      reward: "bonus" (1 at the goal) or "cost" (-1 until there).
      time_limit: steps.
      told: show the goal; if not, observations are the number of the cell alone.

    Returns:
      Observation: `observation`, `achieved_goal` (the same) and `desired_goal`, numbers of cells (int32), see `cells`;
      where the goal is not told, the first of them.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value in (("scale", scale), ("time_limit", time_limit)):
        if value < 1:
            raise ValueError(f"four_rooms: {name} must be at least 1, got {value}")
    if not 0 <= slip <= 1:
        raise ValueError(f"four_rooms: slip must be in [0, 1], got {slip}")
    for name, text, kind in (("goal", goal, Target), ("start", start, Start)):
        if text not in get_args(kind):
            raise ValueError(f"four_rooms: {name} is {text!r}; allowed: {', '.join(get_args(kind))}")
    rules = goals.same(reward)
    free, adjacent = cells(scale), jnp.asarray(neighbours(scale), jnp.int32)
    moves_on = adjacent != jnp.arange(len(free))[:, None]
    row, column = free.T // scale
    within = {
        "any": np.ones(len(free), bool),
        "doorway": (row == 7) & (column == 9),
        "room": (row > 7) & (column > 6),
        "corner": np.arange(len(free)) == len(free) - 1,
    }
    places = {name: jnp.asarray(np.flatnonzero(mask), jnp.int32) for name, mask in within.items()}
    board = jnp.asarray(walls(scale), jnp.int32)

    def observe(state: State) -> Any:
        return goals.observed(state.cell, state.cell, state.goal) if told else state.cell

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        cell = adjacent[state.cell, action]
        if slip:
            k_slip, k_where = jax.random.split(key)
            where = jax.random.categorical(k_where, jnp.where(moves_on[cell], 0.0, -jnp.inf))
            slips = (jax.random.uniform(k_slip) < slip) & (cell != state.cell)
            cell = jnp.where(slips, adjacent[cell, where], cell)
        return State(cell, state.goal), rules.reward(cell, state.goal), rules.reached(cell, state.goal)

    def render(state: State) -> Array:
        at = jnp.asarray(free)
        shown = board.at[tuple(at[state.goal])].set(2).at[tuple(at[state.cell])].set(3)
        return drawing.grid(shown, (drawing.WHITE, drawing.GREY, drawing.GREEN, drawing.ORANGE))

    number = Discrete(len(free))
    seen: Any = goals.spaces(number, number) if told else number
    spec = Spec("four_rooms", seen, Discrete(4), time_limit, rules if told else None)

    def towards(targets: Array) -> Environment:
        """The task whose goal is one of `targets`, `[n]`, drawn for each episode."""

        def initial(key: Key) -> State:
            k_goal, k_cell = jax.random.split(key)
            target = targets[jax.random.randint(k_goal, (), 0, targets.size)]
            if start == "corner":
                return State(jnp.int32(0), target)
            other = jax.random.randint(k_cell, (), 1, len(free))
            return State((target + other) % len(free), target)

        return episodic(initial, transition, observe, spec, render)

    if switch is None:
        return towards(places[goal])
    room = places["room"]
    later = lambda key: room[jax.random.randint(key, (1,), 0, room.size)]  # noqa: E731
    return goals.switching(towards(places[goal]), towards, switch, later)
