"""`metrics.csv`: how it is written, mended and read.

A row per run and log point, in the order of logging, with these columns first:

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
their goal, in tasks with goals) by order of appearance. A cell is empty where the metric was not reported or was NaN
(as is `episode_return` when no episode ended). A metric that first appears later adds a column to the whole file.

A run that learns from recorded episodes takes no environment steps: its file has the columns `updates` and
`updates_per_second` in the place of `env_steps` and `steps_per_second`. What reads a file calls either `env_steps`.
"""

import csv
import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments.reports import files
from experiments.reports.sinks.logger import Kind, Metrics

COLUMNS = (
    "seed", "env_steps", "wall_seconds", "kind", "episode_return", "episode_length", "episodes", "steps_per_second",
    "eval_return", "eval_length",
)  # fmt: skip
COUNTED = {"steps": ("env_steps", "steps_per_second"), "updates": ("updates", "updates_per_second")}
"""What the columns of the length and of the speed are called, by what a run is counted in."""
Rows = list[dict[str, str]]


class MetricsCsv:
    """Appends log points to a CSV file, each in one piece. The file is not kept open."""

    def __init__(
        self,
        path: str | Path,
        seeds: Sequence[object],
        resume_at: int | None = None,
        logged: bool = False,
        counted: str = "steps",
    ):
        """Makes the file.

        Args:
          path: the file.
          seeds: label of each run.
          resume_at: env steps of the state that was restored: rows beyond them and a torn last line are dropped, and
            what is logged is appended. A damaged file is kept as `metrics.csv.damaged`, and what is whole before the
            damage is gone on with. Default: a new file.
          logged: whether there were log points up to `resume_at`, so that a file without any is damaged or missing.
          counted: steps, or updates of a run that takes none.

        Raises:
          files.UnwritableError: it cannot be written.
        """
        self._path, self._seeds = Path(path), [str(seed) for seed in seeds]
        self._counted = counted
        self._columns: list[str] = list(_first_columns(counted))
        rows: Rows = []
        if resume_at is not None and files.kind(self._path) != "nothing":
            self._columns, everything, damage = salvage(self._path)
            if not damage and not everything and logged:
                damage = f"{self._path}: has no rows, though the checkpoint is at {resume_at} {counted}"
            if not damage and everything and int(everything[-1]["env_steps"]) < resume_at:
                damage = f"{self._path}: ends before {resume_at} {counted}, where the checkpoint is"
            rows = [row for row in everything if int(row["env_steps"]) <= resume_at]
            if damage:
                kept = self._path.with_name(f"{self._path.name}.damaged")
                with files.writing(kept):
                    self._path.rename(kept)
                last = f"rows up to {rows[-1]['env_steps']} {counted}" if rows else "no rows"
                told = f"warning: {damage}; going on with {last} of it, and keeping it as {kept.name}"
                print(told, file=sys.stderr)
        elif logged:
            told = f"is not there, though the checkpoint is at {resume_at} {counted}; going on with a new one"
            print(f"warning: {self._path}: {told}", file=sys.stderr)
        self._write(rows)

    def log(self, kind: Kind, env_steps: int, wall_seconds: float, metrics: Metrics) -> None:
        """Appends a row per run.

        Raises:
          files.UnwritableError: the file cannot be written.
        """
        added = [name for name in metrics if name not in self._columns]
        if added:
            with files.writing(self._path):
                rows = read_rows(self._path)[1]
            self._columns += added
            self._write(rows)
        shared = {"env_steps": str(env_steps), "wall_seconds": f"{wall_seconds:.9g}", "kind": kind}
        point = [
            {"seed": seed, **shared, **{name: _cell(value[i]) for name, value in metrics.items()}}
            for i, seed in enumerate(self._seeds)
        ]
        files.append(self._path, _csv(self._columns, point))

    def close(self) -> None:
        """Nothing is open."""

    def _write(self, rows: Sequence[Mapping[str, str]]) -> None:
        header = {name: COUNTED[self._counted][0] if name == "env_steps" else name for name in self._columns}
        files.write(self._path, _csv(self._columns, [header, *rows]))


