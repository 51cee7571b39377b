"""The Reactor: who learns from whom, what is stored and prioritised, and what β is for."""

from functools import cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
import replay
from agents import losses
from agents.base import FIRST, MID, Agent, Sample, Step, TimeStep, valid
from agents.common import optimisers, recurrence
from agents.reactor import reactor
from envs import keys
from envs.tasks.catch import catch
from experiments.drivers import base, in_graph
from experiments.drivers.contract import Schedule

ENV = catch(rows=4, columns=3)
ATOMS = jnp.linspace(-1.0, 1.0, 11)
LANES, LENGTH = 4, 7


class Kind(NamedTuple):
    """Of network."""

    distributional: bool = True
    recurrent: bool = False


DISTRIBUTIONAL = Kind()


def network(kind: Kind) -> networks.Network:
    critic = networks.CategoricalQ(3, atoms=11) if kind.distributional else networks.QValues(3)
    torso = networks.Torso(ENV.spec.observation, (32,), cnn=None, layer_norm=True)
    core = networks.LSTM(8) if kind.recurrent else None
    return networks.forked(torso, networks.CategoricalPolicy(3), critic, core)


def build(kind: Kind = DISTRIBUTIONAL, **overrides: Any) -> Agent:
    atoms = ATOMS if kind.distributional else None
    settings = {"atoms": atoms, "discount": 0.95, "target_period": 1, "target_rate": 0.05, **overrides}
    return reactor(network(kind), optimisers.chain(optax.adam(3e-3, b1=0.0)), **settings)


@cache
def beginning(kind: Kind) -> Any:
    _, timestep = jax.vmap(ENV.reset)(jax.random.split(keys.key(0), LANES))
    return jax.jit(build(kind).init)(keys.key(1), timestep)


def play(agent: Agent, params: Any, length: int = LENGTH) -> Step:
    """Rows `[length + 1, LANES]` that the agent acted out; episodes have four, so that they hold several."""
    k_env, k_act = jax.random.split(keys.key(3))
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(k_env, LANES))

    def body(carry: Any, key: Any) -> tuple[Any, Step]:
        env_state, timestep, live = carry
        row, live = base.act_row(agent, params, live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), live), row

    start = (env_state, timestep, base.begin(agent, LANES))
    return jax.lax.scan(body, start, jax.random.split(k_act, length + 1))[1]


@cache
def rows(kind: Kind) -> Step:
    return jax.jit(lambda params: play(build(kind), params))(beginning(kind).params)


@cache
def program(kind: Kind) -> Any:
    update = lambda settings, state, sample: build(kind, **settings).update(state, keys.key(0), sample)  # noqa: E731
    return jax.jit(update)


def updated(kind: Kind, sample: Sample | None = None, state: Any = None, **settings: float) -> Any:
    """(state, Info) after one update; the settings are numbers, so that each kind compiles once."""
    costs = {"value_cost": 1.0, "policy_cost": 1.0, "entropy_cost": 0.01, "mixture": 0.01, **settings}
    sample = sample or Sample(rows(kind), weight=jnp.ones(LANES))
    return program(kind)(costs, state or beginning(kind), sample)


def moved(before: Any, after: Any) -> set[str]:
    """Parts of the network whose parameters differ."""
    return {name for name in before if any(jax.tree.leaves(jax.tree.map(jnp.any, differs(before[name], after[name]))))}


def differs(a: Any, b: Any) -> Any:
    return jax.tree.map(lambda x, y: x != y, a, b)


@pytest.mark.parametrize("recurrent", [False, True])
def test_the_torso_learns_from_the_critic_alone(recurrent: bool) -> None:
    kind = Kind(distributional=False, recurrent=recurrent)
    for settings, learns in (
        ({"value_cost": 0.0}, {"policy", "policy_core"}),
        ({"policy_cost": 0.0, "entropy_cost": 0.0}, {"torso", "critic", "critic_core"}),
    ):
        after, _ = updated(kind, **settings)
        cores = set() if recurrent else {"policy_core", "critic_core"}
        assert moved(beginning(kind).params, after.params) == learns - cores


def test_what_is_stored_is_the_probability_under_the_mixture() -> None:
    kind = Kind(distributional=False)
    params = beginning(kind).params
    sharp = {**params, "policy": jax.tree.map(lambda x: 1e6 * x, params["policy"])}
    mu = np.asarray(jax.jit(lambda p: play(build(kind, mixture=0.3), p, 200).extras["mu"])(sharp))
    # A policy that is sure of itself still plays each of the others with probability 0.3 / 3.
    np.testing.assert_allclose(np.unique(mu.round(5)), [0.1, 0.8], atol=1e-4)
    assert np.mean(mu < 0.5) == pytest.approx(0.2, abs=0.06)


