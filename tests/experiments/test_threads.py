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
    ("given", "devices", "pool"),
    [
        (config("ppo"), 1, 1),
        (config("dqn"), 1, 1),
        (config("acktr"), 1, 1),
        (config("ppo", seeds=2), CORES, 1),
        (config("ppo", sweep=("agent.discount=0.9,0.99",)), CORES, 1),
        (config("iql", seeds=2, env="bellmax/cross"), CORES, 1),  # layers of 256
        (config("iql", env="bellmax/cross"), CORES, 4 * CORES),
        (config("iql", {"hidden": (64, 64)}, seeds=2), CORES, 1),
        (config("iql", {"hidden": (512,)}, seeds=2), CORES, 4 * CORES),
        (config("acktr", seeds=2), CORES, 4 * CORES),  # whose updates call LAPACK
        (config("ppo", seeds=2, env="my_tasks:corridor"), CORES, 4 * CORES),  # which may
        (config("ppo", devices=2), CORES, 4 * CORES),
        (config("ppo", {"hidden": (64, 512)}), CORES, 4 * CORES),
        (config("i2a"), CORES, 4 * CORES),  # one layer of 256
        (config("dqn", env="atari/Pong"), CORES, 4 * CORES),
    ],
)
def test_small_operations_are_computed_by_the_thread_that_reaches_them(given, devices, pool, monkeypatch):
    for name in ("XLA_FLAGS", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    cores.use_cores(given)
    assert os.environ["XLA_FLAGS"] == f"--xla_force_host_platform_device_count={devices}"
    assert os.environ["NPROC"] == str(pool)


def test_what_a_user_wrote_keeps_a_pool(tmp_path, monkeypatch):
    """It may call LAPACK for several seeds at once."""
    (tmp_path / "own_flags.py").write_text(
        "from dataclasses import dataclass\nfrom experiments import ppo\n\n\n"
        "@dataclass(frozen=True)\nclass Flags(ppo.Flags):\n    pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("XLA_FLAGS", "NPROC"):
        monkeypatch.delenv(name, raising=False)
    cores.use_cores(import_module("own_flags").Flags(seeds=2))
    assert os.environ["NPROC"] == str(4 * CORES)


@pytest.mark.parametrize(
    ("given", "inline"),
    [
        (None, True),
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


MANY = """
import sys
import jax
import jax.numpy as jnp
from networks.initializers import orthogonal

init = orthogonal() if sys.argv[1] == "ours" else jax.nn.initializers.orthogonal()
every = lambda key: [init(k, (48, 48), jnp.float32) for k in jax.random.split(key, 12)]
begin = jax.pmap(jax.vmap(every))
for _ in range(20):
    jax.block_until_ready(begin(jax.random.split(jax.random.key(0), (2, 8))))
print("done")
"""


def test_parameters_of_many_seeds_begin_without_a_thread_to_spare():
    """With JAX's own initialiser this waits for ever, more often than not."""
    kept = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    kept |= {"XLA_FLAGS": "--xla_force_host_platform_device_count=2", "NPROC": "1", "JAX_PLATFORMS": "cpu"}
    words = [sys.executable, "-W", "ignore", "-c", MANY, "ours"]
    done = subprocess.run(words, cwd=ROOT, env=kept, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "done\n"


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
