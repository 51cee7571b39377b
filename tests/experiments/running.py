"""Small runs, what they leave on disk, and how to interrupt them."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import pytest

from experiments.reports import sinks
from experiments.run import train as training

ROOT = Path(__file__).parents[2]

CATCH = ["--env", "bellmax/catch", "--env-options", "rows=4", "columns=3"]
"""Three different episodes of three steps, so that a learnt policy has one return."""
TINY = ["--num-envs", "4", "--agent.hidden", "8", "--eval-episodes", "16", "--agent.learning-rate", "1e-2"]
# Few distinct programs: tests that train use these flags as they are, and share what is compiled.
FLAGS: dict[str, list[str]] = {
    "dqn": [
        *[*CATCH, *TINY, "--steps", "64064", "--log-every", "64", "--eval-every", "16000", "--agent.unroll", "4"],
        *["--agent.batch-size", "16", "--agent.buffer-size", "256", "--agent.warmup", "64"],
    ],
    "a2c": [
        *[*CATCH, *TINY, "--seeds", "2", "--seed", "3", "--steps", "2048", "--log-every", "256"],
        *["--eval-every", "512", "--agent.unroll", "8", "--agent.no-anneal"],
    ],
    "ppo": [
        *[*CATCH, *TINY, "--steps", "1024", "--log-every", "256", "--eval-every", "512", "--agent.unroll", "16"],
        *["--agent.epochs", "2", "--agent.minibatches", "2"],
    ],
}  # fmt: skip
TIMES = ("wall_seconds", "compile_seconds", "train_seconds", "steps_per_second", "updates_per_second")
"""What two equal runs do not share."""


class Outcome(NamedTuple):
    """What a command gave."""

    result: Any
    code: int
    out: str
    err: str


def call(experiment: str, *argv: Any) -> Outcome:
    """Runs an experiment's `main` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            result, code = import_module(f"experiments.{experiment}").main([str(word) for word in argv]), 0
        except SystemExit as stop:
            result, code = None, stop.code
    return Outcome(result, code, out.getvalue(), err.getvalue())


def succeed(experiment: str, *argv: Any) -> Outcome:
    """The same, of a command that must succeed."""
    outcome = call(experiment, *argv)
    assert outcome.code == 0, outcome
    return outcome


def command(experiment: str, *argv: Any) -> list[str]:
    """The same as a command of its own."""
    return [sys.executable, "-m", f"experiments.{experiment}", *map(str, argv)]


def rows(folder: Path) -> list[dict[str, str]]:
    """metrics.csv without the times."""
    found = sinks.read_rows(folder / "metrics.csv")[1]
    return [{name: cell for name, cell in row.items() if name not in TIMES} for row in found]


def evaluations(folder: Path, column: str = "eval_return") -> tuple[np.ndarray, list[int]]:
    """A column of a run's evaluations `[points, seeds]`, and the steps at which they were."""
    found = [row for row in rows(folder) if row["kind"] == "eval"]
    steps = sorted({int(row["env_steps"]) for row in found})
    return np.array([[float(row[column]) for row in found if int(row["env_steps"]) == s] for s in steps]), steps


def summary(folder: Path) -> dict[str, Any]:
    """summary.json."""
    return json.loads((folder / "summary.json").read_text())


def steps_saved(folder: Path) -> list[int]:
    """The steps of the complete checkpoints."""
    return sorted(int(path.name) for path in (folder / "checkpoints").glob("*") if path.name.isdecimal())


def saved(folder: Path, step: int | None = None) -> dict[str, Any]:
    """A checkpoint, by default the newest: path of each leaf -> shape and checksum of its bits, or the Python value."""
    step = steps_saved(folder)[-1] if step is None else step
    outer = json.loads((folder / "checkpoints" / str(step) / "manifest.json").read_text())
    content = json.loads(outer["content"])
    bits: dict[int, list[int]] = {}
    for name, crc in sorted(content["files"].items()):
        where, index, *rest = name.split("/")
        if where == "arrays" and index.isdecimal() and not rest[0].startswith("."):
            bits.setdefault(int(index), []).append(crc)
    leaves = enumerate(content["fields"].items())
    found = {path: (kind, bits.get(i), content["values"].get(path)) for i, (path, kind) in leaves}
    return {path: leaf for path, leaf in found.items() if not path.endswith(TIMES)}


def assert_same_state(a: Path, b: Path) -> None:
    """The newest checkpoints of two runs hold the same bits."""
    assert steps_saved(a)[-1] == steps_saved(b)[-1]
    left, right = saved(a), saved(b)
    assert left.keys() == right.keys()
    assert {path: (left[path], right[path]) for path in left if left[path] != right[path]} == {}
    assert sum(bits is not None for _, bits, _ in left.values()) > 10


def frozen(tree: Any) -> list[np.ndarray]:
    """The leaves as numpy, keys as their data."""

    def plain(x: Any) -> np.ndarray:
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return np.array(jax.random.key_data(x) if is_key else x)

    return [plain(x) for x in jax.tree.leaves(tree)]


class CrashError(Exception):
    """Stands for the end of the process."""


@contextlib.contextmanager
def crash_after(saves: int) -> Iterator[dict[str, Any]]:
    """Ends the run inside like a crash, right after so many checkpoints; gives the state that the last of them has."""
    seen: dict[str, Any] = {"saves": 0}
    save = training.Session.save

    def counting(self: training.Session) -> None:
        save(self)
        seen["saves"] += 1
        if seen["saves"] == saves:
            self.checkpoints.wait()
            seen.update(state=frozen(self.state), steps=self.env_steps)
            raise CrashError

    with pytest.MonkeyPatch.context() as patch, pytest.raises(CrashError):
        patch.setattr(training.Session, "save", counting)
        yield seen


@contextlib.contextmanager
def starting_state() -> Iterator[list[np.ndarray]]:
    """Gives the state that a run inside starts from."""
    seen: list[np.ndarray] = []
    advance = training.Session.advance

    def looking(self: training.Session, log: Any) -> None:
        if not seen:
            seen.extend(frozen(self.state))
        advance(self, log)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Session, "advance", looking)
        yield seen


@contextlib.contextmanager
def compilations() -> Iterator[list[str]]:
    """Gives the names of what XLA compiles inside."""
    names: list[str] = []

    def listen(event: str, duration: float, **about: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            names.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


class Forks:
    """A process with everything imported and JAX not yet started, that runs DQN in forks of itself.

    A fork begins where a new process would be after seconds of imports.
    """

    def __init__(self) -> None:
        script = [sys.executable, "-m", "tests.experiments.forked"]
        self._process = subprocess.Popen(script, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def run(self, argv: list[Any], then: Callable[[int], None] = lambda pid: None) -> int:
        """Starts DQN in a fork, calls `then(pid)`, and returns the exit code, negative for a signal."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.write(json.dumps([str(word) for word in argv]) + "\n")
        self._process.stdin.flush()
        then(int(self._process.stdout.readline()))
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """Ends the process."""
        self._process.communicate()


def kill(pid: int) -> None:
    """What no process can catch; nothing happens if it has ended."""
    assert pid > 1  # others stand for whole groups
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
