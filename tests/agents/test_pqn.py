"""PQN: what its targets do at the end of an episode, what layer normalisation is for, and that it learns."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers, recurrence
from agents.pqn import State, pqn, targets
from envs import keys
from envs.base import Box, Discrete, Environment, Spec, episodic
from envs.tasks.memory_chain import memory_chain
from experiments.drivers import contract, in_graph

DISCOUNT = 0.9


def q_network(spec: Spec, layer_norm: bool = True, core: Any = None) -> networks.Network:
    torso = networks.Torso(spec.observation, (32,), cnn=None, layer_norm=layer_norm)
    return networks.q_network(torso, networks.QValues(spec.action.num), core)


def endless(terminates: bool) -> Environment:
    """Reward 1 at every step; after three of them the episode terminates or is truncated."""

    def transition(key: Any, t: Any, action: Any) -> tuple[Any, Any, Any]:
        return t + 1, jnp.float32(1), (t == 2) & terminates

    spec = Spec("endless", Box((1,), 0.0, 1.0), Discrete(2), 3)
    return episodic(lambda key: jnp.int32(0), transition, lambda t: jnp.ones(1), spec)


@pytest.mark.parametrize("terminates", [False, True])
def test_a_time_limit_does_not_change_values_and_a_termination_does(terminates: bool) -> None:
    env = endless(terminates)
    network = q_network(env.spec)
    agent = pqn(network, optimisers.adam(1e-2), discount=DISCOUNT, lambda_=0.65, epsilon=0.5)
    loop = in_graph.loop(env, agent, replay.on_policy(8), contract.Schedule(8), num_envs=8, iterations=300)
    run, _ = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    rows = TimeStep(jnp.full(1, MID, jnp.int8), jnp.zeros(1), jnp.ones(1), jnp.ones((1, 1)))
    q, _ = recurrence.step(network, run.agent.params, keys.key(0), (), rows)
    # All rows look alike: v is the mean of the λ-returns of the three steps of an episode, which bootstrap from v.
    answer = 0.0
    for _ in range(300):
        third = 1 + (0 if terminates else DISCOUNT * answer)
        second = 1 + DISCOUNT * (0.65 * third + 0.35 * answer)
        first = 1 + DISCOUNT * (0.65 * second + 0.35 * answer)
        answer = (first + second + third) / 3
    assert terminates or answer == pytest.approx(1 / (1 - DISCOUNT))
    np.testing.assert_allclose(q.max(), answer, rtol=0.1)


def test_targets_take_the_environments_discount_and_the_episodes_ends() -> None:
    step_type = jnp.array([[FIRST, MID, LAST, FIRST, MID]], jnp.int8).T
    gamma = jnp.array([[1.0, 1.0, 0.0, 1.0, 1.0]]).T
    reward = jnp.array([[0.0, 1.0, 2.0, 0.0, 4.0]]).T
    steps = Step(TimeStep(step_type, reward, gamma, jnp.zeros((5, 1, 1))), jnp.zeros((5, 1), jnp.int32))
    q = jnp.stack([jnp.arange(5.0), 10 * jnp.arange(5.0)], -1)[:, None]
    expected = [1 + 0.9 * (0.5 * 10 + 0.5 * 2), 2, 0, 4 + 0.9 * 40]
    np.testing.assert_allclose(targets(steps, q, discount=0.9, lambda_=0.5)[:, 0], expected, rtol=1e-6)
    truncated = steps._replace(timestep=steps.timestep._replace(discount=jnp.ones((5, 1))))
    assert targets(truncated, q, discount=0.9, lambda_=0.5)[1, 0] == pytest.approx(2 + 0.9 * 20)


def pull(layer_norm: bool) -> float:
    """Largest |Q| after learning from transitions x = 1 -> x = 2 without reward, and never from x = 2."""
    spec = Spec("pull", Box((1,), 0.0, 2.0), Discrete(1), None)
    agent = pqn(q_network(spec, layer_norm), optimisers.adam(1e-2), discount=0.99, lambda_=0.0, minibatches=1)
    row = TimeStep(jnp.full(4, FIRST, jnp.int8), jnp.zeros(4), jnp.ones(4), jnp.ones((4, 1)))

    def step(state: State, key: Any) -> tuple[State, Any]:
        seen = [row, row._replace(step_type=row.step_type + 1, observation=2 * row.observation)]
        acted = [agent.act(agent.actor(state), key, (), timestep, False) for timestep in seen]
        rows = [Step(timestep, action, extras) for timestep, (action, _, extras) in zip(seen, acted, strict=True)]
        state, _ = agent.update(state, key, Sample(jax.tree.map(lambda *x: jnp.stack(x), *rows)))
        return state, jnp.max(jnp.abs(rows[1].extras["q"]))

    state = agent.init(keys.key(0), row)
    _, q = jax.jit(lambda state: jax.lax.scan(step, state, jax.random.split(keys.key(1), 400)))(state)
    return float(q[-1])


def test_layer_normalisation_keeps_off_policy_values_from_running_away() -> None:
    """Tsitsiklis and Van Roy's w -> 2w: without normalisation the bootstrap outgrows what is learned."""
    assert pull(layer_norm=False) > 100
    assert pull(layer_norm=True) < 1


