"""A3C: one worker is A2C; several processes share parameters, and what they share is learned."""

import csv
import json
import queue
import threading
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest

from agents import keys
from experiments import a2c, a3c, loops

CONFIG = a3c.Flags(
    env="bellmax/catch", workers=1, num_envs=4, steps=20 * 8 * 4, agent=a2c.Config(unroll=8, hidden=(16,), discount=0.9)
)


def test_one_worker_is_a2c():
    (params, statistics), _ = a3c.fresh(CONFIG)
    env, parts = a3c.build(CONFIG, held=False)
    loop = loops.in_graph(env, *parts, num_envs=4, iterations=1)
    run, step = jax.jit(loop.init)(jax.random.fold_in(keys.key(0), 0)), jax.jit(loop.step)
    run = run._replace(agent=run.agent._replace(params=params, optimiser=statistics))
    for _ in range(20):
        run, _ = step(run)
    shared, reports = a3c.Shared((params, statistics)), queue.SimpleQueue()
    taken = SimpleNamespace(value=0)
    a3c.work(0, CONFIG, shared.block, threading.Lock(), taken, reports)
    assert taken.value == CONFIG.steps
    assert reports.qsize() == 21
    after, counted = shared.read()
    chex.assert_trees_all_close(after, run.agent.params, atol=1e-5)
    chex.assert_trees_all_close(counted, run.agent.optimiser, atol=1e-5)
    assert any(np.abs(x - y).max() > 1e-3 for x, y in zip(*map(jax.tree.leaves, (after, params)), strict=True))


def test_what_is_written_is_seen_through_the_same_bytes():
    tree = {"a": np.arange(3, dtype=np.float32), "b": (np.int32(7), np.zeros((2, 2), np.float32))}
    tree = jax.tree.map(np.asarray, tree)
    here = a3c.Shared(tree)
    there = a3c.Shared(tree, here.block)
    there.write(jax.tree.map(lambda x: x + 1, tree))
    chex.assert_trees_all_equal(here.read(), jax.tree.map(lambda x: x + 1, tree))


@pytest.mark.slow
def test_processes_learn_together(tmp_path):
    out = tmp_path / "run"
    words = "--env bellmax/catch --workers 2 --num-envs 8 --steps 60000 --agent.unroll 9 --agent.hidden 32"
    a3c.main([*words.split(), "--agent.learning-rate", "5e-3", "--agent.discount", "0.9", "--out", str(out)])
    summary = json.loads((out / "summary.json").read_text())
    rows = list(csv.DictReader((out / "metrics.csv").read_text().splitlines()))
    assert summary["env_steps"] >= 60_000
    assert len(rows) > 100
    assert summary["eval_return"] > 0.5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--workers 0", "--workers 0: must be at least 1"),
        ("--seeds 2", "--seeds 2: A3C trains one seed"),
        ("--env gymnasium/CartPole-v1", "tasks in graph"),
        ("--agent.normalise-rewards", "share no statistics"),
    ],
)
def test_refuses_what_it_cannot_do(words, message, capsys):
    with pytest.raises(SystemExit):
        a3c.main(words.split())
    assert message in capsys.readouterr().err
