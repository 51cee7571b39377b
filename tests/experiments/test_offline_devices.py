"""Recorded episodes over several devices, around simulators, and both."""

from importlib import import_module

import jax
import numpy as np
import pytest

import envs
from envs import keys
from experiments.drivers import base, devices, offline
from experiments.run import data, flags, prepare
from tests.experiments.running import assert_same_state, call, rows, succeed
from tests.experiments.test_devices import on_each
from tests.sets import path_of

TINY = ["--agent.hidden", "8", "--agent.batch-size", "8", "--eval-episodes", "2", "--log-every", "10"]
TINY += ["--eval-every", "20", "--quiet"]
CARTPOLE = "gymnasium/CartPole-v1"


def test_devices_that_share_a_seed_agree_and_draw_apart():
    module = import_module("experiments.iql")
    words = ["--dataset", path_of("bellmax/catch"), *TINY, "--devices", "2"]
    config = data.completed(flags.parse(module.Flags, words, "x"))
    env = envs.make(config.env)
    held = data.held(config, env.spec)
    parts = module.make(config.agent, env.spec, prepare.size_of(config, held.facts))
    drawn = []

    def sample(state, key):
        found = parts.replay.sample(state, key)
        jax.debug.callback(lambda index: drawn.append(tuple(np.asarray(index).tolist())), found.index)
        return found

    watched = parts._replace(replay=parts.replay._replace(sample=sample))
    lay = devices.layout(1, 2)
    judge = base.Driver(base.Loop(*[lambda *_: None] * 4), lambda: None, lambda: None)
    lent = devices.common(lay, held.arrays)
    loop = offline.driver(judge, env.spec, lambda _: watched, {"run": np.arange(1)}, lay, lent, iterations=3).loop
    state = loop.init(keys.key(np.arange(1)))
    start = on_each(state.agent, 2)[0]
    state, metrics = loop.step(state)
    jax.effects_barrier()
    first, second = on_each(state.agent, 2)
    for a, b in zip(first, second, strict=True):
        assert a.tobytes() == b.tobytes()
    assert any(not np.array_equal(a, b) for a, b in zip(start, first, strict=True))
    assert len(drawn) == 6 and len(set(drawn)) == 6 and {len(each) for each in drawn} == {4}
    assert np.isfinite(metrics["loss"]).all()


def test_devices_share_a_run_that_resumes_bit_for_bit(tmp_path):
    words = ["--dataset", path_of("bellmax/catch"), *TINY, "--devices", 2, "--schedule-updates", 40, "--seeds", 2]
    for name, updates in (("whole", 40), ("part", 20)):
        succeed("iql", *words, "--updates", updates, "--out", tmp_path / name)
    succeed("iql", "--resume", tmp_path / "part", "--updates", 40, "--quiet")
    assert_same_state(tmp_path / "whole", tmp_path / "part")
    assert rows(tmp_path / "whole") == rows(tmp_path / "part")
    outcome = call("iql", *words, "--agent.batch-size", 7, "--updates", 20, "--out", tmp_path / "odd")
    assert outcome.code == 2 and "--agent.batch-size 7: must be a positive multiple of --devices 2" in outcome.err
    assert not (tmp_path / "odd").exists()


@pytest.mark.parametrize("count", [1, 2])
def test_a_simulator_judges_what_was_learned_and_is_gone_on_in(count, tmp_path):
    words = ["--dataset", path_of(CARTPOLE), *TINY, "--devices", count, "--agent.no-anneal-policy"]
    before = succeed("iql", *words, "--updates", 20, "--out", tmp_path / "before")
    assert before.result["updates"] == 20 and (np.asarray(before.result["eval_returns"]) >= 8).all()
    on = ["--start-from", tmp_path / "before", "--online", "--online-envs", 2]
    after = succeed("iql", *words, *on, "--updates", 20, "--out", tmp_path / "after")
    assert (np.asarray(after.result["eval_returns"]) >= 8).all()
    played = [float(row["episodes"]) for row in rows(tmp_path / "after") if row["episodes"]]
    assert sum(played) > 0  # poles fall within 20 steps or so in some of the lanes


@pytest.mark.parametrize("count", [1, 2])
def test_data_is_learned_from_beside_a_simulator(count, tmp_path):
    words = ["--env", CARTPOLE, "--num-envs", 4, "--devices", count, "--agent.hidden", 8, "--agent.batch-size", 8]
    words += ["--agent.buffer-size", 200, "--agent.warmup", 32, "--agent.updates", 1, "--eval-episodes", 2, "--quiet"]
    words += ["--steps", 96, "--log-every", 32, "--eval-every", 96]
    losses = {}
    for name, more in (("alone", []), ("beside", ["--data", path_of(CARTPOLE)])):
        outcome = succeed("dqn", *words, *more, "--out", tmp_path / name)
        assert outcome.result["env_steps"] == 96
        losses[name] = [float(row["loss"]) for row in rows(tmp_path / name) if row["loss"]]
    assert losses["alone"] != losses["beside"] and np.isfinite(losses["beside"]).all()
    succeed("dqn", "--resume", tmp_path / "beside", "--steps", 128, "--quiet")


def test_what_learns_from_contexts_cannot_act_too(tmp_path):
    outcome = call("dt", "--dataset", path_of("bellmax/catch"), "--online", "--out", tmp_path / "run")
    told = "--online: this agent learns from longer pieces or goals of recorded episodes alone, and cannot act too"
    assert outcome.code == 2 and outcome.err == f"error: {told}\n"
    assert not (tmp_path / "run").exists()
