"""Parameter noise: what is perturbed, for how long, and how its size adapts. Held actions: which and how long."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
import networks
import replay
from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.common import exploration, objectives, optimisers
from agents.dqn import dqn
from envs import keys, parallel
from envs.base import Box
from experiments.drivers import contract, in_graph
from experiments.drivers.contract import Parts

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
    noise = [
        (jax.tree_util.keystr(path), bool(np.any(x))) for path, x in jax.tree_util.tree_leaves_with_path(state.noise)
    ]
    assert {perturbed for _, perturbed in noise} == {True, False}
    for path, perturbed in noise:
        assert ("LayerNorm" in path) != perturbed, path


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


def held(epsilon: float, longest: int, steps: int, explore: bool = True, kinds: Any = None) -> np.ndarray:
    """What 64 lanes do in so many steps, `[steps, 64]`."""
    agent = exploration.extended(dqn(NETWORK, optimisers.adam(1e-2), epsilon=epsilon), 4, longest)
    actor = agent.actor(agent.init(keys.key(0), TIMESTEP))
    kinds = jnp.full((steps, LANES), MID, jnp.int8) if kinds is None else kinds

    def step(carry: Any, each: Any) -> Any:
        action, carry, _ = agent.act(actor, each[0], carry, TIMESTEP._replace(step_type=each[1]), explore)
        return carry, action

    return np.asarray(jax.lax.scan(step, agent.begin(LANES), (jax.random.split(keys.key(1), steps), kinds))[1])


def test_random_actions_are_held_for_a_zeta_distributed_time() -> None:
    agent = exploration.extended(dqn(NETWORK, optimisers.adam(1e-2), epsilon=1.0), 4, 5)
    actor = agent.actor(agent.init(keys.key(0), TIMESTEP))
    kinds = jnp.full(20_000, MID, jnp.int8)
    lanes = jax.tree.map(lambda x: jnp.broadcast_to(x[:1], (20_000, *x.shape[1:])), TIMESTEP)._replace(step_type=kinds)
    action, carry, _ = agent.act(actor, keys.key(3), agent.begin(20_000), lanes, True)
    drawn = np.bincount(np.asarray(carry.left) + 1, minlength=6)[1:] / 20_000
    np.testing.assert_allclose(drawn, np.arange(1, 6) ** -2.0 / np.sum(np.arange(1, 6) ** -2.0), atol=0.01)
    np.testing.assert_allclose(np.bincount(action, minlength=4) / 20_000, 0.25, atol=0.01)


def test_a_held_action_lasts_and_ends_with_its_episode() -> None:
    changed = lambda actions: (actions[1:] != actions[:-1]).mean()  # noqa: E731
    assert changed(held(1.0, 1, 200)) == pytest.approx(3 / 4, abs=0.03)
    mean = np.sum(np.arange(1, 51) ** -1.0) / np.sum(np.arange(1, 51) ** -2.0)
    assert changed(held(1.0, 50, 400)) == pytest.approx(3 / 4 / mean, abs=0.03)
    first = jnp.full((200, LANES), FIRST, jnp.int8)
    assert changed(held(1.0, 50, 200, kinds=first)) == pytest.approx(3 / 4, abs=0.03)


def test_without_epsilon_or_in_evaluation_nothing_is_held() -> None:
    state = INNER.init(keys.key(0), TIMESTEP)
    greedy, _, _ = INNER.act(INNER.actor(state), keys.key(0), (), TIMESTEP, False)
    for actions in (held(0.0, 50, 5), held(1.0, 50, 5, explore=False)):
        np.testing.assert_array_equal(actions, np.broadcast_to(greedy, actions.shape))


def test_held_actions_find_the_goals_of_a_maze_that_single_ones_miss() -> None:
    """Random play of the I-maze, whose goals are 9 to 13 moves and a turn away."""
    env: Any = envs.make("bellmax/i-maze")

    def saved(longest: int) -> float:
        """Steps of the 50 that an episode does not take, on average."""
        network = networks.q_network(networks.Torso(env.spec.observation, (4,)), networks.QValues(4))
        agent = exploration.extended(dqn(network, optimisers.adam(1e-2), epsilon=1.0), 4, longest)
        parts = Parts(agent, replay.uniform(64 * 60, 8), contract.Schedule(50, 1, 0))
        loop = in_graph.loop(env, *parts, num_envs=64, iterations=40)
        _, metrics = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
        return 50 - float(metrics["episode_length"])

    assert saved(30) > 3 * saved(1)


def test_devices_agree_on_how_far_the_policies_are_apart() -> None:
    """Or else σ would come to differ between them."""
    other = jax.tree.map(lambda x: x + 0.3, INNER.init(keys.key(0), TIMESTEP).params)
    params = INNER.init(keys.key(1), TIMESTEP).params
    whole = DISTANCE(params, other, keys.key(2), ROWS)
    halves = jax.tree.map(lambda x: jnp.stack(jnp.split(x, 2, axis=1)), ROWS)
    each = jax.vmap(lambda rows: DISTANCE(params, other, keys.key(2), rows), axis_name=parallel.AXIS)(halves)
    np.testing.assert_allclose(each, [whole, whole], rtol=1e-5)
