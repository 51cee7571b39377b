"""Actors in processes of Ray: what they are, the run that they give, and what happens when one of all is lost."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import pytest

from experiments.run.checkpoint import Checkpointer
from tests.experiments.running import ROOT, command, kill, steps_saved, summary

pytest.importorskip("ray", reason="the package ray is not installed")


def environment() -> dict[str, str]:
    path = os.pathsep.join([str(ROOT), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    own = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    return own | {"PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


def scenario(name: str) -> Any:
    words = [sys.executable, "-m", "tests.experiments.on_ray", name]
    done = subprocess.run(words, cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def found() -> Any:
    return scenario("together")


def test_an_actor_has_one_cpu_device_and_few_threads(found):
    for facts in found["facts"]:
        assert (facts["devices"], facts["kind"]) == (1, "cpu")
        assert facts["threads"] < 60


def test_an_actor_that_is_killed_or_stopped_is_replaced(found):
    actor, generation, seconds, lost = found["killed"]
    assert (actor, generation, lost) == (0, 1, 1) and seconds < 15
    actor, generation, seconds, lost = found["stopped"]
    assert (actor, generation, lost) == (1, 1, 2) and seconds < 3 + 15
    assert found["gone"]


def test_what_an_actor_raises_is_told_with_its_traceback(found):
    assert "the user's own" in found["raised"] and "in fail" in found["raised"]


def test_more_than_the_store_holds_is_refused(found):
    assert found["store"].startswith(
        "--actors 2, --ahead 1: 1,000,000,000.0 MB of rows may be under way, more than half"
    )


def test_in_fixed_order_a_run_is_the_one_without_ray(found):
    assert found["same"] and found["leaves"] > 20 and found["alive"] == 2


def marked(word: str) -> list[int]:
    """Processes that were started with a word among their variables, by whoever."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            state = (path / "stat").read_text().rpartition(")")[2].split()[0]
            if word.encode() in (path / "environ").read_bytes() and state != "Z":
                found.append(int(path.name))
    return found


TINY = ["--env", "bellmax/catch", "--num-envs", 4, "--agent.hidden", 8, "--agent.unroll", 4, "--agent.warmup", 64]
TINY += ["--agent.batch-size", 16, "--agent.buffer-size", 256, "--agent.updates", 3, "--eval-episodes", 8, "--quiet"]


def updates_of(folder: Path) -> tuple[int, int]:
    """Steps of the newest checkpoint, and updates that its agent has made."""
    found = Checkpointer(folder / "checkpoints").part("0/agent/")
    assert found
    return steps_saved(folder)[-1], int(found["updates"][0, 0])


@pytest.mark.slow
def test_a_learner_that_is_killed_leaves_no_process_and_is_resumed_with_as_many_updates(tmp_path):
    folder, word = tmp_path / "run", f"BELLMAX_MARK={uuid.uuid4().hex}"
    words = [*TINY, "--actors", 2, "--steps", 10**7, "--log-every", 64, "--eval-every", 256, "--out", folder]
    variables = environment() | dict([word.split("=")])
    with subprocess.Popen(command("dqn", *words), cwd=ROOT, env=variables) as learner:
        deadline = time.monotonic() + 240
        while not (folder / "saved").exists() and learner.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert len(marked(word)) > 4  # the learner, Ray's own and two actors
        kill(learner.pid)
    deadline = time.monotonic() + 15
    while marked(word) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert marked(word) == []
    steps, updates = updates_of(folder)
    assert updates == (steps - 64) // 16 * 3
    longer = steps + 512
    stopping = command("dqn", "--resume", folder, "--steps", 10**7)
    with subprocess.Popen(stopping, cwd=ROOT, env=environment(), stderr=subprocess.PIPE) as learner:
        deadline = time.monotonic() + 240
        while steps_saved(folder)[-1] < longer and learner.poll() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        learner.send_signal(signal.SIGINT)
        assert learner.wait(timeout=120) == 130
    after, more_updates = updates_of(folder)
    assert after >= longer and more_updates == (after - 64) // 16 * 3


@pytest.mark.slow
def test_actors_of_a_node_that_is_killed_begin_anew_on_another():
    found = scenario("nodes")
    assert found["lost"] >= 2 and found["alive"] == 2 and found["seconds"] < 60
    assert all(after > before for after, before in zip(found["after"], found["before"], strict=True))


@pytest.mark.slow
def test_a_run_on_ray_trains_and_is_resumed(tmp_path):
    words = ["--env", "bellmax/catch", "--num-envs", 4, "--agent.hidden", 8, "--steps", 2048, "--eval-episodes", 8]
    words += ["--agent.unroll", 8, "--actors", 2, "--order", "fixed", "--quiet", "--out", tmp_path / "run"]
    subprocess.run(command("impala", *words), env=environment(), check=True, timeout=300)
    assert steps_saved(tmp_path / "run")[-1] == summary(tmp_path / "run")["env_steps"] == 2048
    more = command("impala", "--resume", tmp_path / "run", "--steps", 4096)
    subprocess.run(more, env=environment(), check=True, timeout=300)
    assert summary(tmp_path / "run")["env_steps"] == 4096
