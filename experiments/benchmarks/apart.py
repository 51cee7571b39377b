"""Runs with actors apart, for `experiments.benchmark`: each in a process of its own, since Ray starts before JAX.

`python -m experiments.benchmarks.apart EXPERIMENT [flags]` prepares a run and then trains a chunk for each line on
stdin, which it answers with a line of JSON.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments import ROOT

Done = tuple[float, float]
"""What was measured and of how many units, in place of the seconds that it took."""


def environment() -> dict[str, str]:
    """What a user's process would have: nothing set of what the benchmark's own was told about devices and threads."""
    given = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}
    return given | {"PYTHONPATH": str(ROOT), "JAX_ENABLE_COMPILATION_CACHE": "true"}


class Apart:
    """A run in a process of its own, which ends when nobody holds it any more."""

    def __init__(self, words: Sequence[str]):
        """Of a command and its flags; returns when a chunk has been trained."""
        self._folder = tempfile.TemporaryDirectory()
        begin = [sys.executable, "-W", "ignore", "-m", "experiments.benchmarks.apart", *words]
        begin += ["--quiet", "--out", str(Path(self._folder.name) / "run")]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(begin, stdin=pipe, stdout=pipe, text=True, cwd=ROOT, env=environment())
        self.ask()

    def ask(self) -> dict[str, float]:
        """Trains a chunk: its seconds and steps, and what it tells of the actors.

        Raises:
          RuntimeError: the process ended.
        """
        assert self._process.stdin and self._process.stdout
        try:
            print(file=self._process.stdin, flush=True)
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"the run ended with code {self._process.wait()}")
        return json.loads(line)

    def __del__(self) -> None:
        """Ends the process."""
        process = getattr(self, "_process", None)
        if process is not None:
            process.communicate()
        self._folder.cleanup()


def steps_apart(experiment: str, flags: Sequence[str]) -> Callable[[], Done]:
    """Environment steps of a run with actors, or of one without that is measured beside it; a chunk each time."""
    run = Apart([experiment, *flags])

    def once() -> Done:
        told = run.ask()
        return told["seconds"], told["steps"]

    return once


def samples_apart(experiment: str, flags: Sequence[str]) -> Callable[[], Done]:
    """Samples per insert of a chunk."""
    run = Apart([experiment, *flags])
    return lambda: (run.ask()["samples_per_insert"], 1.0)


def memory_apart(experiment: str, flags: Sequence[str], rows: int) -> Callable[[], Done]:
    """The peak of a learner's memory over that of its replay of frames, a whole run each time."""

    def once() -> Done:
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, "-W", "ignore", "-m", f"experiments.{experiment}", *flags]
            words += ["--quiet", "--out", str(Path(folder) / "run")]
            silent: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
            process = subprocess.Popen(words, cwd=ROOT, env=environment(), **silent)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            if process.returncode:
                raise RuntimeError(f"experiments.{experiment} ended with code {process.returncode}")
        return usage.ru_maxrss * 1024.0, rows * 84.0 * 84.0

    return once


def serve(words: Sequence[str]) -> None:
    """The process: a chunk for each line on stdin, of which the first also prepares the run."""
    import time

    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    from experiments import run

    experiment = import_module(f"experiments.{words[0]}").experiment
    config = experiment.parse(list(words[1:]))
    run.check(config)
    prepared = run.prepare.prepare(experiment, config)
    import jax
    import numpy as np

    from envs import keys

    loop, state = prepared.driver.loop, None
    for _ in sys.stdin:
        if state is None:
            state, _ = loop.step(loop.init(keys.key(np.array([config.seed]))))
        jax.block_until_ready(state.agent)
        begun = time.perf_counter()
        state, metrics = loop.step(state)
        jax.block_until_ready(state.agent)
        told: dict[str, float] = {"seconds": time.perf_counter() - begun, "steps": prepared.plan.chunk_steps}
        told["samples_per_insert"] = float(metrics.get("samples_per_insert", [np.nan])[0])
        print(json.dumps(told), file=answers, flush=True)
    prepared.driver.close()


if __name__ == "__main__":
    serve(sys.argv[1:])
