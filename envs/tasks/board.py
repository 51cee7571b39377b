"""Board games for two who move in turn and want so many in a row: tic-tac-toe and Connect Four.

By default one agent moves for both sides: every observation is of whoever is to move, a reward is paid to whoever just
moved, and what follows is worth the opposite to it (`envs.base.Rules.turns`). With an opponent who moves at random, as
evaluations have it, the agent has one side, and every second game begins with the other's move.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Rules, Spec, episodic

OPPONENTS = ("self", "random")


def tic_tac_toe(opponent: str = "self", win: float = 1.0, loss: float = 1.0) -> Environment:
    """Three in a row on 3 x 3 cells; action 3 i + j takes cell (i, j). A taken cell loses at once.

    Args:
      opponent: "self" to move for both sides, or "random" to play against legal moves drawn uniformly.
      win: what a win is paid.
      loss: what a loss costs, against an opponent or by a move that is not allowed.

    Returns:
      Observation float32 [3, 3, 2]: cells of whoever is to move, and of the other. Draws are paid nothing.

    Raises:
      ValueError: for an opponent that there is not, or pay below 0.
    """
    return board("tic-tac-toe", (3, 3), 3, False, opponent, win, loss)


def connect_four(opponent: str = "self", win: float = 1.0, loss: float = 1.0) -> Environment:
    """Four in a row on 6 x 7 cells; an action is a column, in which a disc falls. A full column loses at once.

    Args:
      opponent: "self" to move for both sides, or "random" to play against legal moves drawn uniformly.
      win: what a win is paid.
      loss: what a loss costs, against an opponent or by a move that is not allowed.

    Returns:
      Observation float32 [6, 7, 2]: cells of whoever is to move, and of the other; discs fall towards the last row.

    Raises:
      ValueError: for an opponent that there is not, or pay below 0.
    """
    return board("connect-four", (6, 7), 4, True, opponent, win, loss)


def lines(shape: tuple[int, int], length: int) -> np.ndarray:
    """All rows, columns and diagonals of so many cells, as zeros and ones: float32 [rows * columns, lines]."""
    rows, columns = shape
    found = []
    for i, j, (down, right) in (
        (i, j, way) for i in range(rows) for j in range(columns) for way in ((0, 1), (1, 0), (1, 1), (1, -1))
    ):
        ends = i + (length - 1) * down, j + (length - 1) * right
        if 0 <= ends[0] < rows and 0 <= ends[1] < columns:
            one = np.zeros(shape, np.float32)
            one[[i + k * down for k in range(length)], [j + k * right for k in range(length)]] = 1
            found.append(one.reshape(-1))
    return np.stack(found, -1)


def board(
    name: str, shape: tuple[int, int], length: int, falling: bool, opponent: str, win: float, loss: float
) -> Environment:
    """The game on a board of `shape` with `length` in a row; arguments and errors as for the games above."""
    if opponent not in OPPONENTS:
        raise ValueError(f"{name}: opponent must be one of {', '.join(OPPONENTS)}, got {opponent!r}")
    for word, value in (("win", win), ("loss", loss)):
        if not 0 <= value < np.inf:
            raise ValueError(f"{name}: {word} must be at least 0, got {value}")
    rows, columns = shape
    actions = columns if falling else rows * columns
    rules = Rules(restore, _transition(shape, length, falling, win, loss), observe, None, _legal(falling), True)
    forward = rules.transition
    reply = _transition(shape, length, falling, 1.0, loss)  # tells a win of the other's, whatever one's own pays

    def initial(key: Key) -> Array:
        empty = jnp.zeros(shape, jnp.int8)
        if opponent == "self":
            return empty
        k_who, k_move = jax.random.split(key)
        begun = forward(k_move, empty, jax.random.randint(k_move, (), 0, actions, jnp.int32))[0]
        return jnp.where(jax.random.bernoulli(k_who), begun, empty)

    def answered(key: Key, cells: Array, action: Array) -> tuple[Array, Array, Array]:
        cells, reward, over = forward(key, cells, action)
        wish = jnp.where(_legal(falling)(observe(cells)), jax.random.uniform(key, (actions,)), -1.0)
        after, theirs, ended = reply(key, cells, jnp.argmax(wish).astype(jnp.int32))
        lost = jnp.where(theirs > 0, -loss, 0.0)
        # A game that is over stays as it is, seen by the agent, who moved last.
        after = jnp.where(over, -cells, after)
        return after, jnp.where(over, reward, lost).astype(jnp.float32), over | ended

    spec = Spec(name, Box((rows, columns, 2), 0.0, 1.0), Discrete(actions), rows * columns, rules=rules, fps=2)
    return episodic(initial, forward if opponent == "self" else answered, observe, spec, render)


def observe(cells: Array) -> Array:
    """Cells [rows, columns], 1 of whoever is to move and -1 of the other, as float32 [rows, columns, 2]."""
    return jnp.stack([cells == 1, cells == -1], -1).astype(jnp.float32)


def restore(observation: Array) -> Array:
    """The cells that an observation shows, int8 [rows, columns]."""
    return (observation[..., 0] - observation[..., 1]).astype(jnp.int8)


def _legal(falling: bool) -> Callable[[Array], Array]:
    def legal(observation: Array) -> Array:
        free = jnp.sum(observation, -1) == 0
        return free[0] if falling else free.reshape(-1)

    return legal


def _transition(
    shape: tuple[int, int], length: int, falling: bool, win: float, loss: float
) -> Callable[[Key, Array, Array], tuple[Array, Array, Array]]:
    """`(key, cells, action) -> (cells, reward, over)` of one move; the cells are then those of the other side."""
    every, (rows, columns) = lines(shape, length), shape

    def transition(key: Key, cells: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        free = cells == 0
        if falling:
            row = jnp.sum(free, 0)[action] - 1  # below 0 in a full column
            column = action
        else:
            row, column = action // columns, action % columns
        here = (jnp.arange(rows)[:, None] == row) & (jnp.arange(columns)[None] == column)
        allowed = jnp.any(here & free)
        cells = jnp.where(here & free, jnp.int8(1), cells)
        mine = (cells == 1).reshape(-1).astype(jnp.float32)
        won = jnp.any(mine @ every >= length)
        reward = jnp.where(allowed, jnp.where(won, win, 0.0), -loss).astype(jnp.float32)
        return -cells, reward, won | ~allowed | jnp.all(cells != 0)

    return transition


def render(cells: Array) -> Array:
    """A frame to film, in the colours of whoever is to move and of the other."""
    colours = (drawing.GREY, drawing.BLUE, drawing.ORANGE)
    return drawing.grid(jnp.where(cells == 1, 1, jnp.where(cells == -1, 2, 0)), colours, scale=32)
