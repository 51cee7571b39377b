"""ACER's gradients: plain numpy, no bias whatever the truncation, and the trust region; and that it learns."""

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents import losses
from agents.acer import acer
from agents.common import optimisers
from envs.tasks.catch import catch
from experiments.drivers.contract import Parts, Schedule
from tests.agents.learning import learned
from tests.agents.listing import torso

RNG = np.random.default_rng(0)
PI, MU, AVERAGE = (RNG.dirichlet(np.ones(4), 5) for _ in range(3))
Q, RETURNS, ACTIONS = RNG.normal(size=(5, 4)), RNG.normal(size=5), RNG.integers(0, 4, 5, np.int32)
f32 = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731


@pytest.mark.parametrize("bound", [0.5, 2.0, np.inf])
def test_truncated_gradient_against_numpy(bound: float) -> None:
    expected = np.zeros((5, 4))
    for t in range(5):
        v, rho = PI[t] @ Q[t], PI[t] / MU[t]
        for a in range(4):
            if a == ACTIONS[t]:
                expected[t, a] += min(bound, rho[a]) * (RETURNS[t] - v) / PI[t, a]
            expected[t, a] += max(0.0, 1 - bound / rho[a]) * (Q[t, a] - v)
    actual = losses.truncated_gradient(f32(PI), ACTIONS, f32(Q), f32(RETURNS), f32(MU), bound)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("bound", [0.0, 0.5, 2.0, np.inf])
def test_its_mean_over_the_behaviour_is_the_policy_gradient_whatever_the_bound(bound: float) -> None:
    """Σ_a μ(a) g(a) is q - v, the gradient of Σ π q on the simplex, if the returns have q as their mean."""
    mean = np.zeros((5, 4))
    for a in range(4):
        taken = np.full(5, a, np.int32)
        g = losses.truncated_gradient(f32(PI), taken, f32(Q), f32(Q[:, a]), f32(MU), bound)
        mean += MU[:, a : a + 1] * np.asarray(g)
    np.testing.assert_allclose(mean, Q - (PI * Q).sum(-1, keepdims=True), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("delta", [0.1, 1.0, np.inf])
def test_trusted_gradient_against_numpy_and_its_bound(delta: float) -> None:
    g = 3 * RNG.normal(size=(5, 4))
    actual = np.asarray(losses.trusted_gradient(f32(g), f32(PI), f32(AVERAGE), delta))
    for t in range(5):
        k = -AVERAGE[t] / PI[t]
        expected = g[t] - max(0.0, (k @ g[t] - delta) / (k @ k)) * k
        np.testing.assert_allclose(actual[t], expected, rtol=1e-4, atol=1e-5)
        assert k @ actual[t] <= delta * (1 + 1e-4) + 1e-4


ENV = catch()


def parts(core: Any = None, storage: Any = None, **options: Any) -> Parts:
    network = networks.actor_critic(torso(ENV.spec), networks.CategoricalPolicy(3), networks.QValues(3), core)
    agent = acer(network, optimisers.adam(3e-3, 10.0), discount=0.9, **options)
    storage = storage or replay.fresh_and_replayed(replay.on_policy(9), replay.uniform(4000, 8, 9))
    return Parts(agent, storage, Schedule(9, 2, 1))


def test_learns_from_fresh_and_replayed_windows() -> None:
    returns = learned(ENV, parts(), 300)
    assert (returns > 0.9).all(), returns


@pytest.mark.slow
def test_learns_from_a_replay_alone_with_memory() -> None:
    returns = learned(ENV, parts(networks.GRU(16), replay.uniform(4000, 16, 9)), 300)
    assert (returns > 0.8).all(), returns


@pytest.mark.slow
def test_a_trust_region_holds_the_policy_back_where_it_is_tight() -> None:
    free, held = (learned(ENV, parts(trust=trust, average_rate=1e-4), 100) for trust in (np.inf, 1e-4))
    assert free.mean() > held.mean() + 0.2, (free, held)
