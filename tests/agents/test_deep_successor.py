"""Deep successor representation: what it learns of a chain, what a new reward costs it, and its bonus."""

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.deep_successor import deep_successor
from envs import keys
from envs.base import Box, Discrete, Spec

SPEC = Spec("chain", Box((4,)), Discrete(2))


def rows(before, after, action, reward, end):
    """A window `[2, N]` of one-hot states."""
    count = len(before)
    zeros = jnp.zeros((2, count))
    kind = zeros.astype(jnp.int8) + MID
    kind = kind.at[1].set(jnp.where(jnp.asarray(end), LAST, MID).astype(jnp.int8))
    discount = (zeros + 1).at[1].set(1 - jnp.asarray(end, jnp.float32))
    timestep = TimeStep(kind, zeros.at[1].set(jnp.asarray(reward)), discount, jnp.eye(4)[jnp.stack([before, after])])
    return Step(timestep, jnp.stack([action, action]))


# A chain 0 -> 1 -> 2 -> 3, which ends; action 1 goes on, action 0 stays.
BEFORE = jnp.array([0, 1, 2, 0, 1, 2])
ACTION = jnp.array([1, 1, 1, 0, 0, 0])
AFTER = jnp.where(ACTION == 1, BEFORE + 1, BEFORE)
END = AFTER == 3


def learned(reward, updates=1500, **settings):
    """The agent and its state after learning the chain."""
    agent = deep_successor(
        SPEC, optimisers.adam(3e-3), hidden=(32,), features=16, discount=0.9, target_rate=0.05, **settings
    )
    window = rows(BEFORE, AFTER, ACTION, reward, END)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], window.timestep))

    @jax.jit
    def run(state):
        step = lambda state, key: (agent.update(state, key, Sample(window))[0], None)  # noqa: E731
        return jax.lax.scan(step, state, jax.random.split(keys.key(1), updates))[0]

    return agent, run(state), window


def told(agent, state, window):
    """The metrics of an update."""
    return jax.jit(agent.update)(state, keys.key(0), Sample(window))[1].metrics


def test_values_are_what_follows_times_what_it_pays_and_the_policy_is_greedy():
    agent, state, window = learned(jnp.where(END, 1.0, 0.0))
    loss = told(agent, state, window)
    assert float(loss["reward_loss"]) < 0.02 and float(loss["td_error"]) < 0.1
    timestep = jax.tree.map(lambda x: x[0], window.timestep)
    action, _, _ = agent.act(agent.actor(state), keys.key(0), (), timestep, False)
    np.testing.assert_array_equal(action, 1)
    # Q of going on from the last state but one is 1, and γ less per step before it: mean over what was done.
    expected = np.mean([0.81, 0.9, 1.0, 0.729, 0.81, 0.9])
    np.testing.assert_allclose(float(loss["q_mean"]), expected, atol=0.15)


def test_the_bonus_is_larger_the_less_of_what_follows_is_known():
    agent, state, window = learned(jnp.zeros(6), updates=1, bonus=1.0)
    first = told(agent, state, window)["bonus"]
    agent, state, window = learned(jnp.zeros(6), updates=400, bonus=1.0)
    later = told(agent, state, window)["bonus"]
    assert float(first) > 2 * float(later) > 0
