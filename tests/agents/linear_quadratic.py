"""A linear system with quadratic costs, whose best policy is linear and whose action values are quadratic."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import FIRST, MID, Step, TimeStep

A, B = np.array([[0.9, 0.2], [-0.1, 0.8]]), np.array([[0.5, 0.1], [0.2, 0.4]])
COST, EFFORT, DISCOUNT, LANES = np.eye(2), np.array([[0.5, 0.1], [0.1, 0.3]]), 0.9, 128


def riccati() -> tuple[np.ndarray, np.ndarray]:
    """The gain K of the best action -K x, and the curvature 2 (R + γ Bᵀ P B) of its value."""
    p = COST
    for _ in range(2000):
        inner = np.linalg.solve(EFFORT + DISCOUNT * B.T @ p @ B, B.T @ p @ A)
        p = COST + DISCOUNT * A.T @ p @ A - DISCOUNT**2 * A.T @ p @ B @ inner
    inner = EFFORT + DISCOUNT * B.T @ p @ B
    return DISCOUNT * np.linalg.solve(inner, B.T @ p @ A), 2 * inner


def transitions(key: Any, spread: float = 1.0) -> Step:
    """One of each of the lanes, from states and actions drawn at random, so far from 0."""
    k_x, k_u = jax.random.split(key)
    x, u = jax.random.normal(k_x, (LANES, 2)), jax.random.uniform(k_u, (LANES, 2), minval=-2.0, maxval=2.0)
    x, u = spread * x, spread * u
    after = x @ jnp.float32(A.T) + u @ jnp.float32(B.T)
    reward = -jnp.sum(x**2, -1) - jnp.sum(u @ jnp.float32(EFFORT) * u, -1)
    kinds = jnp.broadcast_to(jnp.array([[FIRST], [MID]], jnp.int8), (2, LANES))
    timestep = TimeStep(kinds, jnp.stack([reward, reward]), jnp.ones((2, LANES)), jnp.stack([x, after]))
    return Step(timestep, jnp.stack([u, u]), {})