@pytest.mark.parametrize("distributional", [True, False])
def test_priority_is_the_distance_to_the_target_within_episodes(distributional: bool) -> None:
    kind = Kind(distributional)
    state, steps = beginning(kind), rows(kind)
    _, info = updated(kind, mixture=0.3)
    policy, output = recurrence.unroll(network(kind), state.params, keys.key(0), steps)
    pi = 0.7 * jax.nn.softmax(policy.logits) + 0.1
    real = np.asarray(valid(steps))

    @jax.jit
    def distance(timestep: TimeStep, output: Any, action: Any, pi: Any, mu: Any) -> Any:
        """Of one lane, to a target from the same parameters."""
        step_type, reward, gamma, _ = timestep
        rest = (reward[1:], 0.95 * gamma[1:])
        off = (action[1:], pi[1:], mu[1:], step_type)
        taken = output[jnp.arange(LENGTH), action[:-1]]
        if distributional:
            goal = losses.categorical_retrace(ATOMS, *rest, jax.nn.softmax(output)[1:], *off)
            return 0.5 * jnp.abs(goal - jax.nn.softmax(taken)).sum(-1)
        return jnp.abs(losses.retrace_returns(*rest, output[1:], *off) - taken)

    lanes = (steps.timestep, output, steps.action, pi, steps.extras["mu"])
    each = [distance(*jax.tree.map(lambda x, lane=lane: x[:, lane], lanes)) for lane in range(LANES)]
    assert not real.all()
    expected = np.sum(np.stack(each, 1) * real, axis=0) / real.sum(axis=0)
    np.testing.assert_allclose(info.priority, expected, rtol=1e-4)


def test_targets_bootstrap_from_the_target_network_and_weights_count() -> None:
    kind = Kind()

    def loss(state: Any, weight: float) -> float:
        sample = Sample(rows(kind), weight=jnp.full(LANES, weight))
        return float(updated(kind, sample, state, policy_cost=0.0, entropy_cost=0.0)[1].metrics["loss"])

    state = beginning(kind)
    one = loss(state, 1.0)
    assert abs(loss(state._replace(target=jax.tree.map(lambda x: 2 * x, state.target)), 1.0) - one) > 1e-3
    assert loss(state, 0.5) == pytest.approx(0.5 * one, rel=1e-5)


def test_sequences_start_with_fresh_memory_when_forgetful() -> None:
    kind = Kind(distributional=False, recurrent=True)
    agent = recurrence.forgetful(build(kind))
    steps = jax.jit(lambda params: play(agent, params))(beginning(kind).params)
    assert set(steps.extras) == {"mu"}
    later = jax.tree.map(lambda x: x[2:], steps)
    assert later.timestep.step_type[0, 0] != FIRST
    _, info = jax.jit(agent.update)(beginning(kind), keys.key(0), Sample(later))
    zeros = jax.tree.map(lambda x: jnp.zeros((LENGTH - 1, *x.shape)), network(kind).begin(LANES))
    remembered = later._replace(carry=zeros)
    _, expected = jax.jit(build(kind).update)(beginning(kind), keys.key(0), Sample(remembered))
    assert np.isfinite(info.metrics["loss"])
    np.testing.assert_allclose(info.metrics["loss"], expected.metrics["loss"], rtol=1e-5)


def trained(build: Any, settings: Any, seeds: int = 3, iterations: int = 250) -> np.ndarray:
    """Mean returns `[settings, seeds]` of greedy play after 4 · 8 · `iterations` steps."""

    def run(setting: Any, key: Any) -> Any:
        agent, storage = build(setting), replay.uniform(4000, 8, 6)
        sizes = {"num_envs": 8, "iterations": iterations, "eval_episodes": 32}
        loop = in_graph.loop(ENV, agent, storage, Schedule(4, 2, 8), **sizes)
        return loop.evaluate(loop.actor(loop.step(loop.init(key))[0]), key)["eval_return"]

    over_seeds = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
    return np.asarray(jax.jit(over_seeds)(jnp.asarray(settings), keys.key(np.arange(seeds)))).mean(axis=-1)


def test_returns_make_up_for_a_critic_that_knows_nothing() -> None:
    """With β = 0 the policy rests on the critic alone, which does not learn here."""
    without, with_returns = trained(lambda bound: build(bound=bound, value_cost=0.0), [0.0, np.inf])
    assert (without < 0.5).all(), without
    assert (with_returns > 0.9).all(), with_returns


@pytest.mark.slow
def test_learns_with_a_critic_of_mean_returns() -> None:
    (returns,) = trained(lambda bound: build(Kind(distributional=False), bound=bound), [1.0])
    assert (returns > 0.9).all(), returns


def test_actions_without_exploration_are_the_likeliest() -> None:
    kind = Kind(distributional=False)
    params = beginning(kind).params
    timestep = TimeStep(jnp.full(LANES, MID, jnp.int8), jnp.zeros(LANES), jnp.ones(LANES), jnp.zeros((LANES, 4, 3)))
    favour = jnp.array([0.0, 0.0, 5.0])
    policy = {**params["policy"], "Dense_0": {**params["policy"]["Dense_0"], "bias": favour}}
    action, _, _ = build(kind).act({**params, "policy": policy}, keys.key(0), (), timestep, False)
    np.testing.assert_array_equal(action, 2)
