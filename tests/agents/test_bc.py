"""Behavioural cloning learns what was done, of whatever kind the actions are."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.base import Sample, Step, TimeStep
from agents.bc import bc
from agents.common import optimisers, wrappers
from envs import keys
from envs.base import Box, Spec
from experiments import bc as command
from experiments import run
from replay import dataset
from tests.sets import drawn

SPACE = Box((2,), -1.0, 1.0)


def window(seed: int = 0, lanes: int = 64) -> tuple[jax.Array, TimeStep]:
    """Observations `[2, N, 2]`, as rows of a sample."""
    seen = jax.random.uniform(jax.random.key(seed), (2, lanes, 2), minval=-1.0)
    shape = seen.shape[:2]
    return seen, TimeStep(jnp.ones(shape, jnp.int8), jnp.zeros(shape), jnp.ones(shape), seen)


HEADS = {
    "categorical": (networks.CategoricalPolicy(2), lambda x: (x[..., 0] > x[..., 1]).astype(jnp.int32)),
    "categoricals": (networks.CategoricalsPolicy((2, 2)), lambda x: (x > 0).astype(jnp.int32)),
    "gaussian": (networks.GaussianPolicy(2), lambda x: 0.5 * x),
    "squared": (networks.DeterministicPolicy(2), lambda x: 0.5 * x),
}


@pytest.mark.parametrize("name", HEADS)
def test_it_imitates(name: str) -> None:
    head, expert = HEADS[name]
    network = networks.q_network(networks.Torso(SPACE, (32,), cnn=None), head)
    agent = bc(network, optimisers.chain(optax.adam(1e-2)))
    seen, timestep = window()
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], timestep))
    sample = Sample(Step(timestep, expert(seen)))

    @jax.jit
    def train(state):
        return jax.lax.scan(lambda s, k: agent.update(s, k, sample), state, jax.random.split(keys.key(1), 300))

    state, info = train(state)
    assert info.metrics["loss"][-1] < info.metrics["loss"][0] and info.metrics["action_error"][-1] < 0.1
    _, new = window(1)
    new = jax.tree.map(lambda x: x[0], new)
    action, *_ = agent.act(agent.actor(state), keys.key(2), agent.begin(64), new, False)
    wanted = expert(new.observation)
    assert float(jnp.mean(jnp.abs(action - wanted))) < 0.1
    drawn_action, *_ = agent.act(agent.actor(state), keys.key(2), agent.begin(64), new, True)
    assert (name == "squared") == bool(jnp.array_equal(drawn_action, action)) or name.startswith("categorical")


def test_what_joins_two_episodes_is_not_imitated() -> None:
    network = networks.q_network(networks.Torso(SPACE, (8,), cnn=None), networks.CategoricalPolicy(2))
    agent = bc(network, optimisers.chain(optax.sgd(1.0)))
    _, timestep = window()
    joins = timestep._replace(step_type=timestep.step_type.at[1, 32:].set(0))
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], timestep))
    action = jnp.zeros((2, 64), jnp.int32)
    some = agent.update(state, keys.key(1), Sample(Step(joins, action)))[1].metrics["loss"]
    other = agent.update(state, keys.key(1), Sample(Step(joins, action.at[:, 32:].set(1))))[1].metrics["loss"]
    assert some == other > 0


def test_statistics_are_of_the_state_and_used_by_acting_and_learning() -> None:
    network = networks.q_network(networks.Torso(SPACE, (8,), cnn=None), networks.GaussianPolicy(2))
    inner = bc(network, optimisers.chain(optax.adam(1e-2)))
    mean, std = np.float32([1.0, -2.0]), np.float32([2.0, 0.5])
    agent = wrappers.normalise_by(inner, SPACE, mean, std, least=0.0)
    blank = wrappers.normalise_by(inner, SPACE, np.zeros(2, np.float32), np.ones(2, np.float32), least=0.0)
    seen, timestep = window()
    first, scaled = (
        jax.tree.map(lambda x: x[0], timestep),
        timestep._replace(observation=seen * std[None, None] + mean[None, None]),
    )
    state = agent.init(keys.key(0), first)
    np.testing.assert_array_equal(agent.actor(state).mean, mean)
    plain = state._replace(mean=jnp.zeros(2), std=jnp.ones(2))
    # An agent that was made without the dataset plays by the statistics of the state.
    there = blank.act(agent.actor(state), keys.key(2), (), jax.tree.map(lambda x: x[0], scaled), False)[0]
    here = agent.act(agent.actor(plain), keys.key(2), (), first, False)[0]
    np.testing.assert_allclose(there, here, rtol=1e-4, atol=1e-6)
    learned = [agent.update(s, keys.key(1), Sample(Step(x, seen)))[1] for s, x in ((state, scaled), (plain, timestep))]
    np.testing.assert_allclose(learned[0].metrics["loss"], learned[1].metrics["loss"], rtol=1e-4)


@pytest.mark.parametrize(("top", "by", "among"), [(0.5, "trajectories", 27), (0.2, "steps", 9), (1.0, "steps", 54)])
def test_the_command_imitates_the_best_alone(top: float, by: str, among: int) -> None:
    spec = Spec("small", SPACE, SPACE)
    size = run.Size(1, 1, 10, dataset.facts(drawn(spec)))
    config = command.Config(top=top, top_by=by, hidden=(4,), batch_size=4)
    command.check(config, spec, size)
    assert size.data.top(top, by) == among
    assert command.make(config, spec, size).replay.serves_data
