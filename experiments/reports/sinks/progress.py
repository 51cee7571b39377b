"""How far a run is, on the terminal."""

import sys
import time
from typing import TextIO

import numpy as np

from experiments.reports.sinks.logger import Kind, Metrics

SHOWN = {
    "episode_return": "return",
    "eval_return": "eval return",
    "actors_alive": "actors",
    "actors_lost": "lost",
    "version_age": "version age",
    "samples_per_insert": "samples per insert",
}
"""What is shown of a log point, where it tells it, and under what name."""


class Progress:
    """Percent, environment steps per second of all runs, return (mean over runs, of the last log point) and time left;
    of runs with actors apart also how many answer and were lost, and how old the parameters are that they act with.

    On a terminal a bar; elsewhere a line every ten seconds. Everything goes to stderr. What is shown is the furthest
    point so far and at most `total`: workers that run side by side report out of order, and end a little beyond it.
    """

    INTERVAL = 10.0

    def __init__(
        self,
        total: int,
        runs: int,
        done: int = 0,
        quiet: bool = False,
        file: TextIO | None = None,
        counted: str = "steps",
    ):
        """Shows 0 %.

        Args:
          total: environment steps of each run.
          runs: how many runs there are.
          done: environment steps of each before a resume.
          quiet: show nothing.
          file: default stderr.
          counted: what the numbers are of, where they are not environment steps.
        """
        from tqdm import tqdm

        self._file, self._counted = file or sys.stderr, counted
        self._total, self._runs, self._done, self._quiet = total, runs, done, quiet
        self._returns: dict[str, float] = {}
        self._last = self._start = time.monotonic()
        self._first = done
        self._bar = None
        if not quiet and self._file.isatty():
            form = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} " + counted
            form += ", {rate_fmt}{postfix}, {remaining} left"
            self._bar = tqdm(
                total=total * runs, initial=done * runs, unit=f" {counted}", unit_scale=True, bar_format=form,
                dynamic_ncols=True, file=self._file, smoothing=0.1,
            )  # fmt: skip

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Shows where the run is."""
        for name, shown in SHOWN.items():
            if name in metrics and not np.isnan(metrics[name]).all():
                self._returns[shown] = float(np.nanmean(metrics[name]))
        before, self._done = self._done, max(self._done, min(env_steps, self._total))
        if self._bar is not None:
            self._bar.set_postfix_str(self._shown(), refresh=False)
            self._bar.update((self._done - before) * self._runs)
        elif not self._quiet and (self._done >= self._total > before or self._waited()):
            self._last = time.monotonic()
            print(self._line(self._done), file=self._file, flush=True)

    def note(self, text: str) -> None:
        """Prints a line without disturbing the bar."""
        if self._bar is not None:
            self._bar.write(text, file=self._file)
        elif not self._quiet:
            print(text, file=self._file, flush=True)

    def close(self) -> None:
        """Leaves the bar as it is and the cursor on a line of its own."""
        if self._bar is not None:
            self._bar.close()

    def _waited(self) -> bool:
        return time.monotonic() - self._last >= self.INTERVAL

    def _shown(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self._returns.items())

    def _line(self, env_steps: int) -> str:
        from tqdm import tqdm

        rate = (env_steps - self._first) * self._runs / max(time.monotonic() - self._start, 1e-9)
        left = (self._total - env_steps) * self._runs / rate if rate else float("nan")
        told, unit = f"{env_steps:,} of {self._total:,}", self._counted
        parts = [f"{env_steps / self._total:4.0%}", f"{told} {unit}", f"{rate:,.0f} {unit}/s"]
        parts += [self._shown()] if self._returns else []
        return ", ".join([*parts, f"{tqdm.format_interval(left) if rate else '?'} left"])
