"""Pendulum: swing up and hold, as gymnasium's Pendulum-v1 has it. It never terminates."""

import math

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Environment, Key, Spec, episodic

GRAVITY, MASS, LENGTH, TIME = 10.0, 1.0, 1.0, 0.05  # SI units
MAX_SPEED, MAX_TORQUE = 8.0, 2.0


def pendulum(time_limit: int | None = 200) -> Environment:
    """Truncates after `time_limit` steps; a bare time limit, so learning from it needs truncation done right.

    Args:
      time_limit: steps, or None for no limit.

    Returns:
      Observation float32 [3]: cos θ, sin θ, dθ/dt, with θ = 0 upright. Action float32 [1], torque in [-2, 2], clipped.
      Reward -(θ² + 0.1 (dθ/dt)² + 0.001 u²), of the state acted in, with θ in [-π, π).

    Raises:
      ValueError: for a time limit below 1.
    """
    if time_limit is not None and time_limit < 1:
        raise ValueError(f"pendulum: time_limit must be at least 1 or None, got {time_limit}")

    def observe(state: Array) -> Array:
        return jnp.stack([jnp.cos(state[0]), jnp.sin(state[0]), state[1]])

    def initial(key: Key) -> Array:
        high = jnp.array([math.pi, 1.0], jnp.float32)
        return high * jax.random.uniform(key, (2,), minval=-1.0, maxval=1.0)

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        theta, speed = state
        u = jnp.clip(action[0], -MAX_TORQUE, MAX_TORQUE)
        reward = -(theta**2 + 0.1 * speed**2 + 0.001 * u**2)
        acceleration = 1.5 * GRAVITY / LENGTH * jnp.sin(theta) + 3 / (MASS * LENGTH**2) * u
        speed = jnp.clip(speed + acceleration * TIME, -MAX_SPEED, MAX_SPEED)
        # The state keeps the angle within one turn, so that float32 stays exact however long it spins. Selects, since
        # a float remainder is slow on the CPU.
        theta = theta + speed * TIME
        turn = jnp.where(theta >= math.pi, 1.0, jnp.where(theta < -math.pi, -1.0, 0.0))
        theta = theta - turn * 2 * math.pi
        return jnp.stack([theta, speed]), reward, jnp.bool_(False)

    def render(state: Array) -> Array:
        tip = 0.4 * jnp.sin(-state[0]), 0.4 * jnp.cos(state[0])  # positive angles turn to the left
        frame = drawing.segment(drawing.canvas(160, 160), (0.0, 0.0), tip, 0.08, drawing.RED)
        return drawing.segment(frame, (0.0, 0.0), (0.0, 0.0), 0.04, drawing.BLACK)

    high = np.array([1.0, 1.0, MAX_SPEED], np.float32)
    spec = Spec("pendulum", Box((3,), -high, high), Box((1,), -MAX_TORQUE, MAX_TORQUE), time_limit, fps=1 / TIME)
    return episodic(initial, transition, observe, spec, render)
