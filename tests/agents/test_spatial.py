"""Grounded spatial reasoning: which rows count, what is taught of them, how it acts, and bad input."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.spatial import entered, unvisited, visited
from envs import keys
from experiments import spatial
from experiments.run.plans import Size

SMALL = spatial.Config(text_size=4, embedding=2, channels=(3,), hidden=8, batch_size=4, length=3, buffer_size=800)
ENV = envs.make("bellmax/sprite-maps", size=5, copies=2)
SIZE = Size(8, 1, 10_000)


def test_rows_count_up_to_the_next_episode_and_not_where_one_opens():
    kinds = jnp.array([[FIRST, MID, MID], [MID, LAST, MID], [MID, FIRST, MID], [LAST, MID, FIRST]], jnp.int8)
    steps = Step(TimeStep(kinds, kinds, kinds, kinds), kinds)
    expected = [[False, True, True], [True, True, True], [True, False, True], [True, False, False]]
    np.testing.assert_array_equal(entered(steps), expected)


def test_cells_of_the_episode_are_remembered_and_left_alone():
    seen = {"here": jnp.array([[0, 1], [2, 2]], jnp.uint8)}
    zeros = jnp.zeros(2)
    timestep = TimeStep(jnp.array([FIRST, MID], jnp.int8), zeros, zeros, seen)
    been = np.asarray(visited(jnp.ones((2, 3, 3), bool).at[:, 2].set(False), timestep))
    assert np.argwhere(been[0]).tolist() == [[0, 1]]
    assert been[1].tolist() == [[True] * 3, [True] * 3, [False, False, True]]


@pytest.mark.parametrize("epsilon", [0.0, 1.0])
def test_moves_of_learning_lead_to_new_cells_where_there_are_any(epsilon):
    beside = jnp.broadcast_to(jnp.array([3.0, 2.0, -jnp.inf, 1.0]), (200, 4))
    again = jnp.zeros((200, 4)).at[:100, 0].set(1.0).at[100:].set(1.0)
    found = np.asarray(unvisited(keys.key(0), beside, again, jnp.float32(epsilon)))
    expected = [{1}, {0}] if epsilon == 0 else [{1, 3}, {0, 1, 3}]
    assert [set(found[:100]), set(found[100:])] == expected


@pytest.fixture(scope="module")
def played():
    """A window of random play, with the agent that learns from it and its first state."""
    agent = spatial.make(SMALL, ENV.spec, SIZE).agent

    def run(key):
        state, timestep = jax.vmap(ENV.reset)(jax.random.split(key, 4))
        learner = agent.init(key, timestep)

        def step(carry, key):
            state, timestep = carry
            action = jax.random.randint(key, (4,), 0, 4)
            return jax.vmap(ENV.step)(state, action), Step(timestep, action)

        return learner, jax.lax.scan(step, (state, timestep), jax.random.split(key, 4))[1]

    return agent, *jax.jit(run)(keys.key(0))


def test_it_moves_to_the_best_cell_beside_it(played):
    agent, learner, steps = played
    timestep = jax.tree.map(lambda x: x[-1], steps.timestep)
    act = jax.jit(lambda: agent.act(agent.actor(learner), keys.key(1), agent.begin(4), timestep, False)[0])
    network = spatial.network(SMALL, ENV.spec)
    lift = jax.tree.map(lambda x: x[None], timestep)
    read = network.apply(learner.params, None, (), lift.observation, lift.first())[0]
    here = np.asarray(timestep.observation["here"], int)
    for lane, action in enumerate(np.asarray(act())):
        values = np.full((7, 7), -np.inf)
        values[1:-1, 1:-1] = read.values[0, lane]
        row, column = here[lane] + 1
        beside = [values[row - 1, column], values[row + 1, column], values[row, column - 1], values[row, column + 1]]
        assert action == np.argmax(beside)


def test_what_lies_in_another_episode_teaches_nothing(played):
    agent, learner, steps = played
    update = jax.jit(lambda steps: agent.update(learner, keys.key(2), Sample(steps, (), jnp.ones(4))))
    kinds = steps.timestep.step_type.at[2].set(FIRST)
    cut = steps._replace(timestep=steps.timestep._replace(step_type=kinds))
    far = cut._replace(timestep=cut.timestep._replace(reward=cut.timestep.reward.at[2:].set(100.0)))
    (state, info), (_, other) = update(cut), update(far)
    assert float(info.metrics["loss"]) == float(other.metrics["loss"]) > 0
    assert float(update(steps)[1].metrics["loss"]) != float(info.metrics["loss"])
    assert int(state.updates) == 1 and np.isfinite(info.metrics["gradient_norm"])


@pytest.mark.parametrize("network", ["local", "global", "uvfa", "cnn-lstm"])
def test_every_network_is_built(network):
    config = dataclasses.replace(SMALL, network=network, encoder="bag", planner=2, anneal=True)
    shapes = jax.eval_shape(
        lambda key: spatial.make(config, ENV.spec, SIZE).agent.init(
            key, jax.vmap(ENV.reset)(jax.random.split(key, 2))[1]
        ),
        keys.key(0),
    )
    assert shapes.params


def test_tasks_without_an_instruction_are_refused():
    spatial.check(SMALL, ENV.spec, SIZE)
    for name in ("bellmax/catch", "bellmax/grid-maps"):
        with pytest.raises(ValueError, match=f"--env {name}: spatial needs four moves and observations of here"):
            spatial.check(SMALL, envs.make(name).spec, SIZE)
