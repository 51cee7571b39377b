"""The cheap part of the contract, for every command; what takes training is in test_contract.py.

Shapes stay, seeds differ, nothing is traced twice, runs resume, and the host driver gives what that in graph gives.
"""

import dataclasses
from importlib import import_module
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from envs.base import Environment
from envs.host import pool_of
from experiments.drivers import devices, host, in_graph
from experiments.drivers.base import RunState
from experiments.drivers.contract import Parts
from experiments.list import systems
from experiments.run import flags, prepare
from experiments.run.checkpoint import Checkpointer
from tests.experiments.words import offline_systems, small

LANES = 4
ALONE = {"a3c", "gorila"}  # are a2c and dqn by gradients of several actors
NAMES = sorted(set(systems()) - ALONE - set(offline_systems()))


class System(NamedTuple):
    """A small run of a command, and its loop in graph."""

    name: str
    env: Environment
    parts: Parts
    init: Any
    step: Any
    traced: list[int]  # one entry for every time that an update was traced


@pytest.fixture(scope="module", params=NAMES)
def system(request: pytest.FixtureRequest) -> System:
    """Of every command in turn, with all tests of one before those of the next, so that each is compiled once."""
    experiment = import_module(f"experiments.{request.param}").experiment
    config = flags.parse(experiment.flags, small(request.param, LANES), f"x.{request.param}")
    env = prepare.environment(config)
    assert isinstance(env, Environment)
    experiment.check(config.agent, env.spec, prepare.size_of(config))
    parts = experiment.make(config.agent, env.spec, prepare.size_of(config))
    # What the test compiles is one iteration after as few others as a sample needs.
    least = -(-parts.replay.minimum // parts.schedule.unroll)
    parts = parts._replace(schedule=parts.schedule._replace(updates=min(2, parts.schedule.updates), warmup=least))
    traced: list[int] = []

    def update(*arguments: Any) -> Any:
        traced.append(1)
        return parts.agent.update(*arguments)

    counting = parts._replace(agent=parts.agent._replace(update=update))
    loop = in_graph.loop(env, *counting, num_envs=LANES, iterations=1)
    init, step = (jax.jit(f) for f in (loop.init, loop.step))
    return System(request.param, env, parts, init, step, traced)


@pytest.fixture(scope="module")
def begun(system: System) -> Any:
    """A fresh run, on its device as a restored one is, so that `step` is compiled once for both."""
    return jax.device_put(system.init(keys.key(0)), jax.devices()[0])


@pytest.fixture(scope="module")
def stepped(system: System, begun: Any) -> Any:
    """The same after one step."""
    return system.step(begun)[0]


VALUES = ["dqn", "curiosity", "c51", "qr_dqn", "iqn", "rainbow", "drqn", "r2d2", "mqn", "pqn", "her", "dyna", "dyna_q"]
VALUES += ["dqfd", "counts", "deep_successor", "ape_x", "spatial", "text_vin", "cdpr"]
CRITICS = ["ddpg", "ddpgfd", "ape_x_dpg", "td3", "sac", "naf", "acer", "reactor", "q_prop", "pearl", "option_critic"]
CRITICS += ["tdm", "sac_x"]
POLICIES = ["a2c", "acer", "acktr", "i2a", "impala", "merlin", "ppo", "q_prop", "reactor", "rl_mem", "trpo", "unreal"]
POLICIES += ["vpg", "icm", "rnd", "surprise", "rl2", "zero_shot", "option_critic", "spinal", "kickstart"]
LEVELS = {"hiro": ["low_", "high_"], "hac": ["level0_", "level1_"]}
WITHOUT_GRADIENT = {"dyna_q"}
PARTS = {"merlin": "policy_", "trpo": "critic_", "surprise": "critic_", "q_prop": "critic_"}
"""Whose optimiser is named where it is not the agent's only one, nor that of its first loss."""


def known(name: str) -> set[str]:
    """What a command's metrics must have, under the names that all of them share (docs/design.md)."""
    names = {"loss"}
    if name in {*VALUES, *CRITICS, *POLICIES} - WITHOUT_GRADIENT:
        names |= {f"{PARTS.get(name, '')}{each}" for each in ("learning_rate", "gradient_norm")}
    if name in [*VALUES, *CRITICS]:
        names |= {"q_mean", "td_error"}
    names |= {"epsilon"} if name in VALUES else set()
    if name in POLICIES:
        names |= {"policy_loss", "entropy", "explained_variance"}
        names |= set() if name == "merlin" else {"approx_kl", "value_loss"}
    names |= {"return_0", "return_1", "gain", "kl", "gradient_norm"} if name in ("maml", "promp", "maesn") else set()
    names |= {"temperature", "entropy", "policy_gradient_norm"} if name == "sac" else set()
    if name == "dreamer":
        names |= {"policy_loss", "value_loss", "entropy", "kl_loss", "learning_rate", "gradient_norm"}
    each = ("q_mean", "td_error", "learning_rate", "gradient_norm")
    return names | {prefix + word for prefix in LEVELS.get(name, []) for word in each}


def numbers(tree: Any) -> list[np.ndarray]:
    """All leaves but random keys."""
    return [np.asarray(x) for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


def comparable(run: RunState) -> Any:
    """What a run has on either driver, random keys as numbers."""
    typed = lambda x: jnp.issubdtype(x.dtype, jax.dtypes.prng_key)  # noqa: E731
    return jax.tree.map(lambda x: jax.random.key_data(x) if typed(x) else x, run._replace(env=(), timestep=()))


def test_shapes_and_types_stay(system: System) -> None:
    run = jax.eval_shape(system.init, keys.key(0))
    after, metrics = jax.eval_shape(system.step, run)
    chex.assert_trees_all_equal_shapes_and_dtypes(run, after)
    assert metrics and all(x.shape == () for x in metrics.values())
    assert sorted(known(system.name) - metrics.keys()) == []


def test_seeds_differ_and_nothing_is_traced_twice(system: System, begun: Any, stepped: Any) -> None:
    once = len(system.traced)
    other, _ = system.step(jax.device_put(system.init(keys.key(1)), jax.devices()[0]))
    _, metrics = system.step(stepped)
    assert len(system.traced) == once
    assert not all(np.array_equal(a, b) for a, b in zip(numbers(stepped), numbers(other), strict=True))
    assert all(np.isfinite(value) for metric, value in metrics.items() if not metric.startswith("episode"))


def test_a_checkpoint_goes_on_bit_for_bit(system: System, stepped: Any, tmp_path: Any) -> None:
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, stepped, {})
        _, restored = checkpoints.restore(jax.eval_shape(system.init, keys.key(0)), {})
    chex.assert_trees_all_equal(system.step(restored), system.step(stepped))


def test_the_host_driver_gives_what_the_driver_in_graph_gives(system: System, begun: Any, stepped: Any) -> None:
    lay, key = devices.layout(1, devices=jax.devices()[:1]), keys.key(np.arange(1))
    pools, lanes = pool_of(system.env), jax.random.split(jax.random.split(key[0])[0], LANES)
    outside = host.driver(
        pools._replace(pool=lambda number, seeds: pools.pool(number, lanes)), lambda hypers: system.parts,
        {"run": np.arange(1)}, lay, num_envs=LANES, iterations=1, eval_episodes=1, seeds=[0],
    )  # fmt: skip
    state, _ = outside.loop.step(outside.loop.init(key))
    outside.close()
    theirs = devices.collect(lay, comparable(state))
    mine = jax.tree.map(lambda x: np.asarray(x)[None], comparable(stepped))
    chex.assert_trees_all_close(theirs, mine, rtol=1e-5, atol=1e-6)


def test_no_system_is_forgotten() -> None:
    assert len(NAMES) >= 34 and dataclasses.is_dataclass(import_module("experiments.hac").Flags)
