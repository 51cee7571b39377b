"""A line of whole numbers and an open field: goals whose distance in steps is known exactly.

A step moves every coordinate by at most 1, so that of τ + 1 steps, the first of which is a, whoever walks on as well as
can be ends max(|s + a - g| - τ, 0) away from the goal g in each coordinate: the exact values of temporal difference
models (Pong, Gu, Dalal and Levine, ICLR 2018).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, goals
from envs.base import Array, Box, Discrete, Environment, Key, Space, Spec, episodic

NEAR = 0.5
"""Distance within which a goal counts as reached: half a step."""


def integer_line(size: int = 10, time_limit: int = 27) -> Environment:
    """A walk on -size, ..., size by actions 0, 1 and 2, which are steps of -1, 0 and 1; the ends are walls.

    Args:
      size: the largest number.
      time_limit: steps.

    Returns:
      Observation: `observation` (the place), `achieved_goal` (the same) and `desired_goal`, float32 [1]; start and goal
      are drawn for every episode. Reward: minus the distance to the goal. Episodes are truncated at their limit.

    Raises:
      ValueError: an argument out of range.
    """

    def place(key: Key) -> Array:
        return jax.random.randint(key, (1,), -size, size + 1).astype(jnp.float32)

    return _walk("integer_line", size, 1, time_limit, Discrete(3), lambda action: action[None] - 1.0, place)


def point_mass(size: int = 10, time_limit: int = 27) -> Environment:
    """A point in a square of side 2 size that moves by its action; walls all around.

    Args:
      size: half the side.
      time_limit: steps.

    Returns:
      As for `integer_line`, of two coordinates. Action float32 [2] in [-1, 1], clipped.

    Raises:
      ValueError: an argument out of range.
    """

    def place(key: Key) -> Array:
        return jax.random.uniform(key, (2,), minval=-size, maxval=size)

    actions = Box((2,), -1.0, 1.0)
    return _walk("point_mass", size, 2, time_limit, actions, lambda action: jnp.clip(action, -1.0, 1.0), place)


def exact(place: Array, action: Array, goal: Array, horizon: Array) -> Array:
    """-max(|s + a - g| - τ, 0), the exact value of every coordinate where no wall is in the way.

    Args:
      place: s, `[..., D]`.
      action: a, the move, `[..., D]`.
      goal: g, `[..., D]`.
      horizon: τ, steps that follow, `[...]`.

    Returns:
      `[..., D]`.
    """
    return -jnp.maximum(jnp.abs(place + action - goal) - horizon[..., None], 0.0)


def _walk(
    name: str,
    size: int,
    dims: int,
    limit: int,
    actions: Space,
    move_of: Callable[[Array], Array],
    place: Callable[[Key], Array],
) -> Environment:
    for argument, value in (("size", size), ("time_limit", limit)):
        if value < 1:
            raise ValueError(f"{name}: {argument} must be at least 1, got {value}")
    rules = goals.near(NEAR, "distance")

    def initial(key: Key) -> Array:
        return jnp.stack([place(k) for k in jax.random.split(key)])

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        there = jnp.clip(state[0] + move_of(action), -size, size)
        return jnp.stack([there, state[1]]), rules.reward(there, state[1]), jnp.bool_(False)

    def render(state: Array) -> Array:
        frame = drawing.canvas(160, 160, drawing.GREY)
        for at, colour, width in ((state[1], drawing.GREEN, 0.08), (state[0], drawing.ORANGE, 0.05)):
            shown = jnp.concatenate([at, jnp.zeros(2 - dims)]) / (2.2 * size)
            frame = drawing.segment(frame, (shown[0], shown[1]), (shown[0], shown[1]), width, colour)
        return frame

    space = Box((dims,), np.float32(-size), np.float32(size))
    spec = Spec(name, goals.spaces(space, space), actions, limit, rules)
    return episodic(initial, transition, lambda state: goals.observed(state[0], state[0], state[1]), spec, render)
