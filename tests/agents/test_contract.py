"""What every agent must do, whatever it is: learn, keep its shapes, and mean the same under every transformation."""

from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Agent, Sample, Step, TimeStep
from envs import keys
from envs.host import pool_of
from envs.tasks.catch import catch
from experiments.drivers import base, contract, devices, in_graph
from experiments.drivers.host import driver
from experiments.run.checkpoint import Checkpointer
from tests.agents.listing import AGENTS

ENV = catch()
LANES = 8
SEEDS = 8


def over(names: Iterable[str]) -> Any:
    """A test of every agent; those not named, and those whose contract takes minutes, by hand."""
    slow = {name for name, entry in AGENTS.items() if entry.slow or name not in names}
    params = [pytest.param(name, marks=[pytest.mark.slow] * (name in slow)) for name in AGENTS]
    return pytest.mark.parametrize("name", params)


names = over(AGENTS)


def parts_of(name: str, **overrides: Any) -> contract.Parts:
    return AGENTS[name].make(ENV.spec, **overrides)


class Trained(NamedTuple):
    """One training on catch, for several tests to look at."""

    driver: base.Driver
    first: Any  # numpy agent states [SEEDS, ...]: after init,
    second: Any  # and after the first chunk
    metrics: dict[str, np.ndarray]  # of the first chunk
    returns: np.ndarray  # [SEEDS, episodes], at the end
    traces: list[int]  # of `update`, after every chunk


def settings(name: str) -> dict[str, int]:
    return {"num_envs": LANES, "iterations": 200 // parts_of(name).schedule.unroll, "eval_episodes": 32}


def seed_keys() -> jax.Array:
    return keys.key(np.arange(SEEDS))


@cache
def trained(name: str) -> Trained:
    traced = []

    def make(hypers: Any) -> contract.Parts:
        parts = parts_of(name)

        def update(*args: Any) -> Any:
            traced.append(1)
            return parts.agent.update(*args)

        return parts._replace(agent=parts.agent._replace(update=update))

    lay = devices.layout(SEEDS)
    driver = in_graph.driver(ENV, make, {"run": np.arange(SEEDS)}, lay, **settings(name))
    state = driver.loop.init(seed_keys())
    snapshots, measured, traces = [devices.collect(lay, state.agent)], [], []
    for _ in range(AGENTS[name].chunks):
        state, metrics = driver.loop.step(state)
        if not measured:
            snapshots.append(devices.collect(lay, state.agent))
        measured.append(metrics)
        traces.append(len(traced))
    returns = driver.loop.evaluate(driver.loop.actor(state), seed_keys())["eval_return"]
    return Trained(driver, *snapshots, measured[0], returns, traces)


@names
def test_learns_catch_on_every_seed(name: str) -> None:
    assert (trained(name).returns.mean(axis=1) >= 0.9).all(), trained(name).returns.mean(axis=1)


@names
def test_seeds_differ_at_initialisation(name: str) -> None:
    leaves = [x.reshape(SEEDS, -1) for x in jax.tree.leaves(trained(name).first.params)]
    random = [x for x in leaves if np.ptp(x)]  # biases start at zero
    assert random
    for x in random:
        assert len(np.unique(x, axis=0)) == SEEDS


@names
def test_chunks_after_the_first_do_not_trace(name: str) -> None:
    traces = trained(name).traces
    assert traces[0] > 0
    assert traces[-1] == traces[0]


def settled(tree: Any) -> Any:
    """On the first device for good: a compiled function takes a state as it was made, restored or returned."""
    return jax.device_put(tree, jax.devices()[0])


@cache
def single(name: str) -> tuple[Any, Any]:
    """`init` and `step` of a loop of one run, compiled, with the settings of `trained`."""
    loop = in_graph.loop(ENV, *parts_of(name), **settings(name))
    return jax.jit(loop.init), jax.jit(loop.step)


@names
def test_one_seed_among_many_equals_it_alone(name: str) -> None:
    init, step = single(name)
    for seed in (0, 5):
        alone, metrics = step(settled(init(keys.key(seed))))
        among = jax.tree.map(lambda x, seed=seed: x[seed], trained(name).second)
        chex.assert_trees_all_close(alone.agent, among, atol=1e-4)
        np.testing.assert_allclose(metrics["episodes"], trained(name).metrics["episodes"][seed])


@names
def test_state_keeps_its_shapes_and_types(name: str) -> None:
    init, step = single(name)
    run = jax.eval_shape(init, keys.key(0))
    after, metrics = jax.eval_shape(step, run)
    chex.assert_trees_all_equal_shapes_and_dtypes(run, after)
    assert jax.tree.structure(run) == jax.tree.structure(after)
    assert all(x.shape == () for x in metrics.values())
    assert "loss" in metrics


@cache
def window(name: str, lanes: int = 4, length: int = 8) -> tuple[Agent, Any, Step]:
    """An agent, its state, and rows `[length + 1, lanes]` that it acted out."""
    parts = parts_of(name, **AGENTS[name].whole)
    agent = parts.agent
    k_init, k_env, k_act = jax.random.split(keys.key(3), 3)
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(k_env, lanes))
    state = agent.init(k_init, timestep)

    def body(carry: Any, key: Any) -> tuple[Any, Step]:
        env_state, timestep, live = carry
        row, live = base.act_row(agent, agent.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), live), row

    start = (env_state, timestep, base.begin(agent, lanes))
    _, rows = jax.jit(lambda s, k: jax.lax.scan(body, s, k))(start, jax.random.split(k_act, length + 1))
    return agent, state, rows


