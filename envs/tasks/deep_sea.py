"""Deep sea: one of 2^size action sequences pays; random exploration does not find it.

Rules of bsuite's `deep_sea` (Osband et al., 2020, "Behaviour Suite for Reinforcement Learning"; Osband et al., 2019,
"Deep Exploration via Randomized Value Functions").
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """The cell; int32. `row == size` after the last step."""

    row: Array
    column: Array


def right_map(size: int, random_map: bool = True, map_seed: int = 0) -> np.ndarray:
    """Which action goes right in each cell, int `[size, size]`."""
    rng = np.random.default_rng(map_seed)
    return rng.integers(2, size=(size, size)) if random_map else np.ones((size, size), int)


def right_actions(size: int, random_map: bool = True, map_seed: int = 0) -> np.ndarray:
    """The actions of the optimal episode, which goes right all the way, int32 `[size]`."""
    return np.diagonal(right_map(size, random_map, map_seed)).astype(np.int32)


def deep_sea(
    size: int = 10, random_map: bool = True, map_seed: int = 0, deterministic: bool = True, move_cost: float = 0.01
) -> Environment:
    """One step down per step, and one to the left or to the right; terminates after `size` steps, its time limit.

    The optimal return is `1 - move_cost` where deterministic, any other policy's is at most 0.

    Args:
      size: rows and columns, at least 2.
      random_map: whether it is random, fixed for the task, which action goes right in which cell; else action 1 does.
      map_seed: of that random map.
      deterministic: if not, a move right fails with probability 1/size, and the rewards in both lower corners carry
        standard normal noise.
      move_cost: of going right all the way.

    Returns:
      Observation float32 [size, size], one-hot cell, and all 0 after the last step. Two actions. Going right from the
      last column pays 1.

    Raises:
      ValueError: for a size below 2.
    """
    if size < 2:
        raise ValueError(f"deep_sea: size must be at least 2, got {size}")
    right_is = right_map(size, random_map, map_seed)

    def cell(state: State) -> Array:
        return (jnp.arange(size)[:, None] == state.row) & (jnp.arange(size)[None, :] == state.column)

    def observe(state: State) -> Array:
        return cell(state).astype(jnp.float32)

    def initial(key: Key) -> State:
        del key
        return State(jnp.int32(0), jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        here = cell(state)
        right = action == jnp.sum(jnp.where(here, jnp.asarray(right_is), 0))
        edge = state.column == size - 1
        reward = jnp.where(right & edge, 1.0, 0.0) - jnp.where(right, move_cost / size, 0.0)
        moved = right
        if not deterministic:
            k_slip, k_noise = jax.random.split(key)
            moved = right & (jax.random.uniform(k_slip) > 1 / size)
            corner = (state.row == size - 1) & ((state.column == 0) | edge)
            reward = reward + jnp.where(corner, jax.random.normal(k_noise), 0.0)
        # A move right that slips stays in its column; only the other action goes left.
        shift = jnp.where(right, moved.astype(jnp.int32), -1)
        state = State(state.row + 1, jnp.clip(state.column + shift, 0, size - 1))
        return state, reward, state.row == size

    def render(state: State) -> Array:
        goal = jnp.zeros((size, size), jnp.int32).at[-1, -1].set(1)
        colours = (drawing.GREY, drawing.GREEN, drawing.ORANGE)
        return drawing.grid(jnp.where(cell(state), 2, goal), colours)

    spec = Spec("deep_sea", Box((size, size), 0.0, 1.0), Discrete(2), size)
    return episodic(initial, transition, observe, spec, render)
