"""CartPole: balance a pole on a cart (Barto, Sutton & Anderson, 1983), as gymnasium's CartPole-v1 has it."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

GRAVITY, CART_MASS, POLE_MASS, HALF_LENGTH, FORCE, TIME = 9.8, 1.0, 0.1, 0.5, 10.0, 0.02  # SI units
MAX_POSITION, MAX_ANGLE = 2.4, 12 * math.pi / 180


def cartpole(time_limit: int | None = 500) -> Environment:
    """Terminates when the cart leaves ±2.4 m or the pole leaves ±12°; truncates after `time_limit` steps.

    Args:
      time_limit: steps, or None for no limit.

    Returns:
      Observation float32 [4]: position, velocity, angle, angular velocity. Actions: push left, push right. Reward 1 on
      every step, the terminating one too.

    Raises:
      ValueError: for a time limit below 1.
    """
    if time_limit is not None and time_limit < 1:
        raise ValueError(f"cartpole: time_limit must be at least 1 or None, got {time_limit}")
    total = CART_MASS + POLE_MASS

    def initial(key: Key) -> Array:
        return jax.random.uniform(key, (4,), minval=-0.05, maxval=0.05)

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        _, x_dot, theta, theta_dot = state
        sin, cos = jnp.sin(theta), jnp.cos(theta)
        push = (jnp.where(action == 1, FORCE, -FORCE) + POLE_MASS * HALF_LENGTH * theta_dot**2 * sin) / total
        theta_acc = (GRAVITY * sin - cos * push) / (HALF_LENGTH * (4 / 3 - POLE_MASS * cos**2 / total))
        x_acc = push - POLE_MASS * HALF_LENGTH * theta_acc * cos / total
        state = state + TIME * jnp.stack([x_dot, x_acc, theta_dot, theta_acc])
        fell = (abs(state[0]) > MAX_POSITION) | (abs(state[2]) > MAX_ANGLE)
        return state, jnp.float32(1), fell

    high = np.array([2 * MAX_POSITION, np.inf, 2 * MAX_ANGLE, np.inf], np.float32)
    spec = Spec("cartpole", Box((4,), -high, high), Discrete(2), time_limit, fps=1 / TIME)
    return episodic(initial, transition, lambda state: state, spec, render)


def render(state: Array) -> Array:
    """An RGB frame, uint8 [160, 240, 3], of a state or an observation float32 [4]."""
    x, theta = state[0] / 4, state[2]
    frame = drawing.rectangle(drawing.canvas(160, 240), (0, -0.3), (2, 0.01), drawing.GREY)
    frame = drawing.rectangle(frame, (x, -0.25), (0.25, 0.1), drawing.BLACK)
    tip = x + 0.55 * jnp.sin(theta), -0.2 + 0.55 * jnp.cos(theta)
    return drawing.segment(frame, (x, -0.2), tip, 0.04, drawing.ORANGE)