@cache
def whole_update(name: str) -> tuple[Any, Any]:
    """`(state, info)` after one compiled update on the whole window."""
    agent, state, rows = window(name)
    return jax.jit(agent.update)(state, keys.key(0), Sample(rows))


@over(["a2c"])  # half a minute each: XLA compiles every operation by itself
def test_jit_equals_no_jit(name: str) -> None:
    agent, state, rows = window(name)
    compiled = whole_update(name)
    with jax.disable_jit():
        plain = agent.update(state, keys.key(0), Sample(rows))
    chex.assert_trees_all_close(compiled[0], plain[0], atol=2e-6)
    chex.assert_trees_all_close(compiled[1].metrics, plain[1].metrics, atol=1e-5)


@over(["dqn", "ppo_lstm"])  # test_all_systems.py does so for every command
def test_checkpoint_round_trip_continues_bit_for_bit(name: str, tmp_path: Any) -> None:
    init, step = single(name)
    run, _ = step(settled(init(keys.key(0))))
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, run, {"agent": name})
        restored = checkpoints.restore(jax.eval_shape(init, keys.key(0)), {"agent": name})
    assert restored is not None
    assert restored[0] == 1
    chex.assert_trees_all_equal(step(settled(restored[1])), step(settled(run)))


def differing(some: Any, others: Any) -> list[int]:
    """Seeds `[SEEDS, ...]` in which the trees are not the same up to rounding."""
    chex.assert_trees_all_equal_shapes_and_dtypes(some, others)

    def same(seed: int) -> bool:
        pick = lambda x: np.asarray(x)[seed]  # noqa: E731
        pairs = zip(jax.tree.leaves(some), jax.tree.leaves(others), strict=True)
        return all(np.allclose(pick(a), pick(b), rtol=1e-6, atol=1e-4, equal_nan=True) for a, b in pairs)

    return [seed for seed in range(SEEDS) if not same(seed)]


@over(["dqn", "a2c"])  # with many seeds and devices; test_all_systems.py does so with one for every command
def test_host_driver_equals_in_graph(name: str) -> None:
    several = 2 if name == "dqn" else 1  # each compiles for itself
    lay = devices.layout(SEEDS, devices=jax.devices()[:several])
    # The in-graph loop resets its lanes with keys split from the run's; the pool is handed the same ones.
    lane_keys = [jax.random.split(jax.random.split(key)[0], LANES) for key in seed_keys()]
    pools = pool_of(ENV)
    env = pools._replace(pool=lambda lanes, seeds: pools.pool(lanes, jnp.concatenate([lane_keys[s] for s in seeds])))
    make = lambda hypers: parts_of(name)  # noqa: E731
    outside = driver(env, make, {"run": np.arange(SEEDS)}, lay, seeds=range(SEEDS), **settings(name))
    state, metrics = outside.loop.step(outside.loop.init(seed_keys()))
    inside = (trained(name).metrics, trained(name).second)
    apart = differing((metrics, devices.collect(lay, state.agent)), inside)
    assert len(apart) <= AGENTS[name].flips, apart
    chex.assert_trees_all_equal_shapes_and_dtypes(state, outside.shape())


# Both map the same function: that they agree is `tests/experiments/test_devices.py`. Rainbow's compiles for a minute.
@over([name for name in AGENTS if name != "rainbow"])
@pytest.mark.parametrize("backend", ["pmap", pytest.param("shard_map", marks=pytest.mark.slow)])
def test_two_devices_equal_one_with_twice_the_batch(name: str, backend: str) -> None:
    agent, state, rows = window(name)

    def update(state: Any, rows: Step) -> Any:
        return agent.update(state, keys.key(0), Sample(rows))[0]

    lay = devices.layout(1, share=2)
    halves = jax.tree.map(lambda x: jnp.stack([x[:, :2], x[:, 2:]])[:, None], rows)
    replicated = devices.place(lay, jax.tree.map(lambda x: x[None], state))
    both = devices.mapped(lay, update, backend=backend)(replicated, halves)
    whole, _ = whole_update(name)
    for place in range(2):
        shard = jax.tree.map(lambda x, place=place: np.asarray(x)[place, 0], both)
        chex.assert_trees_all_close(shard.params, whole.params, atol=2e-6)


@names
def test_actor_is_no_larger_than_the_state(name: str) -> None:
    agent, state, _ = window(name)
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
    assert 0 < size(agent.actor(state)) < size(state)


@names
def test_evaluation_ignores_the_key_unless_it_must(name: str) -> None:
    """Greedy actions do not depend on the key."""
    agent, state, rows = window(name)
    timestep: TimeStep = jax.tree.map(lambda x: x[0], rows.timestep)
    actions = [agent.act(agent.actor(state), keys.key(k), agent.begin(4), timestep, False)[0] for k in range(3)]
    chex.assert_trees_all_equal(actions[0], actions[1], actions[2])
