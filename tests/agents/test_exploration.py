"""Parameter-space noise: what is perturbed, for how long, and how its size adapts."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import exploration, keys, objectives, optimisers
from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.dqn import dqn
from envs.base import Box

NETWORK = networks.q_network(networks.Torso(Box((3,)), (8,), layer_norm=True), networks.QValues(4))
INNER = dqn(NETWORK, optimisers.adam(1e-2), epsilon=0.0)
DISTANCE = exploration.softmax_divergence(NETWORK, objectives.expected())
LANES = 64


def window() -> Step:
    observation = jax.random.normal(keys.key(5), (2, LANES, 3))
    kinds = jnp.broadcast_to(jnp.array([[FIRST], [MID]], jnp.int8), (2, LANES))
    return Step(TimeStep(kinds, jnp.ones((2, LANES)), jnp.ones((2, LANES)), observation), jnp.ones((2, LANES), int), {})


ROWS = window()
TIMESTEP = jax.tree.map(lambda x: x[0], ROWS.timestep)


def noisy(threshold: float, **settings: Any) -> Any:
    return exploration.parameter_noise(INNER, DISTANCE, threshold, **{"sigma": 0.5, "period": 3, **settings})


def updated(agent: Any, times: int) -> list[Any]:
    states = [agent.init(keys.key(0), TIMESTEP)]
    step = jax.jit(agent.update)
    for i in range(times):
        states.append(step(states[-1], keys.key(i), Sample(ROWS))[0])
    return states


@pytest.mark.parametrize(("threshold", "factor"), [(1e9, 1.01), (0.0, 1 / 1.01)])
def test_sigma_follows_the_law_once_a_period(threshold: float, factor: float) -> None:
    sigma = [float(state.sigma) for state in updated(noisy(threshold), 7)]
    np.testing.assert_allclose(sigma, [0.5] * 3 + [0.5 * factor] * 3 + [0.5 * factor**2] * 2, rtol=1e-5)


def test_the_perturbation_is_held_for_a_period_and_then_new() -> None:
    noise = [np.concatenate([np.ravel(x) for x in jax.tree.leaves(state.noise)]) for state in updated(noisy(0.1), 4)]
    assert all((noise[0] == noise[i]).all() for i in (1, 2))
    assert (noise[3] != noise[2]).mean() > 0.5
    np.testing.assert_array_equal(noise[4], noise[3])


def test_acting_is_perturbed_evaluation_and_layer_normalisation_are_not() -> None:
    agent = noisy(0.1, sigma=5.0)
    state = agent.init(keys.key(0), TIMESTEP)
    actor = agent.actor(state)
    greedy, _, _ = agent.act(actor, keys.key(1), (), TIMESTEP, False)
    plain, _, _ = INNER.act(INNER.actor(state.inner), keys.key(1), (), TIMESTEP, False)
    explored, _, _ = agent.act(actor, keys.key(1), (), TIMESTEP, True)
    np.testing.assert_array_equal(greedy, plain)
    assert (explored != greedy).any()
    for path, x in jax.tree_util.tree_leaves_with_path(state.noise):
        assert ("LayerNorm" in jax.tree_util.keystr(path)) == (not np.any(x)), path


def test_learning_does_not_see_the_noise() -> None:
    state = updated(noisy(0.1), 1)[1]
    k_init, k_inner = jax.random.split(keys.key(0))[0], jax.random.split(keys.key(0), 3)[0]
    alone, _ = jax.jit(INNER.update)(INNER.init(k_init, TIMESTEP), k_inner, Sample(ROWS))
    chex.assert_trees_all_close(state.inner, alone, atol=1e-6)


def test_the_threshold_is_that_of_epsilon_greedy() -> None:
    """KL(greedy, ε-greedy) with A actions."""
    epsilon, actions = 0.3, 4
    greedy = 1 - epsilon + epsilon / actions
    np.testing.assert_allclose(exploration.epsilon_distance(epsilon, actions), np.log(1 / greedy), rtol=1e-6)
