"""Where a run's numbers go: `metrics.csv`, TensorBoard, a progress bar, Weights & Biases.

`Logger.log(kind, env_steps, wall_seconds, metrics)` takes one log point of all runs, each metric as `[runs]` or a
scalar that all share, and passes it to every sink. A *run* is one seed, or one seed at one point of a sweep.

`metrics.csv` has a row per run and log point, in the order of logging, and these columns first:

    seed               label of the run
    env_steps          environment steps of this run so far
    wall_seconds       since the start, training before a resume included
    kind               train or eval
    episode_return     train: mean undiscounted return of the episodes that ended since the last log point
    episode_length     train: their mean length
    episodes           train: how many ended
    steps_per_second   train: environment steps of all runs together
    eval_return        eval: mean return of the greedy policy
    eval_length        eval: mean length of these episodes

then one column for each further metric (losses and so on; `eval_success`, the share of evaluation episodes that reach
their goal, in tasks with goals) by order of appearance. A cell is empty where the metric was
not reported or was NaN (as is `episode_return` when no episode ended). A metric that first appears later adds a column
to the whole file.
"""

import contextlib
import csv
import io
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TextIO

import numpy as np

Kind = Literal["train", "eval"]
Metrics = Mapping[str, np.ndarray]

COLUMNS = (
    "seed", "env_steps", "wall_seconds", "kind", "episode_return", "episode_length", "episodes", "steps_per_second",
    "eval_return", "eval_length",
)  # fmt: skip


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

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Mapping[str, Any]) -> None:
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

    def __exit__(self, *exception: Any) -> None:
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


class MetricsCsv:
    """Appends log points to a CSV file. Each point is flushed, in one piece."""

    def __init__(self, path: str | Path, seeds: Sequence[Any], resume_at: int | None = None):
        """Opens the file.

        Args:
          path: the file.
          seeds: label of each run.
          resume_at: env steps of the state that was restored: rows beyond them and a torn last line are dropped, and
            what is logged is appended. Default: a new file.

        Raises:
          OSError: it cannot be written.
        """
        self._path, self._seeds = Path(path), [str(seed) for seed in seeds]
        self._columns: list[str] = list(COLUMNS)
        rows: list[dict[str, str]] = []
        if resume_at is not None and self._path.exists():
            self._columns, everything = read_rows(self._path)
            rows = [row for row in everything if int(row["env_steps"]) <= resume_at]
        self._write(rows)
        self._file = self._path.open("a", newline="")

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Appends a row per run."""
        added = [name for name in metrics if name not in self._columns]
        if added:
            self._file.close()
            rows = read_rows(self._path)[1]
            self._columns += added
            self._write(rows)
            self._file = self._path.open("a", newline="")
        shared = {"env_steps": str(env_steps), "wall_seconds": f"{wall_seconds:.9g}", "kind": kind}
        point = [
            {"seed": seed, **shared, **{name: _cell(value[i]) for name, value in metrics.items()}}
            for i, seed in enumerate(self._seeds)
        ]
        self._file.write(_csv(self._columns, point))
        self._file.flush()

    def close(self) -> None:
        """Closes the file."""
        self._file.close()

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        tmp = self._path.with_name(self._path.name + ".tmp")
        tmp.write_text(_csv(self._columns, [dict(zip(self._columns, self._columns, strict=True)), *rows]), newline="")
        tmp.replace(self._path)


def _cell(value: Any) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.9g}" if value.dtype == np.float64 else str(value)


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()


def read_rows(path: str | Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a `metrics.csv`; a torn line at the end is left out.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a `metrics.csv`.
    """
    with Path(path).open(newline="") as file:
        header, *lines = file.read().split("\n")[:-1] or [""]  # what follows the last newline is torn
    columns = header.split(",")
    if tuple(columns[: len(COLUMNS)]) != COLUMNS:
        raise ValueError(f"{path}: not a metrics.csv; its first line is {header[:80]!r}")
    rows = list(csv.reader(lines))
    bad = next((number for number, cells in enumerate(rows, 2) if len(cells) != len(columns)), None)
    if bad is not None:
        raise ValueError(f"{path}: line {bad} has {len(rows[bad - 2])} cells; must have {len(columns)}")
    return columns, [dict(zip(columns, cells, strict=True)) for cells in rows]


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a `metrics.csv`: float64 `[rows]`, NaN where empty; `seed` and `kind` are strings, `env_steps` int64.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a `metrics.csv`.
    """
    columns, rows = read_rows(path)
    table = {}
    for name in columns:
        cells = [row[name] for row in rows]
        if name in ("seed", "kind"):
            table[name] = np.array(cells, str)
        else:
            table[name] = np.array([float(cell or "nan") for cell in cells], np.float64)
    return table | {"env_steps": table["env_steps"].astype(np.int64)}


def series(table: Mapping[str, np.ndarray], metric: str) -> tuple[np.ndarray, np.ndarray]:
    """A metric over time, of every run.

    Args:
      table: of `read_metrics`.
      metric: a column.

    Returns:
      `(env_steps[points], values[runs, points])` over the log points that report it for any run, NaN for the others.

    Raises:
      ValueError: there is no such column.
    """
    numeric = [name for name in table if name not in ("seed", "kind", "env_steps")]
    if metric not in numeric:
        raise ValueError(f"metric {metric!r}: not in metrics.csv, which has {', '.join(numeric)}")
    seeds = list(dict.fromkeys(table["seed"].tolist()))
    reported = ~np.isnan(table[metric])
    steps, points = np.unique(table["env_steps"][reported], return_inverse=True)
    values = np.full((len(seeds), len(steps)), np.nan)
    values[[seeds.index(seed) for seed in table["seed"][reported].tolist()], points] = table[metric][reported]
    return steps, values


class TensorBoard:
    """TensorBoard event files: `folder/mean` over the runs, and `folder/seed_N` for each of up to `MOST` of them."""

    MOST = 32

    def __init__(self, folder: str | Path, seeds: Sequence[Any], resume_at: int | None = None):
        """Opens the event files.

        Args:
          folder: of the events.
          seeds: label of each run.
          resume_at: env steps of the state restored; TensorBoard then hides points logged beyond them before.
        """
        from tensorboardX import SummaryWriter

        names = [f"seed_{seed}" for seed in seeds] if 1 < len(seeds) <= self.MOST else []
        purge = None if resume_at is None else resume_at + 1
        self._mean, *self._each = [
            SummaryWriter(str(Path(folder) / name), purge_step=purge, flush_secs=10) for name in ["mean", *names]
        ]

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Adds the numbers that are not NaN, as `kind/name`."""
        for name, value in metrics.items():
            if not np.isnan(value).all():
                self._mean.add_scalar(f"{kind}/{name}", float(np.nanmean(value)), env_steps)
            for writer, x in zip(self._each, value, strict=False):
                if not np.isnan(x):
                    writer.add_scalar(f"{kind}/{name}", float(x), env_steps)

    def close(self) -> None:
        """Flushes and closes the event files."""
        for writer in [self._mean, *self._each]:
            writer.close()


