"""A3C: one worker is A2C; several processes share parameters, and what they share is learned."""

import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import chex
import jax
import numpy as np
import pytest

from envs import keys
from experiments import a2c, a3c, evaluate
from experiments.drivers import in_graph
from experiments.parts import workers
from tests.experiments import running

CONFIG = a3c.Flags(
    env="bellmax/catch", workers=1, num_envs=4, steps=20 * 8 * 4, agent=a2c.Config(unroll=8, hidden=(16,), discount=0.9)
)


def test_one_worker_is_a2c():
    (params, statistics), _ = workers.fresh(CONFIG, a2c.make)
    env, parts = workers.build(CONFIG, a2c.make, held=False)
    loop = in_graph.loop(env, *parts, num_envs=4, iterations=1)
    run, step = jax.jit(loop.init)(jax.random.fold_in(keys.key(0), 0)), jax.jit(loop.step)
    run = run._replace(agent=run.agent._replace(params=params, optimiser=statistics))
    for _ in range(20):
        run, _ = step(run)
    shared, reports = workers.Shared((params, statistics)), queue.SimpleQueue()
    taken = SimpleNamespace(value=0)
    workers.work(0, CONFIG, a2c.make, shared.block, threading.Lock(), taken, reports, SimpleNamespace(value=False))
    assert taken.value == CONFIG.steps
    assert reports.qsize() == 21
    told = [reports.get()[2] for _ in range(20)]
    np.testing.assert_allclose([each["learning_rate"] for each in told], 1e-3 * (1 - np.arange(20) / 20), rtol=1e-5)
    assert all(each["gradient_norm"] > 0 and each["entropy"] > 0 for each in told)
    assert all(abs(each["approx_kl"]) < 1e-6 for each in told)  # nobody else moved the parameters
    after, counted = shared.read()
    chex.assert_trees_all_close(after, run.agent.params, atol=1e-5)
    chex.assert_trees_all_close(counted, run.agent.optimiser, atol=1e-5)
    assert any(np.abs(x - y).max() > 1e-3 for x, y in zip(*map(jax.tree.leaves, (after, params)), strict=True))


def test_what_is_written_is_seen_through_the_same_bytes():
    tree = {"a": np.arange(3, dtype=np.float32), "b": (np.int32(7), np.zeros((2, 2), np.float32))}
    tree = jax.tree.map(np.asarray, tree)
    here = workers.Shared(tree)
    there = workers.Shared(tree, here.block)
    there.write(jax.tree.map(lambda x: x + 1, tree))
    chex.assert_trees_all_equal(here.read(), jax.tree.map(lambda x: x + 1, tree))


def test_updates_are_merged_by_the_episodes_that_they_ended():
    before = {"episodes": 1.0, "episode_return": 4.0, "loss": 1.0}
    none = {"episodes": 0.0, "episode_return": np.nan, "loss": 2.0}
    after = {"episodes": 3.0, "episode_return": 8.0, "loss": 6.0}
    assert workers.merged([before, none, after]) == {"episodes": 4.0, "episode_return": 7.0, "loss": 3.0}
    assert np.isnan(workers.merged([none])["episode_return"])


PARENT = """
import multiprocessing, time
from tests.experiments.test_a3c import idle

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    context.Process(target=idle, args=(ready,), daemon=True).start()
    print(ready.get(), flush=True)
    time.sleep(600)
"""


def idle(ready):
    workers.end_with_parent()
    ready.put(os.getpid())
    time.sleep(600)


def test_workers_end_with_the_process_that_started_them(tmp_path):
    (tmp_path / "parent.py").write_text(PARENT)
    environment = os.environ | {"PYTHONPATH": str(running.ROOT)}
    with subprocess.Popen(
        [sys.executable, str(tmp_path / "parent.py")], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        worker = int(parent.stdout.readline())
        parent.kill()
    deadline = time.monotonic() + 10
    while running_still(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    ended = not running_still(worker)
    running.kill(worker)
    assert ended


def running_still(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.slow
def test_processes_learn_together(tmp_path):
    """And leave what any run leaves: metrics, a curve, and policies that can be played."""
    out = tmp_path / "run"
    words = "--env bellmax/catch --workers 2 --num-envs 8 --steps 60000 --agent.unroll 9 --agent.hidden 32 --quiet"
    a3c.main([*words.split(), "--agent.learning-rate", "5e-3", "--agent.discount", "0.9", "--out", str(out)])
    summary = running.summary(out)
    returns, steps = running.evaluations(out)
    assert summary["env_steps"] >= 60_000
    assert len(steps) in (20, 21)  # what the last update leaves may be beyond what is asked for
    assert (np.array(steps)[:20] // 3_000 == np.arange(1, 21)).all()
    assert returns[-1] == summary["eval_returns"]
    assert returns[-1] > 0.5
    assert (out / "curve.png").exists()
    played = evaluate.main([str(out), "--which", "last", "--episodes", "50"])
    assert played["eval_returns"][0] > 0.5
    assert played["at_steps"] == summary["env_steps"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--workers 0", "--workers 0: must be at least 1"),
        ("--keep 5", "--keep 5: A3C has no such thing"),
        ("--nan continue", "--nan continue: A3C has no such thing"),
        ("--start-from runs/a", "--start-from runs/a: A3C has no such thing"),
        ("--eval-env-options nonsense=3", "bellmax/cartpole has no option 'nonsense'"),
        ("--out agents", "--out agents: already exists"),
    ],
)
def test_refuses_what_it_cannot_do(words, message, capsys):
    with pytest.raises(SystemExit) as stop:
        a3c.main(words.split())
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {message}")
