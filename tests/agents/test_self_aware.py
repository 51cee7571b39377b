"""The self-aware agent: it prefers what its world model gets wrong, known from losses of the same transitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.self_aware import self_aware
from envs import keys
from envs.base import Box, Discrete, Spec

SPEC = Spec("noisy arm", Box((2,)), Discrete(2))
COUNT = 64


def windows(key, kind=MID):
    """Two transitions `[3, COUNT]` each: action 1 leads to noise, action 0 to zeros."""
    k_action, k_noise = jax.random.split(key)
    action = jax.random.randint(k_action, (3, COUNT), 0, 2)
    noise = jax.random.normal(k_noise, (3, COUNT, 2))
    seen = jnp.concatenate([noise[:1], jnp.where(action[:-1, :, None] == 1, noise[1:], 0.0)])
    zeros = jnp.zeros((3, COUNT))
    kinds = (zeros + MID).at[2].set(kind).astype(jnp.int8)
    return Sample(Step(TimeStep(kinds, zeros, zeros + 1, seen), action))


@pytest.fixture(scope="module")
def learned():
    """Agents and their states after some updates, by whether losses are shuffled."""
    found = {}
    for shuffled in (False, True):
        chain = optimisers.adam(5e-3)
        agent = self_aware(SPEC, chain, chain, hidden=(16,), steps=2, settle=20, beta=10.0, shuffled=shuffled)
        state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], windows(keys.key(1)).steps.timestep))
        step = lambda state, key, agent=agent: agent.update(state, key, windows(key))  # noqa: E731
        run = jax.jit(lambda state, key, step=step: jax.lax.scan(step, state, jax.random.split(key, 150)))
        found[shuffled] = (agent, *run(state, keys.key(2)))
    return found


def chosen(agent, state):
    """The share of lanes that take action 1."""
    timestep = jax.tree.map(lambda x: x[0], windows(keys.key(3)).steps.timestep)
    return float(agent.act(agent.actor(state), keys.key(4), (), timestep, True)[0].mean())


def test_it_prefers_the_action_whose_outcome_it_gets_wrong(learned):
    agent, state, _ = learned[False]
    assert chosen(agent, state) > 0.9
    assert 0.2 < chosen(agent, state._replace(updates=jnp.int32(19))) < 0.8  # until classes are settled


def test_losses_of_other_transitions_teach_it_nothing(learned):
    assert 0.1 < chosen(*learned[True][:2]) < 0.9


def test_thresholds_are_the_mean_of_the_first_quantiles_and_stay(learned):
    told = np.asarray(learned[False][2].metrics["threshold"])
    assert np.ptp(told[20:]) < 1e-6 < np.ptp(told[:20])


def test_transitions_into_another_episode_count_for_nothing(learned):
    agent, state, _ = learned[False]
    update = jax.jit(agent.update)
    whole = update(state, keys.key(0), windows(keys.key(5)))[1].metrics
    sample = windows(keys.key(5), FIRST)
    far = sample.steps.timestep._replace(observation=sample.steps.timestep.observation.at[2].set(1e3))
    cut = update(state, keys.key(0), sample._replace(steps=sample.steps._replace(timestep=far)))[1].metrics
    assert float(cut["loss"]) < 10 * float(whole["loss"])