def test_exploration_decays_over_rollouts_and_evaluation_has_none() -> None:
    spec = Spec("bandit", Box((1,), 0.0, 1.0), Discrete(3), None)
    agent = pqn(q_network(spec), optimisers.adam(1e-3), epsilon=lambda rollouts: 1.0 - 0.5 * rollouts, epochs=1)
    row = TimeStep(jnp.full(256, MID, jnp.int8), jnp.zeros(256), jnp.ones(256), jnp.ones((256, 1)))
    state = agent.init(keys.key(0), row)
    assert agent.actor(state).epsilon == 1
    assert agent.actor(state._replace(rollouts=jnp.int32(1))).epsilon == 0.5
    for explore, others in ((True, 2 / 3), (False, 0)):
        action, _, extras = agent.act(agent.actor(state), keys.key(1), (), row, explore)
        assert np.mean(action != extras["q"].argmax(-1)) == pytest.approx(others, abs=0.1)


@cache
def remembering(core: Any) -> tuple[Any, Any]:
    """PQN after training to remember a bit over four steps, and its mean return."""
    env = memory_chain(4)
    network = q_network(env.spec, core=core)
    agent = pqn(network, optimisers.adam(3e-3), discount=DISCOUNT, lambda_=0.9, epsilon=0.1)
    loop = in_graph.loop(
        env, agent, replay.on_policy(16), contract.Schedule(16), num_envs=16, iterations=120, eval_episodes=64
    )
    run, _ = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    return run, float(np.mean(jax.jit(loop.evaluate)(loop.actor(run), keys.key(1))["eval_return"]))


@pytest.mark.slow
def test_with_memory_it_remembers_and_without_it_cannot() -> None:
    assert remembering(networks.GRU(16))[1] == 1
    assert remembering(None)[1] < 0.6


def test_values_recomputed_from_stored_memory_are_those_of_acting() -> None:
    """Lanes keep their time and memory when minibatches are dealt: the first one has no error but TD's."""
    run, _ = remembering(networks.GRU(16))
    network = q_network(memory_chain(4).spec, core=networks.GRU(16))
    agent = pqn(network, optimisers.adam(0.0), discount=DISCOUNT, lambda_=0.0, epochs=1)
    steps = run.replay
    carry = agent.begin(16)
    acted = []
    for t in range(steps.timestep.reward.shape[0]):
        timestep = jax.tree.map(lambda x, t=t: x[t], steps.timestep)
        _, after, extras = agent.act(agent.actor(run.agent), keys.key(0), carry, timestep, False)
        acted.append((extras, carry))
        carry = after
    extras, carries = jax.tree.map(lambda *x: jnp.stack(x), *acted)
    steps = steps._replace(extras=extras, carry=carries)
    np.testing.assert_allclose(
        recurrence.unroll(network, run.agent.params, keys.key(0), steps), steps.extras["q"], atol=1e-5
    )
    q = steps.extras["q"]
    taken = jnp.take_along_axis(q, steps.action[..., None], -1)[:-1, :, 0]
    error = targets(steps, q, discount=DISCOUNT, lambda_=0.0) - taken
    real = steps.timestep.step_type[1:] != FIRST
    _, info = agent.update(run.agent, keys.key(0), Sample(steps))
    np.testing.assert_allclose(info.metrics["td_error"], jnp.sum(jnp.abs(error) * real) / jnp.sum(real), rtol=0.05)
