"""NAF on a linear system with quadratic costs, whose best action values are quadratic and so exactly representable."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import Sample
from agents.common import optimisers
from agents.common.critics import apply
from agents.naf import naf
from envs import keys
from tests.agents.linear_quadratic import DISCOUNT, riccati, transitions


class Products(nn.Module):
    """x and its products, with which the value is linear."""

    def __call__(self, x: Any) -> Any:
        return jnp.concatenate([x, x[:, :1] * x, x[:, 1:] ** 2], -1)


def errors(precision: str) -> tuple[float, float]:
    """Relative errors of gain and curvature that NAF learns from random actions."""
    network = networks.q_network(Products(), networks.QuadraticQ(2, precision, squash=False))
    agent = naf(network, optimisers.adam(5e-3), discount=DISCOUNT, target_rate=0.05)

    def update(state: Any, key: Any) -> Any:
        return agent.update(state, key, Sample(transitions(key)))[0], None

    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], transitions(keys.key(0)).timestep))
    state, _ = jax.jit(lambda s: jax.lax.scan(update, s, jax.random.split(keys.key(1), 6000)))(state)
    gain, curvature = riccati()
    rows = transitions(keys.key(2)).timestep
    output = apply(network, state.params, rows)
    best = -np.einsum("ij,tnj->tni", gain, rows.observation)
    learned = np.einsum("tnij,tnkj->tnik", output.lower, output.lower)
    relative = lambda x, y: float(np.linalg.norm(x - y) / np.linalg.norm(y))  # noqa: E731
    return relative(output.action, best), relative(learned, np.broadcast_to(curvature, learned.shape))


def test_gain_and_curvature_are_riccatis() -> None:
    gain, curvature = errors("full")
    assert gain <= 0.05
    assert curvature <= 0.05


def test_a_fixed_curvature_cannot_represent_them() -> None:
    gain, _ = errors("identity")
    assert gain > 0.2


def test_precisions_are_named() -> None:
    with pytest.raises(ValueError, match="precision: 'half'"):
        networks.QuadraticQ(2, "half")
