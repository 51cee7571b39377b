"""The command of value iteration networks: what it is made of, and what it refuses."""

import dataclasses

import jax
import numpy as np
import pytest

import envs
from envs import keys
from experiments import vin
from experiments.run.plans import Size

SMALL = vin.Config(iterations=4, channels=4, reward_hidden=4, hidden=(8,), batch_size=8, buffer_size=500)


@pytest.mark.parametrize("network", ["vin", "cnn"])
def test_the_expert_plays_and_labels_every_row(network):
    env = envs.make("bellmax/grid-maps", size=4)
    parts = vin.make(dataclasses.replace(SMALL, network=network), env.spec, Size(8, 1, 1000))
    agent = parts.agent

    def played(key):
        state, timestep = jax.vmap(env.reset)(jax.random.split(key, 8))
        learner = agent.init(key, timestep)
        action, _, extras = agent.act(agent.actor(learner), key, agent.begin(8), timestep, True)
        return timestep, action, extras, jax.vmap(env.step)(state, action)[1]

    timestep, action, extras, after = jax.jit(played)(keys.key(1))
    np.testing.assert_array_equal(action, extras["label"])  # with β = 1 the expert acts
    stood = (timestep.observation[..., 2] == after.observation[..., 2]).all((1, 2))
    assert extras["asked"].all() and not stood.any()


def test_tasks_without_a_map_or_an_expert_are_refused():
    size = Size(8, 1, 1000)
    for name, told in (
        ("bellmax/cartpole", "--env bellmax/cartpole: vin needs an image whose last channel shows the agent"),
        ("bellmax/pendulum", "--env bellmax/pendulum: vin needs discrete actions"),
        ("bellmax/sokoban", "--env bellmax/sokoban: vin needs an analytic expert"),
    ):
        with pytest.raises(ValueError, match=told):
            vin.check(SMALL, envs.make(name).spec, size)
