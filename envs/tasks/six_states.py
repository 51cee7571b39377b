"""A chain of six states that pays well at one end for having been at the other: a task that needs goals that last.

Kulkarni et al., "Hierarchical deep reinforcement learning", NeurIPS 2016, section 4.1, after Osband et al., 2016.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Discrete, Environment, Key, Keys, Spec, Subgoals, episodic

STATES = 6


class State(NamedTuple):
    """Where one is, int32 from 0, and whether the far end was visited."""

    place: Array
    visited: Array


def six_states(success: float = 0.5, time_limit: int = 100) -> Environment:
    """Begins in the second state and ends in the first; actions are left, which goes there, and right.

    Args:
      success: probability that right goes right; else it goes left. In the last state it stays.
      time_limit: steps.

    Returns:
      Observation int32: the state, of 6; not whether the last one was visited. Reward at the end: 1 if it was, else
      0.01. With success 0.5 no policy is paid more than 0.208 on average.

    Raises:
      ValueError: an argument out of range.
    """
    if not 0 <= success <= 1:
        raise ValueError(f"six_states: success must be in [0, 1], got {success}")
    if time_limit < 1:
        raise ValueError(f"six_states: time_limit must be at least 1, got {time_limit}")

    def initial(key: Key) -> State:
        del key
        return State(jnp.int32(1), jnp.bool_(False))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        right = (action == 1) & (jax.random.uniform(key) < success)
        place = jnp.clip(state.place + jnp.where(right, 1, -1), 0, STATES - 1).astype(jnp.int32)
        after = State(place, state.visited | (place == STATES - 1))
        ended = place == 0
        return after, jnp.where(ended, jnp.where(after.visited, 1.0, 0.01), 0.0), ended

    def render(state: State) -> Array:
        board = jnp.zeros(STATES, jnp.int32).at[STATES - 1].set(jnp.where(state.visited, 2, 1)).at[state.place].set(3)
        return drawing.grid(board[None], (drawing.GREY, drawing.BLUE, drawing.GREEN, drawing.ORANGE))

    observe = lambda state: state.place  # noqa: E731
    spec = Spec("six_states", Discrete(STATES), Discrete(2), time_limit, subgoals=subgoals())
    return episodic(initial, transition, observe, spec, render)


def subgoals() -> Subgoals:
    """To be in one of the states. The teacher, who does not know what was visited, always goes for the last."""
    whole = Subgoals(
        num=1,
        right=lambda seen: jnp.int32(0),
        action=lambda seen, goal: jnp.int32(1),
        outcome=lambda before, goal, after: (after == 0, after == 0),
        solved=lambda seen: seen == 0,
        high=Keys((1, 1), lambda seen: (jnp.int32(0), jnp.int32(0))),
        low=Keys((STATES, 1), lambda seen, goal: (seen, jnp.int32(0))),
    )
    return Subgoals(
        num=STATES,
        right=lambda seen: jnp.int32(STATES - 1),
        action=lambda seen, goal: (goal > seen).astype(jnp.int32),
        outcome=lambda before, goal, after: ((after == goal) | (after == 0), after == goal),
        solved=lambda seen: seen == 0,
        high=Keys((STATES, 1), lambda seen: (seen, jnp.int32(0))),
        low=Keys((STATES * STATES, STATES), lambda seen, goal: (goal * STATES + seen, goal)),
        whole=whole,
    )
