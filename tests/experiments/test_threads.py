"""How a run uses the CPU: inline where it is one small run, and without ever waiting for a thread that is not there."""

import dataclasses
import json
import os
import platform
import subprocess
import sys
from importlib import import_module

import pytest

from experiments.run import cores
from tests.experiments.running import ROOT, command

CORES = len(os.sched_getaffinity(0))


def config(experiment, agent=None, **fields):
    flags = import_module(f"experiments.{experiment}").Flags()
    return dataclasses.replace(flags, agent=dataclasses.replace(flags.agent, **(agent or {})), **fields)


@pytest.mark.parametrize(
    ("given", "inline"),
    [
        (config("ppo"), True),
        (config("dqn"), True),
        (config("ppo", seeds=2), False),
        (config("ppo", sweep=("agent.discount=0.9,0.99",)), False),
        (config("ppo", devices=2), False),
        (config("ppo", {"hidden": (64, 512)}), False),
        (config("i2a"), False),  # one layer of 256
        (config("dqn", env="atari/Pong"), False),
    ],
)
def test_one_small_run_is_computed_inline(given, inline, monkeypatch):
    for name in ("XLA_FLAGS", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    cores.use_cores(given)
    devices = 1 if inline else CORES
    assert os.environ["XLA_FLAGS"] == f"--xla_force_host_platform_device_count={devices}"
    assert os.environ["NPROC"] == ("1" if inline else str(4 * CORES))


@pytest.mark.parametrize(
    ("given", "inline"),
    [
        (config("ppo", seeds=2), True),
        (config("i2a"), True),
        (config("dqn", env="atari/Pong"), True),
        (config("ppo", devices=2), False),  # which is refused, in one line, once JAX has been asked for its devices
        (config("impala", actors=2, engine="threads"), False),
        (config("impala", actors=2, engine="ray"), True),
    ],
)
def test_on_one_core_nothing_is_handed_to_other_threads(given, inline, monkeypatch):
    for name in ("XLA_FLAGS", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0}, raising=False)
    cores.use_cores(given)
    assert os.environ["XLA_FLAGS"] == "--xla_force_host_platform_device_count=1"
    assert os.environ["NPROC"] == ("1" if inline else "4")


def test_what_the_user_set_stays(monkeypatch):
    given = {"XLA_FLAGS": "--xla_force_host_platform_device_count=3", "NPROC": "5", "JAX_COMPILATION_CACHE_DIR": "mine"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    cores.use_cores(config("ppo"))
    assert {name: os.environ[name] for name in given} == given


@pytest.mark.parametrize("seeds", [1, 2])
def test_commands_end_with_the_threads_they_choose(seeds, tmp_path):
    """As a user starts them. One that waits for ever is killed, for it does not answer SIGTERM."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    kept["XDG_CACHE_HOME"] = str(tmp_path / "cache")
    kept.pop("JAX_COMPILATION_CACHE_DIR", None)
    words = ["--env", "bellmax/catch", "--seeds", seeds, "--steps", 512, "--agent.hidden", 8, "--quiet"]
    done = subprocess.run(
        command("a2c", *words, "--out", tmp_path / "run"), cwd=ROOT, env=kept, capture_output=True, text=True,
        check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    device = json.loads((tmp_path / "run" / "config.json").read_text())["starts"][0]["device"]
    assert device == f"{1 if seeds == 1 else CORES} x cpu"
    assert any((tmp_path / "cache" / "bellmax").glob("*/*"))  # compiled programs, for the next start


FREED = """
import sys
import numpy as np
from experiments.run import cores

def held():
    return int(open("/proc/self/statm").read().split()[1]) * 4096 // 2**20

cores.use_cores() if sys.argv[1] == "together" else cores.return_memory()
np.ones(2**21)  # freed, after which glibc by itself takes blocks of this size from its heap
before, blocks = held(), [np.ones(2**18) for _ in range(100)]
last = blocks.pop()
del blocks
print(held() - before)
"""


@pytest.mark.skipif(sys.platform != "linux" or platform.libc_ver()[0] != "glibc", reason="another malloc")
def test_a_learner_with_actors_gives_freed_memory_back():
    """A block at the end of the heap keeps the 200 MB below it, unless each block was taken apart."""
    kept = {}
    for who in ("together", "apart"):
        words = [sys.executable, "-W", "ignore", "-c", FREED, who]
        done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
        kept[who] = int(done.stdout)
    assert kept["together"] > 150 and kept["apart"] < 20, kept
