"""What every agent must do, whatever it is: learn, keep its shapes, and mean the same under every transformation."""

from functools import cache, partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Agent, Sample, Step, TimeStep
from envs.catch import catch
from envs.host import pool_of
from experiments import devices, drivers, loops
from experiments.host import host
from tests.agents.listing import AGENTS

ENV = catch()
LANES = 8
SEEDS = 8
names = pytest.mark.parametrize("name", AGENTS)


def parts_of(name: str, **overrides: Any) -> drivers.Parts:
    return AGENTS[name].make(ENV.spec, **overrides)


def iterations(name: str) -> int:
    return 80 // parts_of(name).schedule.unroll


class Trained(NamedTuple):
    driver: drivers.Driver
    states: list[Any]  # after init, and after every chunk trained
    metrics: list[dict[str, np.ndarray]]
    returns: np.ndarray  # [SEEDS, episodes]
    traces: list[int]  # of `act`, after every chunk


@cache
def trained(name: str) -> Trained:
    """One training on catch that several tests look at."""
    traced = []

    def counting(agent: Agent) -> Agent:
        def update(*args: Any) -> Any:
            traced.append(1)
            return agent.update(*args)

        return agent._replace(update=update)

    def make(hypers: Any) -> drivers.Parts:
        parts = parts_of(name)
        return parts._replace(agent=counting(parts.agent))

    lay = devices.layout(SEEDS)
    driver = drivers.in_graph(
        ENV, make, {"run": np.arange(SEEDS)}, lay, num_envs=LANES, iterations=iterations(name) * 5, eval_episodes=32
    )
    keys = jax.random.split(jax.random.key(1), SEEDS)
    state = driver.loop.init(keys)
    states, metrics, traces = [jax.tree.map(np.asarray, jax.device_get(state.agent))], [], []
    for _ in range(AGENTS[name].chunks):
        state, measured = driver.loop.step(state)
        metrics.append(measured)
        traces.append(len(traced))
    returns = driver.loop.evaluate(driver.loop.actor(state), keys)["eval_return"]
    return Trained(driver, [*states, state], metrics, returns, traces)


@names
def test_learns_catch_on_every_seed(name: str) -> None:
    assert (trained(name).returns.mean(axis=1) >= 0.9).all(), trained(name).returns.mean(axis=1)


@names
def test_seeds_differ_at_initialisation(name: str) -> None:
    leaves = [x.reshape(SEEDS, -1) for x in jax.tree.leaves(trained(name).states[0].params) if x.size > SEEDS]
    random = [x for x in leaves if np.ptp(x)]  # biases start at zero
    assert random
    for x in random:
        assert len(np.unique(x, axis=0)) == SEEDS


@names
def test_chunks_after_the_first_do_not_trace(name: str) -> None:
    traces = trained(name).traces
    assert traces[0] > 0
    assert traces[-1] == traces[0]


def loop_of(name: str, lanes: int = 4) -> loops.Loop:
    return loops.in_graph(ENV, *parts_of(name), num_envs=lanes, iterations=2)


@cache
def single(name: str) -> tuple[loops.Loop, Any, Any]:
    """A small loop, its jitted step, and a run after init."""
    loop = loop_of(name)
    return loop, jax.jit(loop.step), jax.jit(loop.init)


@names
def test_state_keeps_its_shapes_and_types(name: str) -> None:
    loop = loop_of(name)
    run = jax.eval_shape(loop.init, jax.random.key(0))
    after, metrics = jax.eval_shape(loop.step, run)
    chex.assert_trees_all_equal_shapes_and_dtypes(run, after)
    assert jax.tree.structure(run) == jax.tree.structure(after)
    assert all(x.shape == () for x in metrics.values())
    assert "loss" in metrics


def window(name: str, lanes: int, length: int = 8) -> tuple[Agent, Any, Step]:
    """An agent, its state, and rows `[length + 1, lanes]` that it acted out."""
    parts = parts_of(name, **AGENTS[name].whole)
    agent = parts.agent
    k_init, k_env, k_act = jax.random.split(jax.random.key(3), 3)
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(k_env, lanes))
    state = agent.init(k_init, timestep)

    def body(carry: Any, key: Any) -> tuple[Any, Step]:
        env_state, timestep, live = carry
        row, live = loops.act_row(agent, agent.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), live), row

    start = (env_state, timestep, loops.begin(agent, lanes))
    _, rows = jax.jit(lambda s, k: jax.lax.scan(body, s, k))(start, jax.random.split(k_act, length + 1))
    return agent, state, rows


