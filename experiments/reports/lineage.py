"""`lineage.csv`: what each member of a population had, scored and copied at each turn; how it is read and drawn.

A row per member and turn, in their order, with the columns

    steps     environment steps (or updates) of the member at the turn; 0 for what it began with
    seed      of the member
    parent    the seed that it copied at this turn; its own where it went on as it was
    score     its mean evaluation return before the turn; empty at step 0 and of a member that had died
    NAME      each flag that the population finds, from this turn on
"""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.reports import files

FIRST = ("steps", "seed", "parent", "score")


class Lineage(NamedTuple):
    """A population's history over `turns` turns, the start among them, of `runs` members."""

    steps: np.ndarray  # [turns]
    seeds: np.ndarray  # [runs]
    parents: np.ndarray  # [turns, runs], seeds
    scores: np.ndarray  # [turns, runs], NaN where there is none
    values: dict[str, np.ndarray]  # flag -> [turns, runs]


def begin(path: Path, names: Sequence[str], resume_at: int | None = None) -> None:
    """Makes the file, or takes off a file's rows beyond the step of the state that was restored.

    Raises:
      files.UnwritableError: it cannot be written.
    """
    header, rows = [*FIRST, *names], []
    if resume_at is not None and files.kind(path) == "a file":
        found = list(csv.reader(io.StringIO(files.read(path).decode(errors="replace"))))[1:]
        whole = [row for row in found if len(row) == len(header) and row[0].isdecimal()]
        rows = [row for row in whole if int(row[0]) <= resume_at]
    files.write(path, _csv([header, *rows]))


def append(
    path: Path,
    steps: int,
    seeds: Sequence[int],
    parents: Sequence[int],
    scores: Sequence[float] | np.ndarray,
    values: Mapping[str, np.ndarray],
) -> None:
    """Adds a turn: a row per member.

    Raises:
      files.UnwritableError: it cannot be written.
    """
    numbers = [[_cell(x) for x in values[name]] for name in values]
    shown = ["" if not np.isfinite(score) else f"{score:.9g}" for score in scores]
    files.append(path, _csv(zip([steps] * len(seeds), seeds, parents, shown, *numbers, strict=True)))


def _cell(value: float) -> str:
    return f"{value:.9g}"  # nine digits tell float32 numbers apart


def _csv(rows: object) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return text.getvalue()


def read(path: Path) -> Lineage:
    """Reads the file; a turn that was written in part is left out.

    Raises:
      OSError: it cannot be read.
      ValueError: it is no such file.
    """
    header, *rows = list(csv.reader(io.StringIO(files.read(path).decode(errors="replace")))) or [[]]
    if tuple(header[:4]) != FIRST or len(header) < 5 or not rows:
        raise ValueError(f"{path.name} is not a lineage")
    try:
        table = np.array([[float(cell or "nan") for cell in row] for row in rows])
        seeds = list(dict.fromkeys(int(x) for x in table[:, 1]))
        turns = len(table) // len(seeds)
        whole = table[: turns * len(seeds)].reshape(turns, len(seeds), -1)
        good = turns and (whole[:, :, 1] == seeds).all() and (whole[:, :, 0] == whole[:, :1, 0]).all()
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{path.name} is damaged")
    values = {name: whole[:, :, 4 + i] for i, name in enumerate(header[4:])}
    return Lineage(whole[:, 0, 0].astype(int), np.array(seeds), whole[:, :, 2].astype(int), whole[:, :, 3], values)


def best(found: Lineage) -> int:
    """The seed with the highest score at the last turn that has any; the first where there was none."""
    scored = np.isfinite(found.scores).any(axis=1)
    if not scored.any():
        return int(found.seeds[0])
    last = found.scores[np.flatnonzero(scored)[-1]]
    return int(found.seeds[np.nanargmax(last)])


def ancestors(found: Lineage, seed: int) -> np.ndarray:
    """Whose numbers a member went by from each turn on, had it been one run: places of members, `[turns]`."""
    places = {int(s): i for i, s in enumerate(found.seeds)}
    place, line = places[seed], np.zeros(len(found.steps), int)
    for turn in range(len(found.steps) - 1, -1, -1):
        line[turn] = place
        place = places[int(found.parents[turn, place])]
    return line


def schedule(found: Lineage, seed: int | None = None) -> tuple[str, ...]:
    """The numbers that a member came by, its own and those of whom it came from, as `--schedule` takes them.

    Args:
      found: a population's lineage.
      seed: of the member; by default the best of all.
    """
    line = ancestors(found, best(found) if seed is None else seed)
    items = []
    for name, values in found.values.items():
        own = values[np.arange(len(line)), line]
        kept = [i for i in range(len(own)) if not i or own[i] != own[i - 1]]
        pairs = ",".join(f"{found.steps[i]}:{_cell(own[i])}" for i in kept)
        items.append(f"agent.{name.replace('_', '-')}={pairs}")
    return tuple(items)


def draw(found: Lineage, out: Path, title: str = "", xlabel: str = "steps") -> None:
    """Draws scores and numbers of all members over time, the best member's line of descent in front.

    Raises:
      OSError: the plot cannot be written (`files.UnwritableError`).
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels = {"score": found.scores, **found.values}
    figure = Figure(figsize=(7, 2.2 * len(panels) + 0.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    line = ancestors(found, best(found))
    moved = found.parents != found.seeds[None]
    for axes, (name, values) in zip(figure.subplots(len(panels), 1, squeeze=False)[:, 0], panels.items(), strict=True):
        own = values[np.arange(len(line)), line]
        how = {} if name == "score" else {"drawstyle": "steps-post"}
        axes.plot(found.steps, values, color="#8a8a8a", linewidth=0.7, alpha=0.5, **how)
        turns, members = np.nonzero(moved)
        axes.plot(found.steps[turns], values[turns, members], ".", color="#d1615d", markersize=3, label="has copied")
        axes.plot(found.steps, own, color="#2066a8", linewidth=2, label="the best and whom it came from", **how)
        if name != "score" and (values > 0).all():
            axes.set_yscale("log")
        axes.set_ylabel(files.plain(name.replace("_", " ")), parse_math=False)
        axes.grid(color="#e6e6e6", linewidth=0.8)
        axes.set_axisbelow(True)
    first, *_, last = figure.axes
    first.set_title(files.plain(title), loc="left", fontsize=11, fontweight="bold", parse_math=False)
    first.legend(frameon=False, fontsize=8)
    last.set_xlabel(xlabel)
    image = io.BytesIO()
    figure.savefig(image, format="png")
    files.write(out, image.getvalue())
