"""Policy search: the strategies on functions with known answers, and how lanes share out the candidates."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.cem import cem, elites
from agents.cma_es import adaptation
from agents.common import policy_search
from agents.common.policy_search import Strategy
from envs import keys
from envs.base import Box
from envs.tasks.cartpole import cartpole
from experiments.drivers import contract, devices, in_graph
from experiments.studies.search_functions import distance, evaluations

# Medians of pycma 4 over 7 seeds, from x = 3 with σ = 1; Rosenbrock's from x = 0.1 with σ = 0.5.
PYCMA = {
    "sphere": {5: 832, 10: 1640, 20: 3084},
    "ellipsoid": {5: 1624, 10: 4210, 20: 13284},
    "rosenbrock": {5: 1664, 10: 5010, 20: 16116},
}


@pytest.mark.parametrize("size", [5, 10, 20])
@pytest.mark.parametrize("name", PYCMA)
def test_cma_es_needs_as_many_evaluations_as_pycma(name: str, size: int) -> None:
    median = PYCMA[name][size]
    counts = evaluations(range(15), name, size, most=4 * median)
    assert abs(np.median(counts) / median - 1) <= 0.25, counts


def test_cma_es_needs_each_of_its_parts() -> None:
    def median(function: str, **settings: Any) -> float:
        return float(np.median(evaluations(range(5), function, **settings)))

    plain = median("ellipsoid")
    assert median("ellipsoid", rank_mu=False) > 1.3 * plain
    assert median("ellipsoid", active=False) > 1.2 * plain
    assert median("sphere", step_size=False) > 4 * median("sphere")


def test_cem_stops_short_without_its_extra_variance() -> None:
    """From far away the elites' variance is used up on the way."""
    assert (distance(range(3)) < 0.1).all()
    assert (distance(range(3), noise=0.0) > 5.0).all()


SPACE = Box((2,))
POLICY = networks.q_network(networks.Torso(SPACE, ()), networks.DeterministicPolicy(1))
SHAPES = jax.eval_shape(POLICY.init, keys.key(0), jnp.zeros((1, 2)))


def told() -> Strategy:
    """A strategy that keeps what it is told."""
    return Strategy(
        4,
        lambda x: jnp.zeros(4),
        lambda state, key: jnp.arange(12.0).reshape(4, 3),
        lambda state, candidates, fitness: fitness,
        lambda state: jnp.full(3, -1.0),
    )


def test_every_episode_counts_once_for_the_candidate_that_played_it() -> None:
    """Two lanes with episodes of 2 and of 3 steps, four candidates of two episodes each, windows of 5 steps."""
    strategy = told()
    agent = policy_search.search(POLICY, SHAPES, strategy, episodes=2)
    lengths, lanes = np.array([2, 3]), 2
    age, reward = np.zeros(lanes, int), np.zeros(lanes)

    def row() -> TimeStep:
        kinds = np.where(age == 0, FIRST, np.where(age == lengths, LAST, MID)).astype(np.int8)
        observation = jnp.ones((lanes, 2))
        return TimeStep(jnp.asarray(kinds), jnp.float32(reward), jnp.ones(lanes), observation)

    state = agent.init(keys.key(0), row())
    carry = agent.begin(lanes)
    act, update = jax.jit(agent.act, static_argnums=4), jax.jit(agent.update)
    expected: dict[int, list[float]] = {}
    playing, total, taken, generation, fitness = [-1, -1], np.zeros(lanes), 0, 0, []
    for t in range(40):
        rows = []
        for _ in range(5):
            timestep = row()
            action, carry, extras = act(agent.actor(state), keys.key(t), carry, timestep, True)
            for lane in range(lanes):
                if age[lane] == 0:
                    playing[lane], taken, total[lane] = (taken if taken < 8 else -1), taken + 1, 0.0
                else:
                    total[lane] += reward[lane]
                if age[lane] == lengths[lane] and playing[lane] >= 0:
                    expected[playing[lane]] = total[lane]
                x = np.arange(12.0).reshape(4, 3)[playing[lane] // 2] if playing[lane] >= 0 else np.full(3, -1.0)
                np.testing.assert_allclose(action[lane, 0], np.tanh(x.sum()), rtol=1e-5)
            rows.append(Step(timestep, action, extras))
            age = np.where(age == lengths, 0, age + 1)
            reward = np.round(np.sin(np.arange(lanes) + t + len(rows)), 3)
        peek, _, extras = act(agent.actor(state), keys.key(t), carry, row(), True)
        rows.append(Step(row(), peek, extras))
        state, _ = update(state, keys.key(t), Sample(jax.tree.map(lambda *x: jnp.stack(x), *rows)))
        if len(expected) == 8:
            generation += 1
            fitness = [np.mean([expected[2 * i], expected[2 * i + 1]]) for i in range(4)]
            expected, taken, playing = {}, 0, [-1, -1]
        assert state.generation == generation
        if generation:
            np.testing.assert_allclose(state.strategy, fitness, atol=1e-5)
    assert generation > 5
    greedy, _, _ = agent.act(agent.actor(state), keys.key(0), carry, row(), False)
    np.testing.assert_allclose(greedy, np.tanh(-3.0), rtol=1e-5)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(ValueError, match="best: 5"):
        elites(4, 5)
    with pytest.raises(ValueError, match="population: 3"):
        adaptation(5, 3)


def test_devices_share_out_the_candidates() -> None:
    """Two devices of two lanes each play what one device of four lanes does, and agree on what came of it."""
    env = cartpole()
    policy = networks.q_network(networks.Torso(env.spec.observation, ()), networks.QValues(2))
    shapes = jax.eval_shape(policy.init, keys.key(0), jnp.zeros((1, 4)))

    def make(hypers: Any) -> contract.Parts:
        return contract.Parts(cem(policy, shapes, 12, 3, discrete=True), replay.on_policy(8), contract.Schedule(8))

    lay = devices.layout(1, share=2)
    numbers = {"num_envs": 2, "iterations": 100, "eval_episodes": 2}
    driver = in_graph.driver(env, make, {"run": np.arange(1)}, lay, **numbers)
    state, metrics = driver.loop.step(driver.loop.init(keys.key(np.arange(1))))
    assert metrics["generation"] > 1
    both = jax.tree.map(np.asarray, state.agent)
    chex.assert_trees_all_equal(*(jax.tree.map(lambda x, place=place: x[place], both) for place in range(2)))
    slots = np.asarray(state.live.carry.slot)  # an even number is the first device's
    assert set(slots[0].ravel()[slots[0].ravel() >= 0] % 2) == {0}
    assert set(slots[1].ravel()[slots[1].ravel() >= 0] % 2) == {1}
