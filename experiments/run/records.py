"""What a run says about itself: config.json, summary.json, the time it took, and how it was stopped."""

import contextlib
import dataclasses
import fcntl
import json
import os
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import reports
from experiments.run.interrupts import Interrupt as Interrupt

if TYPE_CHECKING:
    from experiments.run.experiment import Experiment
    from experiments.run.flags import Common

PACKAGES = ("jax", "jaxlib", "flax", "optax", "rlax", "numpy", "envpool", "gymnasium", "gymnax", "mujoco")


def write_json(path: Path, content: object) -> None:
    """Writes a JSON file whole or not at all; numbers that are not finite become null.

    Raises:
      reports.files.UnwritableError: it cannot be written.
    """

    def plain(x: object) -> object:
        if isinstance(x, dict):
            return {key: plain(value) for key, value in x.items()}
        if isinstance(x, list | tuple | np.ndarray):
            return [plain(value) for value in x]
        x = x.item() if isinstance(x, np.generic) else x
        return None if isinstance(x, float) and not np.isfinite(x) else x

    reports.files.write(path, json.dumps(plain(content), indent=2) + "\n", beside=path.with_suffix(".tmp").name)


@contextlib.contextmanager
def locked(folder: Path, name: str = "--resume") -> Iterator[None]:
    """Holds a run folder. Two processes that train in one would each undo what the other writes.

    Args:
      folder: of the run.
      name: the flag that names it.

    Raises:
      ValueError: another holds it.
      reports.files.UnwritableError: it is not there any more, or cannot be opened.
    """
    with reports.files.writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system that has no locks
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ValueError(f"{name} {folder}: a process is still training in it") from None
        yield
    finally:
        os.close(handle)


def describe(experiment: "Experiment", config: "Common", before: Iterable[object] = ()) -> dict[str, Any]:
    """The content of config.json.

    Args:
      experiment: an `Experiment`.
      config: its flags.
      before: the starts of the run so far, when it is resumed.
    """
    import jax

    versions = {"python": platform.python_version(), "bellmax": version("bellmax")}
    versions |= {name: version(name) for name in PACKAGES}
    start = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git_commit": git_commit(),
        "versions": {name: number for name, number in versions.items() if number},
        "device": f"{len(jax.devices())} x {jax.devices()[0].device_kind}",
    }
    return {
        "experiment": experiment.name,
        "file": source(experiment),
        "flags": dataclasses.asdict(config),
        "starts": [*before, start],
    }


def source(experiment: "Experiment") -> str | None:
    """The file that declares an experiment; None for those of bellmax, which are found by their names."""
    file = getattr(sys.modules[experiment.flags.__module__], "__file__", None)
    if file is None or Path(file).resolve().parent == Path(__file__).resolve().parents[1]:
        return None
    return str(Path(file).resolve())


def version(package: str) -> str | None:
    """An installed package's version, None if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def git_commit() -> str | None:
    """The commit of this source tree, with "+" if its code has changes; None outside a repository."""

    def git(*arguments: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *arguments], cwd=here, capture_output=True, text=True, check=True).stdout

    try:
        code = [f":(top){name}" for name in ("*.py", "*.lock", "pyproject.toml")]
        changed = git("status", "--porcelain", "--untracked-files=no", "--", *code)
        return git("rev-parse", "HEAD").strip() + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return None


class Compilation:
    """Seconds in which JAX was tracing, lowering or compiling since this was made, in one thread or in several."""

    def __init__(self) -> None:
        import jax

        self.spans: list[tuple[float, float]] = []  # apart from each other, in order
        self.lock = threading.Lock()
        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def close(self) -> None:
        """Stops counting."""
        import jax

        jax.monitoring.unregister_event_duration_listener(self._listen)

    def _listen(self, event: str, duration_secs: float, **_: str | int) -> None:
        if event.startswith("/jax/core/compile/"):
            with self.lock:
                end = time.monotonic()
                begin = end - duration_secs
                while self.spans and self.spans[-1][1] >= begin:
                    begin = min(begin, self.spans.pop()[0])
                self.spans.append((begin, end))

    @property
    def seconds(self) -> float:
        """How many so far."""
        with self.lock:
            return sum(end - begin for begin, end in self.spans)


class StoppedError(Exception):
    """A run stopped before its end; the text says why and what is kept."""

    def __init__(self, message: str, code: int = 1):
        """With the exit code of the command: 130 after Ctrl-C, 1 for all else."""
        super().__init__(message)
        self.code = code
