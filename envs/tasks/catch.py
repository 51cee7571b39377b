"""Catch: a ball falls, a paddle must be under it. The smallest task on which an agent can be seen to learn.

Rules of bsuite's `catch` (Osband et al., 2020, "Behaviour Suite for Reinforcement Learning"). The expected return of
random play with the default size is about -0.6; of perfect play, 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """Where things are; int32."""

    ball_row: Array
    ball_column: Array
    paddle: Array  # column, in the last row


def catch(rows: int = 10, columns: int = 5) -> Environment:
    """One ball per episode, which terminates after `rows - 1` steps; that is its time limit too.

    Args:
      rows: height of the board, at least 2.
      columns: width of the board, at least 2.

    Returns:
      Observation float32 [rows, columns], 1 at the ball and at the paddle. Actions: left, stay, right. Reward 0 while
      the ball falls, then +1 if caught and -1 if not.

    Raises:
      ValueError: for a board that is too small.
    """
    for name, value in (("rows", rows), ("columns", columns)):
        if value < 2:
            raise ValueError(f"catch: {name} must be at least 2, got {value}")

    def cells(state: State) -> tuple[Array, Array]:
        row, column = jnp.arange(rows)[:, None], jnp.arange(columns)[None, :]
        ball = (row == state.ball_row) & (column == state.ball_column)
        return ball, (row == rows - 1) & (column == state.paddle)

    def observe(state: State) -> Array:
        ball, paddle = cells(state)
        return (ball | paddle).astype(jnp.float32)

    def initial(key: Key) -> State:
        column = (jax.random.bits(key) % columns).astype(jnp.int32)
        return State(jnp.int32(0), column, jnp.int32(columns // 2))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        paddle = jnp.clip(state.paddle + action.astype(jnp.int32) - 1, 0, columns - 1)
        state = State(state.ball_row + 1, state.ball_column, paddle)
        landed = state.ball_row == rows - 1
        reward = jnp.where(landed, jnp.where(paddle == state.ball_column, 1.0, -1.0), 0.0)
        return state, reward, landed

    def render(state: State) -> Array:
        ball, paddle = cells(state)
        colours = (drawing.GREY, drawing.BLUE, drawing.ORANGE)
        return drawing.grid(jnp.where(ball, 2, jnp.where(paddle, 1, 0)), colours, scale=32)

    spec = Spec("catch", Box((rows, columns), 0.0, 1.0), Discrete(3), rows - 1)
    return episodic(initial, transition, observe, spec, render)
