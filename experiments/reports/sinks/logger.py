"""Hands each log point of a run to every sink."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Kind = Literal["train", "eval"]
Metrics = Mapping[str, np.ndarray]


class Sink(Protocol):
    """What `Logger` writes to."""

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Takes one log point; every metric is `[runs]`."""

    def close(self) -> None:
        """Flushes and lets go of files."""


class Logger:
    """Passes each log point to all sinks; closes them all, also after an exception."""

    def __init__(self, runs: int, *sinks: Sink):
        """A logger of `runs` runs to `sinks`."""
        self._runs, self._sinks = runs, sinks

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Mapping[str, "ArrayLike"]) -> None:
        """Logs one point.

        Args:
          kind: train or eval.
          env_steps: of each run.
          wall_seconds: since the start.
          metrics: name -> `[runs]`, or a scalar, such as `steps_per_second`.

        Raises:
          ValueError: a metric has another shape.
        """
        arrays = {name: np.asarray(value) for name, value in metrics.items()}
        for name, value in arrays.items():
            if value.shape not in ((), (self._runs,)):
                raise ValueError(f"metric {name}: has shape {value.shape}; must be a scalar or ({self._runs},)")
        whole = {name: np.broadcast_to(value, self._runs) for name, value in arrays.items()}
        for sink in self._sinks:
            sink.log(kind, env_steps, wall_seconds, whole)

    def close(self) -> None:
        """Closes every sink."""
        _close(self._sinks)

    def __enter__(self) -> "Logger":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _close(sinks: Sequence[Sink]) -> None:
    with contextlib.ExitStack() as stack:  # goes on where one fails
        for sink in reversed(sinks):
            stack.callback(sink.close)


class Part:
    """Passes on the metrics of some of the runs: one point of a sweep to the sinks of its own folder."""

    def __init__(self, runs: slice, *sinks: Sink):
        """A part of the runs, for `sinks`."""
        self._runs, self._sinks = runs, sinks

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Passes on one log point."""
        for sink in self._sinks:
            sink.log(kind, env_steps, wall_seconds, {name: value[self._runs] for name, value in metrics.items()})

    def close(self) -> None:
        """Closes its sinks."""
        _close(self._sinks)
