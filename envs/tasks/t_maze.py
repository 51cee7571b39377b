"""T-maze: a sign at the start of a corridor says which way to turn at its end.

Rules of Bakker, "Reinforcement learning with long short-term memory", NIPS 2001. Without memory the way is guessed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """Where the agent is and where the prize."""

    place: Array  # int32, 0 at the start, `length` at the junction
    north: Array  # int32, 1 if the prize is there, else 0


def t_maze(length: int = 10, time_limit: int | None = None) -> Environment:
    """Terminates with a turn at the junction.

    Args:
      length: steps from the start to the junction, at least 1.
      time_limit: steps; by default `3 * length + 10`.

    Returns:
      Observation float32 [3]: 011 or 110 at the start, for north and south; 101 in the corridor; 010 at the junction.
      Actions: north, east, south, west. Reward 4 for the right turn, -0.1 for the wrong one and for walking into a
      wall, else 0.

    Raises:
      ValueError: for arguments out of range.
    """
    if length < 1:
        raise ValueError(f"t_maze: length must be at least 1, got {length}")
    if time_limit is not None and time_limit <= length:
        raise ValueError(f"t_maze: time_limit must be above length ({length}), got {time_limit}")
    signs = jnp.array([[1.0, 1.0, 0.0], [0.0, 1.0, 1.0]])
    corridor, junction = jnp.array([1.0, 0.0, 1.0]), jnp.array([0.0, 1.0, 0.0])

    def observe(state: State) -> Array:
        sign = jnp.where(state.north == 1, signs[1], signs[0])
        return jnp.where(state.place == 0, sign, jnp.where(state.place >= length, junction, corridor))

    def initial(key: Key) -> State:
        return State(jnp.int32(0), (jax.random.bits(key) >> 31).astype(jnp.int32))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        turned = (state.place == length) & ((action == 0) | (action == 2))
        place = jnp.clip(state.place + (action == 1) - (action == 3), 0, length).astype(jnp.int32)
        right = turned & ((action == 0) == (state.north == 1))
        reward = jnp.where(right, 4.0, jnp.where(turned | (place == state.place), -0.1, 0.0))
        return State(jnp.where(turned, state.place, place), state.north), reward, turned

    def render(state: State) -> Array:
        row, column = jnp.arange(3)[:, None], jnp.arange(length + 1)[None]
        free = (row == 1) | (column == length)
        prize = (column == length) & (row == 2 - 2 * state.north)
        cells = jnp.where((row == 1) & (column == state.place), 3, jnp.where(prize, 2, jnp.where(free, 0, 1)))
        return drawing.grid(cells, (drawing.GREY, drawing.BLACK, drawing.GREEN, drawing.ORANGE), scale=32)

    spec = Spec("t_maze", Box((3,), 0.0, 1.0), Discrete(4), time_limit or 3 * length + 10)
    return episodic(initial, transition, observe, spec, render)