class Wandb:
    """Weights & Biases: means over the runs, and each run's number as `kind/name/seed_N`."""

    def __init__(self, folder: str | Path, seeds: Sequence[Any], config: Mapping[str, Any], resume: bool = False):
        """Starts a run of the project "bellmax", named as the folder; or goes on with the folder's last one.

        Raises:
          ValueError: wandb is not installed.
        """
        try:
            import wandb
        except ImportError:
            raise ValueError("--wandb: needs the package wandb, which is not installed (pip install wandb)") from None
        folder, self._seeds = Path(folder), list(seeds)
        id_file = folder / "wandb_id"
        known = id_file.read_text() if resume and id_file.exists() else None
        self._run = wandb.init(
            project="bellmax", name=folder.name, dir=str(folder), config=dict(config), id=known, resume="allow"
        )
        id_file.write_text(self._run.id)

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Sends one log point."""
        point: dict[str, Any] = {"env_steps": env_steps, "wall_seconds": wall_seconds}
        for name, value in metrics.items():
            point |= {f"{kind}/{name}/seed_{seed}": float(x) for seed, x in zip(self._seeds, value, strict=True)}
            if not np.isnan(value).all():
                point[f"{kind}/{name}"] = float(np.nanmean(value))
        self._run.log(point)

    def close(self) -> None:
        """Ends the run."""
        self._run.finish()


class Progress:
    """Percent, environment steps per second of all runs, return (mean over runs, of the last log point) and time left.

    On a terminal a bar; elsewhere a line every ten seconds. Everything goes to stderr.
    """

    INTERVAL = 10.0

    def __init__(self, total: int, runs: int, done: int = 0, quiet: bool = False, file: TextIO | None = None):
        """Shows 0 %.

        Args:
          total: environment steps of each run.
          runs: how many runs there are.
          done: environment steps of each before a resume.
          quiet: show nothing.
          file: default stderr.
        """
        from tqdm import tqdm

        self._file = file or sys.stderr
        self._total, self._runs, self._done, self._quiet = total, runs, done, quiet
        self._returns: dict[str, float] = {}
        self._last = self._start = time.monotonic()
        self._first = done
        self._bar = None
        if not quiet and self._file.isatty():
            form = "{percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt} steps, {rate_fmt}{postfix}, {remaining} left"
            self._bar = tqdm(
                total=total * runs, initial=done * runs, unit=" steps", unit_scale=True, bar_format=form,
                dynamic_ncols=True, file=self._file, smoothing=0.1,
            )  # fmt: skip

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Shows where the run is."""
        for name in ("episode_return", "eval_return"):
            if name in metrics and not np.isnan(metrics[name]).all():
                shown = name.replace("episode_return", "return").replace("_", " ")
                self._returns[shown] = float(np.nanmean(metrics[name]))
        if self._bar is not None:
            self._bar.set_postfix_str(self._shown(), refresh=False)
            self._bar.update(max(0, env_steps - self._done) * self._runs)
        elif not self._quiet and (env_steps >= self._total > self._done or self._waited()):
            self._last = time.monotonic()
            print(self._line(env_steps), file=self._file, flush=True)
        self._done = max(self._done, env_steps)

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
        parts = [f"{env_steps / self._total:4.0%}", f"{env_steps:,} of {self._total:,} steps", f"{rate:,.0f} steps/s"]
        parts += [self._shown()] if self._returns else []
        return ", ".join([*parts, f"{tqdm.format_interval(left) if rate else '?'} left"])