def _first_columns(counted: str) -> tuple[str, ...]:
    """`COLUMNS` with the speed under the name that it has; the length is `env_steps` until it is written."""
    return tuple(COUNTED[counted][1] if name == "steps_per_second" else name for name in COLUMNS)


def counted_in(path: str | Path) -> str:
    """What a run is counted in, by the first line of its `metrics.csv`.

    Raises:
      OSError: the file cannot be read.
    """
    header = files.read(Path(path)).partition(b"\n")[0].decode(errors="replace")
    return "updates" if header.split(",")[1:2] == ["updates"] else "steps"


def _cell(value: np.generic) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.9g}" if value.dtype == np.float64 else str(value)


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    csv.DictWriter(text, columns, restval="", lineterminator="\n").writerows(rows)
    return text.getvalue()


def salvage(path: str | Path) -> tuple[list[str], Rows, str | None]:
    """Columns and rows of a `metrics.csv` as far as it is whole, and what is wrong with the rest; a torn line at the
    end, which a killed process leaves, is no damage.

    Returns:
      `(columns, rows, damage)`, the last a sentence that names the file and the line, or None.
    """
    try:
        content = files.read(Path(path))
    except OSError as error:
        return list(COLUMNS), [], f"{path}: cannot be read ({error.strerror})"
    header, *lines = content.decode(errors="replace").split("\n")[:-1] or [""]  # what follows the last newline is torn
    columns = header.split(",")
    if columns[1:2] == ["updates"]:
        columns, allowed = [columns[0], "env_steps", *columns[2:]], _first_columns("updates")
    else:
        allowed = COLUMNS
    if tuple(columns[: len(COLUMNS)]) != allowed or len(set(columns)) < len(columns):
        return list(COLUMNS), [], f"{path}: not a metrics.csv; its first line is {files.plain(header)!r}"
    rows: Rows = []
    for number, line in enumerate(lines, 2):
        wrong = _wrong(columns, line)
        if wrong:
            return columns, rows, f"{path}: line {number} {wrong}"
        rows.append(dict(zip(columns, line.split(","), strict=True)))
    return columns, rows, None


def _wrong(columns: Sequence[str], line: str) -> str | None:
    """What is wrong with a row, as the end of a sentence; None if nothing is."""
    cells = line.split(",")
    if len(cells) != len(columns):
        return f"has {len(cells)} cells; must have {len(columns)}"
    for name, cell in zip(columns, cells, strict=True):
        if name == "seed":
            continue
        if name == "kind":
            good, allowed = cell in ("train", "eval"), "train or eval"
        elif name == "env_steps":
            good, allowed = cell.isascii() and cell.isdecimal() and len(cell) <= 18, "a whole number"
        else:
            good, allowed = not cell or _is_number(cell), "a number or empty"
        if not good:
            return f"has {files.plain(cell)!r} as {files.plain(name)}; must be {allowed}"
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_rows(path: str | Path) -> tuple[list[str], Rows]:
    """Columns and rows of a `metrics.csv`; a torn line at the end is left out.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a `metrics.csv`, or damaged.
    """
    files.read(Path(path))
    columns, rows, damage = salvage(path)
    if damage:
        raise ValueError(damage)
    return columns, rows


def read_metrics(path: str | Path) -> dict[str, np.ndarray]:
    """Columns of a `metrics.csv`: float64 `[rows]`, NaN where empty; `seed` and `kind` are strings, `env_steps` int64.

    Raises:
      OSError: the file cannot be read.
      ValueError: it is not a `metrics.csv`, or damaged.
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
        raise ValueError(f"metric {metric!r}: not in metrics.csv, which has {files.plain(', '.join(numeric), 400)}")
    seeds = list(dict.fromkeys(table["seed"].tolist()))
    reported = ~np.isnan(table[metric])
    steps, points = np.unique(table["env_steps"][reported], return_inverse=True)
    values = np.full((len(seeds), len(steps)), np.nan)
    values[[seeds.index(seed) for seed in table["seed"][reported].tolist()], points] = table[metric][reported]
    return steps, values
