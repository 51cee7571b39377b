"""Q-Prop's control variate: no bias and less variance with a frozen policy; and that the agent learns."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents import losses
from agents.base import Sample, Step
from agents.common import optimisers
from agents.q_prop import q_prop
from agents.trpo import Region
from envs import keys
from envs.tasks import probes
from experiments.drivers import contract, in_graph
from experiments.studies.control_variate import estimates


def test_eta_by_mode():
    adv, variate = jnp.array([1.0, -1.0, 2.0]), jnp.array([0.5, 0.5, -1.0])
    expected = {"standard": [1, 1, 1], "conservative": [1, 0, 0], "aggressive": [1, -1, -1], "none": [0, 0, 0]}
    for mode, eta in expected.items():
        np.testing.assert_array_equal(losses.control(mode, adv, variate), eta)
    with pytest.raises(ValueError, match="'best' must be one of standard"):
        losses.control("best", adv, variate)


@pytest.mark.parametrize("slope_error", [0.0, -2.0])
def test_the_mean_stays_and_the_variance_falls(slope_error):
    (plain, _), (controlled, written_out) = estimates("none"), estimates("standard", slope_error)
    np.testing.assert_allclose(controlled, written_out, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(plain.mean(), 4.0, rtol=0.03)
    np.testing.assert_allclose(controlled.mean(), 4.0, rtol=0.03)
    assert controlled.var() < 0.8 * plain.var()
    conservative, written_out = estimates("conservative")
    np.testing.assert_allclose(conservative, written_out, rtol=1e-4, atol=1e-4)
    assert conservative.var() < plain.var()


ENV = probes.both(continuous=True)


def made(q_learning_rate=3e-3, **settings):
    torso = lambda space: networks.Torso(space, (32,), cnn=None)  # noqa: E731
    seen, action = ENV.spec.observation, ENV.spec.action
    network = networks.actor_critic(
        torso(seen), networks.GaussianPolicy(1, -0.5), networks.Value(), critic_torso=torso(seen)
    )
    q_network = networks.q_network(torso({"observation": seen, "action": action}), networks.Value())
    chains = optimisers.adam(3e-3), optimisers.adam(q_learning_rate)
    return q_prop(network, q_network, *chains, region=Region(0.05), q_minibatches=4, **settings)


@pytest.mark.parametrize("rate", [1.0, 0.1])
def test_the_target_moves_with_every_step_of_the_action_values(rate):
    """Four steps that hardly change the action values, which are 1 away in every parameter."""
    agent = made(1e-7, target_rate=rate, q_epochs=1)
    _, timestep = jax.vmap(ENV.reset)(jax.random.split(keys.key(0), 4))
    state = agent.init(keys.key(1), timestep)
    away = jax.tree.map(lambda x: x + 1.0, state.q.params)
    state = state._replace(q=state.q._replace(params=away))
    action, _, extras = agent.act(agent.actor(state), keys.key(3), agent.begin(4), timestep, True)
    window = jax.tree.map(lambda x: jnp.broadcast_to(x, (9, *x.shape)), Step(timestep, action, extras))
    after, _ = jax.jit(agent.update)(state, keys.key(2), Sample(window))
    left = (1 - rate) ** 4
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y - left, atol=1e-4), after.target, away)


@pytest.mark.slow
def test_learns_a_continuous_probe():
    agent = made(replayed=8)
    storage = replay.fresh_and_replayed(replay.on_policy(8), replay.uniform(2000, 8, 8))
    loop = in_graph.loop(ENV, agent, storage, contract.Schedule(8, 1, 1), num_envs=8, iterations=150)
    run, metrics = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    returns = loop.evaluate(loop.actor(run), keys.key(1))["eval_return"]
    assert returns.mean() > 0.95, returns  # 1 at best; 0.75 for the mean action 0
    assert 0 < metrics["eta"] < 1
