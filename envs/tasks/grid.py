"""A grid whose far corner pays for every step that is spent there, with slippery or exchanged moves."""

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Discrete, Environment, Key, Rules, Spec, episodic

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
ACTIONS = len(MOVES)


def neighbours(side: int) -> np.ndarray:
    """Where each move leads, int32 `[side * side, 4]`; off the board is to stay."""
    row, column = np.divmod(np.arange(side * side), side)
    after = [np.clip(row + y, 0, side - 1) * side + np.clip(column + x, 0, side - 1) for y, x in MOVES]
    return np.stack(after, axis=1).astype(np.int32)


def exchanged(side: int, seed: int) -> np.ndarray:
    """The move that each action makes in each cell, int32 `[side * side, 4]`: a permutation of its own in each."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(ACTIONS) for _ in range(side * side)]).astype(np.int32)


def transitions(side: int = 5, slip: float = 0.0, exchange: int | None = None) -> np.ndarray:
    """How likely each cell follows each cell and action, `[cells, 4, cells]`; arguments as for `grid`."""
    after = neighbours(side)
    cells = np.eye(side * side)
    chance = np.repeat(cells[after].mean(axis=1, keepdims=True), ACTIONS, axis=1)
    moves = after if exchange is None else np.take_along_axis(after, exchanged(side, exchange), axis=1)
    return (1 - slip) * cells[moves] + slip * chance


def grid(side: int = 5, slip: float = 0.0, exchange: int | None = None, time_limit: int | None = 40) -> Environment:
    """Starts anywhere; reward 1 for each step that ends in the lower right corner. It never terminates.

    Args:
      side: cells along a side.
      slip: probability that a step is a random move instead.
      exchange: seed by which actions are exchanged in each cell, for tasks that differ in their moves alone; None for
        up, down, left, right everywhere.
      time_limit: steps, or None for no limit.

    Returns:
      Observation int32, row * side + column. Four actions.

    Raises:
      ValueError: an argument out of range.
    """
    if side < 2:
        raise ValueError(f"grid: side must be at least 2, got {side}")
    if not 0 <= slip <= 1:
        raise ValueError(f"grid: slip must be in [0, 1], got {slip}")
    if time_limit is not None and time_limit < 1:
        raise ValueError(f"grid: time_limit must be at least 1 or None, got {time_limit}")
    cells = side * side
    plain = neighbours(side)
    chosen = plain if exchange is None else np.take_along_axis(plain, exchanged(side, exchange), axis=1)

    def initial(key: Key) -> Array:
        return jax.random.randint(key, (), 0, cells)

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        k_slips, k_where = jax.random.split(key)
        anywhere = jnp.asarray(plain)[state, jax.random.randint(k_where, (), 0, ACTIONS)]
        slips = jax.random.uniform(k_slips) < slip
        after = jnp.where(slips, anywhere, jnp.asarray(chosen)[state, action])
        return after, (after == cells - 1).astype(jnp.float32), jnp.bool_(False)

    def render(state: Array) -> Array:
        board = jnp.zeros(cells, jnp.int32).at[cells - 1].set(1).at[state].set(2).reshape(side, side)
        return drawing.grid(board, (drawing.GREY, drawing.GREEN, drawing.ORANGE))

    observe = lambda state: state  # noqa: E731
    spec = Spec("grid", Discrete(cells), Discrete(ACTIONS), time_limit, rules=Rules(observe, transition, observe))
    return episodic(initial, transition, observe, spec, render)
