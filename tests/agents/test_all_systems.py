"""The cheap part of the contract, for every command; what takes training is in test_contract.py.

Shapes stay, seeds differ, nothing is traced twice, runs resume, and the host driver gives what that in graph gives.
What has to be compiled for it takes minutes over all commands, and is run by hand.
"""

import dataclasses
from functools import cache
from importlib import import_module
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from envs.base import Environment
from envs.host import pool_of
from experiments.drivers import devices, host, in_graph
from experiments.list import systems
from experiments.run import flags, prepare
from experiments.run.checkpoint import Checkpointer
from tests.experiments.words import WORDS

LANES = 4
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
"""Options under which XLA compiles in less time; what is computed stays the same."""
ALONE = {"a3c"}  # is experiments.a2c in processes of its own
NAMES = sorted(set(systems()) - ALONE)
everyone = pytest.mark.parametrize("name", NAMES)


@cache
def built(name: str) -> tuple[Any, Any]:
    """The task and the parts of a small run of a command."""
    experiment = import_module(f"experiments.{name}").experiment
    words = ["--num-envs", str(LANES), "--steps", "2000", *WORDS.get(name, [])]
    config = flags.parse(experiment.flags, [str(word) for word in words], f"x.{name}")
    env = prepare.environment(config)
    assert isinstance(env, Environment)
    experiment.check(config.agent, env.spec, prepare.size_of(config))
    parts = experiment.make(config.agent, env.spec, prepare.size_of(config))
    # What the test compiles is one iteration after as few others as a sample needs.
    least = -(-parts.replay.minimum // parts.schedule.unroll)
    return env, parts._replace(schedule=parts.schedule._replace(updates=min(2, parts.schedule.updates), warmup=least))


@cache
def compiled(name: str) -> tuple[Any, Any, list[int]]:
    """`init`, `step` of a run in graph, and how often an update was traced."""
    env, parts = built(name)
    traced: list[int] = []

    def update(*arguments: Any) -> Any:
        traced.append(1)
        return parts.agent.update(*arguments)

    loop = in_graph.loop(env, *parts._replace(agent=parts.agent._replace(update=update)), num_envs=LANES, iterations=1)
    return jax.jit(loop.init, compiler_options=QUICK), jax.jit(loop.step, compiler_options=QUICK), traced


@cache
def begun(name: str, seed: int) -> Any:
    return compiled(name)[0](keys.key(seed))


VALUES = ["dqn", "c51", "qr_dqn", "iqn", "rainbow", "drqn", "r2d2", "mqn", "pqn", "her", "dyna", "dyna_q"]
CRITICS = ["ddpg", "td3", "sac", "naf", "acer", "reactor", "q_prop"]
POLICIES = ["a2c", "acer", "acktr", "i2a", "impala", "merlin", "ppo", "q_prop", "reactor", "rl_mem", "trpo", "unreal"]
POLICIES += ["vpg"]
LEVELS = {"hiro": ["low_", "high_"], "hac": ["level0_", "level1_"]}
WITHOUT_GRADIENT = {"cem", "cma_es", "planning", "dyna_q"}
PARTS = {"merlin": "policy_", "trpo": "critic_", "q_prop": "critic_"}
"""Whose optimiser is named where it is not the agent's only one, nor that of its first loss."""


def known(name: str) -> set[str]:
    """What a command's metrics must have, under the names that all of them share (docs/design.md)."""
    names = {"loss"}
    if name not in WITHOUT_GRADIENT and name not in LEVELS:
        names |= {f"{PARTS.get(name, '')}{each}" for each in ("learning_rate", "gradient_norm")}
    if name in [*VALUES, *CRITICS]:
        names |= {"q_mean", "td_error"}
    names |= {"epsilon"} if name in VALUES else set()
    if name in POLICIES:
        names |= {"policy_loss", "entropy", "explained_variance"}
        names |= set() if name == "merlin" else {"approx_kl", "value_loss"}
    names |= {"temperature", "entropy", "policy_gradient_norm"} if name == "sac" else set()
    each = ("q_mean", "td_error", "learning_rate", "gradient_norm")
    return names | {prefix + word for prefix in LEVELS.get(name, []) for word in each}


def numbers(tree: Any) -> list[np.ndarray]:
    """All leaves but random keys."""
    return [np.asarray(x) for x in jax.tree.leaves(tree) if not jnp.issubdtype(x.dtype, jax.dtypes.prng_key)]


@everyone
def test_shapes_and_types_stay(name: str) -> None:
    env, parts = built(name)
    loop = in_graph.loop(env, *parts, num_envs=LANES, iterations=1)
    run = jax.eval_shape(loop.init, keys.key(0))
    after, metrics = jax.eval_shape(loop.step, run)
    chex.assert_trees_all_equal_shapes_and_dtypes(run, after)
    assert metrics and all(x.shape == () for x in metrics.values())
    assert sorted(known(name) - metrics.keys()) == []


@pytest.mark.slow
@everyone
def test_seeds_differ_and_nothing_is_traced_twice(name: str) -> None:
    _, step, traced = compiled(name)
    runs = [step(begun(name, seed))[0] for seed in (0, 1)]
    once = len(traced)
    runs[0], metrics = step(runs[0])
    assert len(traced) == once
    assert not all(np.array_equal(a, b) for a, b in zip(*map(numbers, runs), strict=True))
    assert all(np.isfinite(value) for metric, value in metrics.items() if not metric.startswith("episode"))


@pytest.mark.slow
@everyone
def test_a_checkpoint_goes_on_bit_for_bit(name: str, tmp_path: Any) -> None:
    init, step, _ = compiled(name)
    run, _ = step(begun(name, 0))
    with Checkpointer(tmp_path) as checkpoints:
        checkpoints.save(1, run, {})
        _, restored = checkpoints.restore(jax.eval_shape(init, keys.key(0)), {})
    chex.assert_trees_all_equal(step(restored), step(run))


@pytest.mark.slow
@everyone
def test_the_host_driver_gives_what_the_driver_in_graph_gives(name: str) -> None:
    env, parts = built(name)
    lay, key = devices.layout(1, devices=jax.devices()[:1]), keys.key(np.arange(1))
    pools, lanes = pool_of(env), jax.random.split(jax.random.split(key[0])[0], LANES)
    outside = host.driver(
        pools._replace(pool=lambda number, seeds: pools.pool(number, lanes)), lambda hypers: parts,
        {"run": np.arange(1)}, lay, num_envs=LANES, iterations=1, eval_episodes=1, seeds=[0],
    )  # fmt: skip
    state, _ = outside.loop.step(outside.loop.init(key))
    outside.close()
    inside, _ = compiled(name)[1](begun(name, 0))
    theirs = devices.collect(lay, state.agent)
    mine = jax.tree.map(lambda x: np.asarray(x)[None], inside.agent)
    chex.assert_trees_all_close(theirs, mine, rtol=1e-5, atol=1e-4)


def test_no_system_is_forgotten() -> None:
    assert len(NAMES) >= 34 and dataclasses.is_dataclass(import_module("experiments.hac").Flags)