@names
def test_jit_equals_no_jit(name: str) -> None:
    agent, state, rows = window(name, 4)
    update = partial(agent.update, state, jax.random.key(0), Sample(rows))
    compiled = jax.jit(update)()
    with jax.disable_jit():
        plain = update()
    chex.assert_trees_all_close(compiled[0], plain[0], atol=2e-6)
    chex.assert_trees_all_close(compiled[1].metrics, plain[1].metrics, atol=1e-5)


@names
def test_vmap_over_seeds_equals_separate_runs(name: str) -> None:
    _, step, init = single(name)
    keys = jax.random.split(jax.random.key(5), 2)
    loop = loop_of(name)
    together, _ = jax.jit(jax.vmap(loop.step))(jax.jit(jax.vmap(loop.init))(keys))
    for i in range(2):
        alone, _ = step(init(keys[i]))
        same = jax.tree.map(lambda x, i=i: x[i], together)
        chex.assert_trees_all_close(alone.agent, same.agent, atol=1e-5)
        chex.assert_trees_all_close(alone.timestep, same.timestep, atol=1e-6)


@names
def test_checkpoint_round_trip_continues_bit_for_bit(name: str, tmp_path: Any) -> None:
    from experiments.checkpoint import Checkpointer
    _, step, init = single(name)
    run, _ = step(init(jax.random.key(0)))
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, run, {"agent": name})
        checkpoints.wait()
        template = jax.eval_shape(init, jax.random.key(0))
        restored = checkpoints.restore(template, {"agent": name})
    assert restored is not None
    chex.assert_trees_all_equal(step(restored[1]), step(run))


@names
def test_host_driver_equals_in_graph(name: str) -> None:
    keys = jax.random.split(jax.random.key(7), 2)
    lay = devices.layout(2)
    common = {"num_envs": 4, "iterations": 3, "eval_episodes": 2}
    arguments = (lambda hypers: parts_of(name), {"run": np.arange(2)}, lay)
    graph = drivers.in_graph(ENV, *arguments, **common)
    # The in-graph loop resets its lanes with keys split from the run's; the pool is handed the same ones.
    lane_keys = jnp.concatenate([jax.random.split(jax.random.split(key)[0], 4) for key in keys])
    pools = pool_of(ENV)
    outside = host(pools._replace(pool=lambda n, seed: pools.pool(n, lane_keys)), *arguments, **common)
    a, b = graph.loop.init(keys), outside.loop.init(keys)
    for _ in range(2):
        a, in_graph = graph.loop.step(a)
        b, on_host = outside.loop.step(b)
        chex.assert_trees_all_close(in_graph, on_host, atol=1e-6)
    chex.assert_trees_all_close(*(devices.collect(lay, x.agent) for x in (a, b)), atol=1e-6)
    chex.assert_trees_all_equal_shapes_and_dtypes(b, outside.shape())


@names
@pytest.mark.parametrize("backend", ["pmap", "shard_map"])
def test_two_devices_equal_one_with_twice_the_batch(name: str, backend: str) -> None:
    agent, state, rows = window(name, 4)

    def update(state: Any, rows: Step) -> Any:
        return agent.update(state, jax.random.key(0), Sample(rows))[0]

    lay = devices.layout(1, share=2)
    halves = jax.tree.map(lambda x: jnp.stack([x[:, :2], x[:, 2:]])[:, None], rows)
    replicated = devices.place(lay, jax.tree.map(lambda x: x[None], state))
    both = devices.mapped(lay, update, backend=backend)(replicated, halves)
    whole = jax.jit(update)(state, rows)
    for place in range(2):
        shard = jax.tree.map(lambda x, place=place: np.asarray(x)[place, 0], both)
        chex.assert_trees_all_close(shard.params, whole.params, atol=2e-6)


@names
def test_actor_is_no_larger_than_the_state(name: str) -> None:
    agent, state, _ = window(name, 2)
    size = lambda tree: sum(x.size for x in jax.tree.leaves(tree))  # noqa: E731
    assert 0 < size(agent.actor(state)) < size(state)


@names
def test_evaluation_ignores_the_key_unless_it_must(name: str) -> None:
    """Greedy actions do not depend on the key."""
    agent, state, rows = window(name, 3)
    timestep: TimeStep = jax.tree.map(lambda x: x[0], rows.timestep)
    actions = [agent.act(agent.actor(state), jax.random.key(k), agent.begin(3), timestep, False)[0] for k in range(3)]
    chex.assert_trees_all_equal(actions[0], actions[1], actions[2])
