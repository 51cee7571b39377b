"""How `experiments.benchmark` tells what it measured: a record of each part, a page with their tables, and a plot."""

import datetime
import json
import os
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from experiments.benchmarks.cases import PEERS


class Row(NamedTuple):
    """A line of the table: one of ours against one peer, or against none."""

    part: str
    name: str
    seeds: int
    unit: str
    ours: float
    peer: str
    theirs: float | None
    ratio: float | None  # above 1 where ours is the faster
    goal: str
    met: bool | None
    samples: Mapping[str, Sequence[float]]


def short(value: float) -> str:
    """Three figures: 1.23M, 45.6k, 789, 0.0123."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def machine(before: float, installed: Mapping[str, str]) -> str:
    """One line on where and when this was measured."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = ", ".join(f"{name} {version}" for name, version in installed.items())
    load = f"load {before:.1f} before, {os.getloadavg()[0]:.1f} after"
    day = datetime.date.today().isoformat()
    return f"{day}, {cores} cores ({platform.machine()}), {load}, Python {platform.python_version()}, {found}."


def table(rows: Sequence[Row]) -> list[str]:
    """Markdown."""
    lines = ["| what | seeds | bellmax | peer | | ratio | goal | |", "|---|---:|---:|---:|---|---:|---|---|"]
    for row in rows:
        theirs = "" if row.theirs is None else f"{short(row.theirs)} {row.unit}"
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        verdict = {None: "", True: "met", False: "missed"}[row.met]
        cells = (row.name, row.seeds, f"{short(row.ours)} {row.unit}", theirs, row.peer, ratio, row.goal, verdict)
        lines.append("| " + " | ".join(str(cell).replace("|", "/") for cell in cells) + " |")
    return lines


NOTES = "## Notes"
INTRODUCTION = (
    "`python -m experiments.benchmark` prepares and compiles all contenders of a row, then measures them in turns; the",
    "median of the rounds counts. Rates are of all seeds together; a ratio above 1 says that bellmax is faster. Each",
    "part says when, where and beside what load of the machine it was measured.",
)
LIBRARIES = (*PEERS, "rlax")
TITLES: Mapping[str, str] = {
    "env": "Environments alone",
    "dqn": "DQN in graph",
    "ppo": "PPO in graph",
    "sac": "SAC in graph",
    "host": "Around a simulator",
    "scale": "Actors apart from the learner",
    "minds": "Agents that imagine, remember or reward themselves, against plainer ones",
    "population": "Populations",
    "trials": "Trials of tasks that are drawn",
    "replay": "Replay",
    "learning": "Learning steps, and what a part of one costs",
    "data": "Learning from recorded transitions",
    "loading": "Loading recorded transitions",
    "returns": "Returns",
    "compile": "Compilation and start",
}


class Measured(NamedTuple):
    """What one run of the benchmark gave of a part."""

    where: str
    repeats: int
    scale: float
    rows: Sequence[Row]


def save(rows: Sequence[Row], out: str, repeats: int, scale: float, where: str) -> None:
    """One file for each part, `speed/PART.json` under `out`, in place of what was measured of it before."""
    for part in dict.fromkeys(row.part for row in rows):
        path = Path(out) / "speed" / f"{part}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        own = [row._asdict() for row in rows if row.part == part]
        path.write_text(json.dumps({"where": where, "repeats": repeats, "scale": scale, "rows": own}, indent=1) + "\n")


def load(out: str) -> dict[str, Measured]:
    """All parts that were ever measured, in the order of the page."""
    found = {}
    for part in TITLES:
        path = Path(out) / "speed" / f"{part}.json"
        if path.exists():
            told = json.loads(path.read_text())
            found[part] = Measured(**{**told, "rows": [Row(**row) for row in told["rows"]]})
    return found


def write(out: str) -> Path:
    """benchmark.md of all records, whose notes stay as they are, and benchmark.png."""
    page = Path(out) / "benchmark.md"
    notes = page.read_text().partition(NOTES)[2] if page.exists() else ""
    parts = load(out)
    rows = [row for measured in parts.values() for row in measured.rows]
    compared = [row for row in rows if row.ratio is not None and row.peer in LIBRARIES]
    lines = ["# Speed", "", *INTRODUCTION, ""]
    lines += ["![ratios](benchmark.png)", ""] if compared else []
    for part, measured in parts.items():
        length = "" if measured.scale == 1 else f", `--scale {measured.scale:g}`"
        how = f"`--only {part}`{length}, median of {measured.repeats}: {measured.where}"
        lines += [f"## {TITLES[part]}", "", how, ""]
        lines += [*table(measured.rows), ""]
    lines += [f"{NOTES}{notes}" if notes else ""]
    page.write_text("\n".join(lines).rstrip() + "\n")
    if compared:
        draw(compared, page.with_suffix(".png"))
    return page


def draw(rows: Sequence[Row], out: Path) -> None:
    """Bars of the ratios, logarithmic, coloured by what became of the goal, which a mark shows."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from experiments.reports.plots import COLOURS, GRID, INK

    figure, axes = plt.subplots(figsize=(10, 0.8 + 0.24 * len(rows)), layout="constrained")
    colours = {True: (COLOURS[0], "goal met"), False: (COLOURS[1], "goal missed"), None: (GRID, "no goal")}
    for i, row in enumerate(rows):
        assert row.ratio is not None
        axes.barh(i, row.ratio - 1, left=1, color=colours[row.met][0], height=0.7)
        axes.text(max(row.ratio, 1) * 1.04, i, f"{row.ratio:.2f}", va="center", fontsize=8, color=INK)
        if row.goal.startswith("at least"):
            goal = float(row.goal.split()[2])
            axes.plot([goal, goal], [i - 0.42, i + 0.42], color=INK, linewidth=2)
    for met in dict.fromkeys(row.met for row in rows):
        axes.barh(0, 0, color=colours[met][0], label=colours[met][1])
    axes.set_xscale("log")
    axes.axvline(1, color=INK, linewidth=1)
    names = [f"{row.name}, {row.seeds} seed{'s'[: row.seeds > 1]}, against {row.peer}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("times as fast as the peer; a mark is the goal")
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(out, dpi=120)
    plt.close(figure)
