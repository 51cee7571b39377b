"""The cheap part of the contract, for every command that learns from recorded episodes alone."""

from importlib import import_module
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
import replay
from envs import keys
from experiments.drivers import devices, in_graph, offline
from experiments.drivers.contract import Parts
from experiments.run import data, flags, prepare
from experiments.run.checkpoint import Checkpointer
from tests.experiments.words import offline_systems, small


class System(NamedTuple):
    """A small run of a command."""

    name: str
    parts: Parts
    init: Any
    step: Any
    run: offline.Offline
    lent: Any
    traced: list[int]  # one entry for every time that an update was traced
    env: Any


@pytest.fixture(scope="module", params=offline_systems())
def system(request: pytest.FixtureRequest) -> System:
    """Of every command in turn, with all tests of one before those of the next, so that each is compiled once."""
    experiment = import_module(f"experiments.{request.param}").experiment
    config = data.completed(flags.parse(experiment.flags, small(request.param, 1), f"x.{request.param}"))
    env = envs.make(config.env, **envs.parse_options(config.env_options))
    held = data.held(config, env.spec)
    size = prepare.size_of(config, held.facts)
    experiment.check(config.agent, env.spec, size)
    parts = experiment.make(config.agent, env.spec, size)
    parts = parts._replace(schedule=parts.schedule._replace(updates=min(2, parts.schedule.updates)))
    traced: list[int] = []

    def update(*arguments: Any) -> Any:
        traced.append(1)
        return parts.agent.update(*arguments)

    run = offline.loop(parts._replace(agent=parts.agent._replace(update=update)), env.spec, 1)
    init, step = (jax.jit(f) for f in (run.init, run.step))
    return System(request.param, parts, init, step, run, jax.tree.map(jnp.asarray, held.arrays), traced, env)


@pytest.fixture(scope="module")
def begun(system: System) -> Any:
    """A fresh run, on its device as a restored one is, so that `step` is compiled once for both."""
    return jax.device_put(system.init(keys.key(0)), jax.devices()[0])


@pytest.fixture(scope="module")
def stepped(system: System, begun: Any) -> Any:
    """The same after one step."""
    return system.step(system.lent, begun)[0]


def numbers(tree: Any) -> list[np.ndarray]:
    """All leaves but random keys."""
    return [np.asarray(x) for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


def test_shapes_and_types_stay_and_the_state_holds_no_data(system: System) -> None:
    run = jax.eval_shape(system.init, keys.key(0))
    after, metrics = jax.eval_shape(system.step, system.lent, run)
    chex.assert_trees_all_equal_shapes_and_dtypes(run, after)
    assert metrics and all(x.shape == () for x in metrics.values())
    assert "loss" in metrics and any(name.endswith("gradient_norm") for name in metrics)
    assert not system.parts.replay.serves_data or run.replay.data == ()


def test_the_data_is_an_argument_of_the_chunk_and_no_constant(system: System, begun: Any) -> None:
    traced = jax.make_jaxpr(system.run.step)(system.lent, begun)
    rows = len(system.lent.rows.timestep.reward)
    assert all(np.shape(x)[:1] != (rows,) for x in traced.consts)


def test_seeds_differ_and_nothing_is_traced_twice(system: System, begun: Any, stepped: Any) -> None:
    once = len(system.traced)
    other, _ = system.step(system.lent, jax.device_put(system.init(keys.key(1)), jax.devices()[0]))
    _, metrics = system.step(system.lent, stepped)
    assert len(system.traced) == once
    assert not all(np.array_equal(a, b) for a, b in zip(numbers(stepped), numbers(other), strict=True))
    assert all(np.isfinite(value) for value in metrics.values())


def test_a_checkpoint_goes_on_bit_for_bit(system: System, stepped: Any, tmp_path: Any) -> None:
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, stepped, {})
        _, restored = checkpoints.restore(jax.eval_shape(system.init, keys.key(0)), {})
    chex.assert_trees_all_equal(system.step(system.lent, restored), system.step(system.lent, stepped))


def test_a_policy_is_made_and_plays_without_the_dataset(system: System, stepped: Any) -> None:
    experiment = import_module(f"experiments.{system.name}").experiment
    config = flags.parse(experiment.flags, small(system.name, 1), f"x.{system.name}")
    size = prepare.size_of(config, replay.dataset.unknown(system.env.spec))
    experiment.check(config.agent, system.env.spec, size)
    parts = experiment.make(config.agent, system.env.spec, size)
    shape = jax.eval_shape(lambda key: offline.loop(parts, system.env.spec, 1).init(key), keys.key(0))
    chex.assert_trees_all_equal_shapes_and_dtypes(shape.agent, jax.eval_shape(lambda: stepped.agent))
    play = jax.jit(in_graph.evaluation(system.env, parts.agent, 2))
    returns = play(parts.agent.actor(stepped.agent), keys.key(0))["eval_return"]
    assert returns.shape == (2,) and np.isfinite(returns).all()


def test_devices_share_the_data(system: System) -> None:
    lay = devices.layout(2, devices=jax.devices()[:2])
    placed = devices.common(lay, system.lent)
    leaf = jax.tree.leaves(placed)[0]
    assert leaf.shape == jax.tree.leaves(system.lent)[0].shape and leaf.sharding.is_fully_replicated
