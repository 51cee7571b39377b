"""Actors in processes of Ray: what they are, the run that they give, and what happens when one of all is lost."""

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

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
def faults() -> Any:
    return scenario("faults")


def test_an_actor_has_one_cpu_device_and_few_threads(faults):
    for facts in faults["facts"]:
        assert (facts["devices"], facts["kind"]) == (1, "cpu")
        assert facts["threads"] < 60


def test_an_actor_that_is_killed_or_stopped_is_replaced(faults):
    actor, generation, seconds, lost = faults["killed"]
    assert (actor, generation, lost) == (0, 1, 1) and seconds < 15
    actor, generation, seconds, lost = faults["stopped"]
    assert (actor, generation, lost) == (1, 1, 2) and seconds < 3 + 15
    assert faults["gone"]


def test_what_an_actor_raises_is_told_with_its_traceback(faults):
    assert "the user's own" in faults["raised"] and "in fail" in faults["raised"]


def test_more_than_the_store_holds_is_refused(faults):
    assert faults["store"].startswith(
        "--actors 2, --ahead 1: 1,000,000,000.0 MB of rows may be under way, more than half"
    )


def test_in_fixed_order_a_run_is_the_one_without_ray():
    found = scenario("equality")
    assert found["same"] and found["leaves"] > 20 and found["alive"] == 2


def running_with(word: str) -> list[int]:
    """Processes with a word on their command line."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, IndexError):
            words, state = (path / "cmdline").read_text(), (path / "stat").read_text().split()[2]
            if word in words and state != "Z":
                found.append(int(path.name))
    return found


@pytest.mark.slow
def test_a_learner_that_is_killed_leaves_no_process():
    words = [sys.executable, "-m", "tests.experiments.on_ray", "sleeping"]
    with subprocess.Popen(words, cwd=ROOT, env=environment(), stdout=subprocess.PIPE, text=True) as learner:
        assert learner.stdout
        told = json.loads(learner.stdout.readline())
        session = Path(told["session"]).name
        assert running_with(session)
        kill(learner.pid)
    deadline = time.monotonic() + 15
    alive = lambda: [*running_with(session), *(pid for pid in told["pids"] if Path(f"/proc/{pid}").exists())]  # noqa: E731
    while alive() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert alive() == []


@pytest.mark.slow
def test_actors_of_a_node_that_is_killed_begin_anew_on_another():
    found = scenario("nodes")
    assert found["lost"] >= 4 and found["alive"] == 4
    assert min(found["generations"]) >= 1 and found["seconds"] < 60


@pytest.mark.slow
def test_a_run_on_ray_trains_and_is_resumed(tmp_path):
    words = ["--env", "bellmax/catch", "--num-envs", 4, "--agent.hidden", 8, "--steps", 2048, "--eval-episodes", 8]
    words += ["--agent.unroll", 8, "--actors", 2, "--order", "fixed", "--quiet", "--out", tmp_path / "run"]
    subprocess.run(command("impala", *words), env=environment(), check=True, timeout=300)
    assert steps_saved(tmp_path / "run")[-1] == summary(tmp_path / "run")["env_steps"] == 2048
    more = command("impala", "--resume", tmp_path / "run", "--steps", 4096)
    subprocess.run(more, env=environment(), check=True, timeout=300)
    assert summary(tmp_path / "run")["env_steps"] == 4096
