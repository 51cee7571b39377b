"""The Reactor: who learns from whom, what is stored and prioritised, and what β is for."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
import replay
from agents import keys, losses, memory, optimisers
from agents.base import FIRST, MID, Agent, Sample, Step, TimeStep, valid
from agents.reactor import reactor
from envs.catch import catch
from experiments import loops
from experiments.loops import Schedule

ENV = catch(rows=4, columns=3)
ATOMS = jnp.linspace(-1.0, 1.0, 11)
LANES = 4


def network(distributional: bool = True, core: Any = None) -> networks.Network:
    critic = networks.CategoricalQ(3, atoms=11) if distributional else networks.QValues(3)
    torso = networks.Torso(ENV.spec.observation, (32,), cnn=None, layer_norm=True)
    return networks.forked(torso, networks.CategoricalPolicy(3), critic, core)


def build(net: networks.Network, rate: float = 3e-3, **overrides: Any) -> Agent:
    settings = {"atoms": ATOMS, "discount": 0.95, "target_period": 1, "target_rate": 0.05, **overrides}
    return reactor(net, optimisers.chain(optax.adam(rate, b1=0.0)), **settings)


def rows(agent: Agent, state: Any, length: int = 7) -> Step:
    """Rows `[length + 1, LANES]` that the agent acted out; episodes have four, so that they hold several."""
    k_env, k_act = jax.random.split(keys.key(3))
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(k_env, LANES))

    def body(carry: Any, key: Any) -> tuple[Any, Step]:
        env_state, timestep, live = carry
        row, live = loops.act_row(agent, agent.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), live), row

    start = (env_state, timestep, loops.begin(agent, LANES))
    return jax.jit(lambda s, k: jax.lax.scan(body, s, k))(start, jax.random.split(k_act, length + 1))[1]


def beginning(agent: Agent) -> Any:
    _, timestep = jax.vmap(ENV.reset)(jax.random.split(keys.key(0), LANES))
    return agent.init(keys.key(1), timestep)


def moved(before: Any, after: Any) -> set[str]:
    """Parts of the network whose parameters differ."""
    return {name for name in before if any(jax.tree.leaves(jax.tree.map(jnp.any, differs(before[name], after[name]))))}


def differs(a: Any, b: Any) -> Any:
    return jax.tree.map(lambda x, y: x != y, a, b)


@pytest.mark.parametrize("core", [None, networks.LSTM(8)], ids=["feed-forward", "recurrent"])
def test_the_torso_learns_from_the_critic_alone(core: Any) -> None:
    everything = {"torso", "critic"} | ({"critic_core"} if core else set())
    for settings, learns in (
        ({"value_cost": 0.0}, {"policy"} | ({"policy_core"} if core else set())),
        ({"policy_cost": 0.0, "entropy_cost": 0.0}, everything),
    ):
        agent = build(network(core=core), **settings)
        state = beginning(agent)
        after, _ = jax.jit(agent.update)(state, keys.key(0), Sample(rows(agent, state)))
        assert moved(state.params, after.params) == learns


def test_what_is_stored_is_the_probability_under_the_mixture() -> None:
    net = network()
    agent = build(net, mixture=0.3)
    state = beginning(agent)
    sharp = jax.tree.map(lambda x: 1e3 * x, state.params["policy"])
    steps = rows(agent, state._replace(params={**state.params, "policy": sharp}), length=200)
    mu = np.asarray(steps.extras["mu"])
    # A policy that is sure of itself still plays each of the others with probability 0.3 / 3.
    np.testing.assert_allclose(np.unique(mu.round(5)), [0.1, 0.8], atol=1e-4)
    assert np.mean(mu < 0.5) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("distributional", [True, False])
def test_priority_is_the_distance_to_the_target_within_episodes(distributional: bool) -> None:
    net = network(distributional)
    agent = build(net, atoms=ATOMS if distributional else None, mixture=0.3)
    state = beginning(agent)
    steps = rows(agent, state)
    _, info = jax.jit(agent.update)(state, keys.key(0), Sample(steps))
    policy, output = memory.unroll(net, state.params, keys.key(0), steps)
    pi = 0.7 * jax.nn.softmax(policy.logits) + 0.1
    expected = np.zeros(LANES)
    for lane in range(LANES):
        step_type, reward, gamma, _ = jax.tree.map(lambda x, lane=lane: x[:, lane], steps.timestep)
        off = [x[1:, lane] for x in (steps.action, pi, steps.extras["mu"])]
        a_tm1, real = steps.action[:-1, lane], np.asarray(valid(steps))[:, lane]
        if distributional:
            probs = jax.nn.softmax(output[:, lane])
            goal = losses.categorical_retrace(ATOMS, reward[1:], 0.95 * gamma[1:], probs[1:], *off, step_type)
            distance = 0.5 * np.abs(goal - probs[np.arange(7), a_tm1]).sum(-1)
        else:
            q = output[:, lane]
            goal = losses.retrace_returns(reward[1:], 0.95 * gamma[1:], q[1:], *off, step_type)
            distance = np.abs(goal - q[np.arange(7), a_tm1])
        expected[lane] = np.mean(distance * real)
    assert not valid(steps).all()
    np.testing.assert_allclose(info.priority, expected, rtol=1e-4)


def test_targets_bootstrap_from_the_target_network_and_weights_count() -> None:
    agent = build(network(), policy_cost=0.0, entropy_cost=0.0)
    state = beginning(agent)
    steps = rows(agent, state)
    loss = lambda state, weight: agent.update(state, keys.key(0), Sample(steps, weight=weight))[1].metrics["loss"]  # noqa: E731
    other = state._replace(target=jax.tree.map(lambda x: 2 * x, state.target))
    one = jax.jit(loss)(state, jnp.ones(LANES))
    assert abs(jax.jit(loss)(other, jnp.ones(LANES)) - one) > 1e-3
    assert jax.jit(loss)(state, jnp.full(LANES, 0.5)) == pytest.approx(0.5 * one, rel=1e-5)


def test_sequences_start_with_fresh_memory_when_forgetful() -> None:
    agent = memory.forgetful(build(network(core=networks.LSTM(8))))
    state = beginning(agent)
    steps = rows(agent, state)
    assert set(steps.extras) == {"mu"}
    later = jax.tree.map(lambda x: x[2:], steps)
    assert later.timestep.step_type[0, 0] != FIRST
    _, info = jax.jit(agent.update)(state, keys.key(0), Sample(later))
    assert np.isfinite(info.metrics["loss"])


def trained(agent: Agent, seeds: int = 3, iterations: int = 250) -> np.ndarray:
    """Mean returns `[seeds]` of greedy play after 4 · 8 · `iterations` steps."""
    loop = loops.in_graph(
        ENV, agent, replay.uniform(4000, 8, 6), Schedule(4, 2, 8), num_envs=8, iterations=iterations, eval_episodes=32
    )

    def run(key: Any) -> Any:
        return loop.evaluate(loop.actor(loop.step(loop.init(key))[0]), key)["eval_return"]

    return np.asarray(jax.jit(jax.vmap(run))(keys.key(np.arange(seeds)))).mean(axis=1)


@pytest.mark.parametrize("bound", [0.0, np.inf])
def test_returns_make_up_for_a_critic_that_knows_nothing(bound: float) -> None:
    """With β = 0 the policy rests on the critic alone, which does not learn here."""
    returns = trained(build(network(), bound=bound, value_cost=0.0))
    assert (returns > 0.9).all() if bound else (returns < 0.5).all(), returns


def test_learns_with_a_critic_of_mean_returns() -> None:
    assert (trained(build(network(distributional=False), atoms=None)) > 0.9).all()


def test_actions_without_exploration_are_the_likeliest() -> None:
    agent = build(network())
    state = beginning(agent)
    timestep = TimeStep(jnp.full(LANES, MID, jnp.int8), jnp.zeros(LANES), jnp.ones(LANES), jnp.zeros((LANES, 4, 3)))
    favour = jnp.array([0.0, 0.0, 5.0])
    policy = {**state.params["policy"], "Dense_0": {**state.params["policy"]["Dense_0"], "bias": favour}}
    action, _, _ = agent.act({**state.params, "policy": policy}, keys.key(0), (), timestep, False)
    np.testing.assert_array_equal(action, 2)
