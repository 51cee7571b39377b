"""Catch as an image, with a reward for what is caught and none for what is not: rewards are rare until one can play."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from envs.base import Array, Box, Environment, Key, TimeStep
from envs.tasks.catch import catch


def pixel_catch(size: int = 16) -> Environment:
    """One ball per episode falls through a square image, and a paddle starts in its middle.

    Args:
      size: pixels in a side, at least 2; an episode takes `size - 1` steps.

    Returns:
      Observation uint8 [size, size, 1], 255 at the ball and at the paddle. Actions: left, stay, right. Reward 1 if the
      ball is caught, at the end.

    Raises:
      ValueError: for a board that is too small.
    """
    plain = catch(size, size)

    def see(moved: tuple[Any, TimeStep]) -> tuple[Any, TimeStep]:
        state, timestep = moved
        image = (255 * timestep.observation).astype(jnp.uint8)[..., None]
        return state, timestep._replace(observation=image, reward=jnp.maximum(timestep.reward, 0.0))

    def reset(key: Key) -> tuple[Any, TimeStep]:
        return see(plain.reset(key))

    def step(state: Any, action: Array) -> tuple[Any, TimeStep]:
        return see(plain.step(state, action))

    spec = plain.spec._replace(name="pixel-catch", observation=Box((size, size, 1), 0, 255, np.uint8))
    return Environment(reset, step, spec, plain.render)
