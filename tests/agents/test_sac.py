"""SAC where the answer is known: one state, and rewards whose best soft policy is a normal, or a softmax."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import envs
import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers, recurrence
from agents.common.critics import apply, with_action
from agents.sac import Params, sac
from envs import keys
from envs.base import Box
from experiments.run.plans import Size
from experiments.sac import Config, make

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
        distribution, _ = recurrence.step(policy, state.policy.params, None, (), timestep)
        return jax.tree.map(lambda x: x[0], distribution), state

    return jax.jit(jax.vmap(run))({name: jnp.float32(value) for name, value in settings.items()})


def test_fixed_temperatures_give_the_exponential_of_the_reward_and_none_a_collapse() -> None:
    policy, _ = learned(3000, temperature=[1.0, 0.0])
    np.testing.assert_allclose(policy.mode()[0], CENTRE, atol=0.01)
    entropy = policy.entropy()
    np.testing.assert_allclose(entropy[0], OPTIMUM, atol=0.05)
    assert entropy[1] < OPTIMUM - 1.5


def window() -> Step:
    """Two transitions in each of eight lanes; the second joins two episodes in half of them, where the first ended.

    One half of those ended by termination, the other by truncation.
    """
    k_seen, k_action, k_reward = jax.random.split(keys.key(5), 3)
    lane = jnp.arange(8)
    kinds = jnp.stack([jnp.full(8, MID), jnp.where(lane < 4, LAST, MID), jnp.where(lane < 4, FIRST, MID)])
    discount = jnp.ones((3, 8)).at[1].set(jnp.where(lane < 2, 0.0, 1.0))
    seen = jax.random.normal(k_seen, (3, 8, 3))
    timestep = TimeStep(kinds.astype(jnp.int8), jax.random.normal(k_reward, (3, 8)), discount, seen)
    return Step(timestep, jax.random.uniform(k_action, (3, 8, 2), minval=-1.0), {})


def test_an_update_is_the_papers() -> None:
    """The bootstrap, the mask and the four steps of an update, written out plainly."""
    space, rate, entropy = Box((3,)), 0.1, -2.0
    policy = networks.q_network(networks.Torso(space, (8,)), networks.TanhGaussianPolicy(2))
    critic = networks.q_network(networks.Torso(with_action(space, Box((2,))), (8,)), networks.Value())
    critic = networks.ensemble(critic, 2)
    chains = Params(*(optimisers.chain(optax.sgd(rate)) for _ in range(3)))
    agent = sac(policy, critic, chains, discount=0.9, temperature=0.5, target_entropy=entropy, target_rate=0.25)
    steps, key = window(), keys.key(1)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    state = state._replace(target=jax.tree.map(lambda x: x + 0.1, state.target))

    k_critic, k_policy = jax.random.split(key)
    before, after = jax.tree.map(lambda x: x[:-1], steps.timestep), jax.tree.map(lambda x: x[1:], steps.timestep)
    real = np.array([[1.0] * 8, [0.0] * 4 + [1.0] * 4])

    def drawn(params: Any, key: Any, timestep: TimeStep) -> tuple[Any, Any]:
        """Actions and their log-densities."""
        head = apply(policy, params, timestep)
        epsilon = jax.random.normal(key, head.mean.shape)
        action = jnp.tanh(head.mean + jnp.exp(head.log_std) * epsilon)
        normal = -0.5 * jnp.square(epsilon) - head.log_std - 0.5 * jnp.log(2 * jnp.pi)
        return action, jnp.sum(normal - jnp.log(1 - jnp.square(action)), -1)

    def down(params: Any, gradient: Any) -> Any:
        return jax.tree.map(lambda p, g: p - rate * g, params, gradient)

    def plainly() -> tuple[Any, Any, Any]:
        a_t, log_prob = drawn(state.policy.params, jax.random.split(k_critic, 1)[0], after)
        y = jnp.min(apply(critic, state.target, after, a_t), 0) - 0.5 * log_prob
        y = after.reward + 0.9 * after.discount * y

        def critic_loss(params: Any) -> Any:
            td = y[None] - apply(critic, params, before, steps.action[:-1])
            return jnp.sum(0.5 * jnp.square(td) * real[None]) / 12

        critics = down(state.critic.params, jax.grad(critic_loss)(state.critic.params))

        def policy_loss(params: Any) -> Any:
            action, log_prob = drawn(params, k_policy, before)
            return jnp.sum((0.5 * log_prob - jnp.min(apply(critic, critics, before, action), 0)) * real) / 12

        held = jnp.sum(-drawn(state.policy.params, k_policy, before)[1] * real) / 12
        return (
            critics,
            down(state.policy.params, jax.grad(policy_loss)(state.policy.params)),
            jnp.log(0.5) - rate * 0.5 * (held - entropy),
        )

    critics, actor, log_temperature = jax.jit(plainly)()
    new, _ = jax.jit(agent.update)(state, key, Sample(steps))
    chex.assert_trees_all_close(new.critic.params, critics, atol=1e-5)
    chex.assert_trees_all_close(new.policy.params, actor, atol=1e-5)
    np.testing.assert_allclose(new.temperature.params, log_temperature, atol=1e-5)
    target = optax.incremental_update(critics, state.target, 0.25)
    chex.assert_trees_all_close(new.target, target, atol=1e-5)


def test_rewards_are_scaled_before_they_are_learned_from() -> None:
    spec = envs.make("bellmax/pendulum").spec
    key, rows = keys.key(1), window()
    rows = rows._replace(action=rows.action[..., :1])

    def after(scale: float, factor: float) -> Any:
        parts = make(Config(hidden=(8,), reward_scale=scale), spec, Size(1, 1, 10_000))
        steps = rows._replace(timestep=rows.timestep._replace(reward=factor * rows.timestep.reward))
        state = parts.agent.init(keys.key(0), jax.tree.map(lambda x: x[0], rows.timestep))
        return jax.jit(parts.agent.update)(state, key, Sample(steps))[0].params

    chex.assert_trees_all_close(after(0.25, 1.0), after(1.0, 0.25))
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(after(0.25, 1.0), after(1.0, 1.0), rtol=1e-3)


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
