"""A linear system with quadratic costs, whose best policy is linear and whose action values are quadratic."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents.base import FIRST, MID, Array, Sample, Step, TimeStep, Tree
from agents.common import optimisers
from agents.common.critics import apply
from agents.naf import naf
from envs import keys

if TYPE_CHECKING:
    from envs.base import Key

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


def transitions(key: "Key", spread: float = 1.0) -> Step:
    """One of each of the lanes, from states and actions drawn at random, so far from 0."""
    k_x, k_u = jax.random.split(key)
    x, u = jax.random.normal(k_x, (LANES, 2)), jax.random.uniform(k_u, (LANES, 2), minval=-2.0, maxval=2.0)
    x, u = spread * x, spread * u
    after = x @ jnp.float32(A.T) + u @ jnp.float32(B.T)
    reward = -jnp.sum(x**2, -1) - jnp.sum(u @ jnp.float32(EFFORT) * u, -1)
    kinds = jnp.broadcast_to(jnp.array([[FIRST], [MID]], jnp.int8), (2, LANES))
    timestep = TimeStep(kinds, jnp.stack([reward, reward]), jnp.ones((2, LANES)), jnp.stack([x, after]))
    return Step(timestep, jnp.stack([u, u]), {})


class Products(nn.Module):
    """x and its products, with which the value is linear."""

    def __call__(self, x: Array) -> Array:
        """Of `x[..., 2]`, `[..., 5]`."""
        return jnp.concatenate([x, x[:, :1] * x, x[:, 1:] ** 2], -1)


def errors(seed: int, precision: str) -> tuple[float, float]:
    """Relative errors of gain and curvature that NAF learns from random actions.

    Args:
      seed: of the agent and of what it sees.
      precision: of `networks.QuadraticQ`.
    """
    k_init, k_run, k_test = jax.random.split(keys.key(seed), 3)
    network = networks.q_network(Products(), networks.QuadraticQ(2, precision, squash=False))
    agent = naf(network, optimisers.adam(5e-3), discount=DISCOUNT, target_rate=0.05)

    def update(state: Tree, key: "Key") -> tuple[Tree, None]:
        return agent.update(state, key, Sample(transitions(key)))[0], None

    state = agent.init(k_init, jax.tree.map(lambda x: x[0], transitions(k_init).timestep))
    state, _ = jax.jit(lambda s: jax.lax.scan(update, s, jax.random.split(k_run, 6000)))(state)
    gain, curvature = riccati()
    rows = transitions(k_test).timestep
    output: Any = apply(network, state.params, rows)
    best = -np.einsum("ij,tnj->tni", gain, rows.observation)
    learned = np.einsum("tnij,tnkj->tnik", output.lower, output.lower)
    return relative(output.action, best), relative(learned, np.broadcast_to(curvature, learned.shape))


def relative(x: np.ndarray, y: np.ndarray) -> float:
    """The norm of the error of `x` as a share of that of `y`."""
    return float(np.linalg.norm(x - y) / np.linalg.norm(y))


def naf_error(seeds: Sequence[int], precision: str = "full", of: str = "gain") -> np.ndarray:
    """The relative error of what NAF learns from random actions, against Riccati's equation.

    Args:
      seeds: of the agent and of what it sees.
      precision: the curvature of its advantage, "full" or, fixed, "identity".
      of: "gain" or "curvature".

    Returns:
      `[seeds]`.
    """
    return np.array([errors(seed, precision)[of == "curvature"] for seed in seeds])
