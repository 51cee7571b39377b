"""SAC where the answer is known: one state, and rewards whose best soft policy is a normal, or a softmax."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import keys, memory, optimisers
from agents.base import FIRST, LAST, Sample, Step, TimeStep
from agents.sac import Params, sac
from envs.base import Box

LANES, CENTRE, WIDTH = 32, 0.3, 0.1
KINDS = jnp.broadcast_to(jnp.array([[FIRST], [LAST]], jnp.int8), (2, LANES))
OPTIMUM = float(np.log(WIDTH * np.sqrt(2 * np.pi * np.e)))  # entropy of N(0.3, 0.1²), in nats
REWARDS = np.array([1.0, 0.5, -0.3])


class Powers(nn.Module):
    """The action and its square, with which the reward below is linear."""

    def __call__(self, observation: Any) -> Any:
        return jnp.concatenate([observation["action"], jnp.square(observation["action"])], -1)


def rows(action: Any, reward: Any) -> Step:
    timestep = TimeStep(KINDS, reward, jnp.zeros((2, LANES)), jnp.ones((2, LANES, 1)))
    return Step(timestep, action, {})


def bandit(key: Any) -> Step:
    action = jax.random.uniform(key, (2, LANES, 1), minval=-1.0)
    reward = -0.5 * jnp.square((action[0, :, 0] - CENTRE) / WIDTH)
    return rows(action, jnp.stack([reward, reward]))


def choices(key: Any) -> Step:
    action = jax.random.randint(key, (2, LANES), 0, 3)
    return rows(action, jnp.asarray(REWARDS, jnp.float32)[jnp.stack([action[0], action[0]])])


def learned(updates: int, discrete: bool = False, **settings: Any) -> tuple[Any, Any]:
    """The policies at the end, and the states: one of each for every entry of a setting that is an array."""
    torso = networks.Torso(Box((1,)), ())
    head = networks.CategoricalPolicy(3) if discrete else networks.TanhGaussianPolicy(1)
    policy = networks.q_network(torso, head)
    critic = (
        networks.q_network(torso, networks.QValues(3)) if discrete else networks.q_network(Powers(), networks.Value())
    )
    optimiser = Params(optimisers.adam(3e-3), optimisers.adam(0.1), optimisers.adam(3e-3))
    draw = choices if discrete else bandit
    timestep = jax.tree.map(lambda x: x[0], draw(keys.key(0)).timestep)

    def run(settings: dict[str, Any]) -> Any:
        agent = sac(policy, networks.ensemble(critic, 2), optimiser, discrete=discrete, **settings)

        def update(state: Any, key: Any) -> Any:
            return agent.update(state, key, Sample(draw(key)))[0], None

        state = agent.init(keys.key(0), timestep)
        state, _ = jax.lax.scan(update, state, jax.random.split(keys.key(1), updates))
        distribution, _ = memory.step(policy, state.policy.params, None, (), timestep)
        return jax.tree.map(lambda x: x[0], distribution), state

    return jax.jit(jax.vmap(run))({name: jnp.float32(value) for name, value in settings.items()})


def test_fixed_temperatures_give_the_exponential_of_the_reward_and_none_a_collapse() -> None:
    policy, _ = learned(3000, temperature=[1.0, 0.0])
    np.testing.assert_allclose(policy.mode()[0], CENTRE, atol=0.01)
    entropy = policy.entropy()
    np.testing.assert_allclose(entropy[0], OPTIMUM, atol=0.05)
    assert entropy[1] < OPTIMUM - 1.5


@pytest.mark.slow
def test_the_temperature_settles_where_the_entropy_is_as_asked() -> None:
    entropy = np.array([OPTIMUM - 0.7, OPTIMUM + 0.5])
    policy, state = learned(4000, target_entropy=entropy)
    np.testing.assert_allclose(policy.entropy(), entropy, atol=0.05)
    # A normal of variance α · 0.1² has that entropy, up to the bounds.
    np.testing.assert_allclose(state.temperature.params, 2 * (entropy - OPTIMUM), atol=0.25)


def test_discrete_policies_are_the_softmax_of_the_reward_at_the_entropy_asked_for() -> None:
    policy, state = learned(3000, discrete=True, target_entropy=[0.6, 0.9])
    np.testing.assert_allclose(policy.entropy(), [0.6, 0.9], atol=0.03)
    logits = REWARDS[None] / np.exp(np.float64(state.temperature.params))[:, None]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(jax.nn.softmax(policy.logits), probs, atol=0.02)
