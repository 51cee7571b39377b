"""What `experiments.compare` says of runs: what their folders hold, a table of last scores, and what differs."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.reports import files, sinks, stats


class Run(NamedTuple):
    """What a run folder says."""

    label: str
    folder: Path
    config: Mapping[str, Any]  # flags, nested ones as a.b
    summary: Mapping[str, Any]
    scores: np.ndarray  # [seeds], at the last log point that reports the metric
    finished: bool = True


def read(folder: str | Path, metric: str, label: str = "") -> Run:
    """Reads a run folder.

    Raises:
      ValueError: a file is missing or unreadable, or has no such metric.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such run folder")
    config = files.read_json(folder, "config.json")
    try:
        table = sinks.read_metrics(folder / "metrics.csv")
    except OSError as error:
        raise ValueError(f"{folder}: cannot read metrics.csv ({error.strerror})") from None
    finished = (folder / "summary.json").exists()
    summary = files.read_json(folder, "summary.json") if finished else _so_far(config, table)
    summary = {"env_steps": summary["updates"], **summary} if "updates" in summary else summary
    absent = [key for key in ("experiment", "env", "env_steps") if key not in summary]
    if absent:
        raise ValueError(f"{folder}: summary.json has no {', '.join(absent)}")
    for key, kind, words in (("experiment", str, "text"), ("env", str, "text"), ("env_steps", int, "a whole number")):
        if not isinstance(summary[key], kind) or isinstance(summary[key], bool):
            raise ValueError(f"{folder}: summary.json has {files.plain(summary[key])} as {key}; must be {words}")
    flags = config.get("flags", config)
    if not isinstance(flags, dict):
        raise ValueError(f"{folder}: config.json has {files.plain(flags)} as flags; must be an object")
    try:
        steps, values = sinks.series(table, metric)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    if not steps.size:
        raise ValueError(f"{folder}: metrics.csv reports no {metric}")
    return Run(label or folder.name, folder, _flat(flags), summary, values[:, -1], finished)


def _so_far(config: Mapping[str, object], table: Mapping[str, np.ndarray]) -> dict[str, object]:
    """What of a summary is known of a run that has not finished."""
    flags = config.get("flags")
    env = flags.get("env") if isinstance(flags, dict) else None
    name = "updates" if "updates_per_second" in table else "env_steps"
    return {"experiment": config.get("experiment"), "env": env, name: int(max(table["env_steps"], default=0))}


def expanded(folders: Sequence[str]) -> list[str]:
    """The folders, with those of the points of a sweep in place of the sweep's."""
    found: list[str] = []
    for folder in folders:
        points = sorted(Path(folder).glob("*/config.json"))
        sweep = points and not (Path(folder) / "metrics.csv").exists()
        found += [str(path.parent) for path in points] if sweep else [folder]
    return found


def _flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, Any] = {}
    for name, value in tree.items():
        found |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: value}
    return found


def labels(folders: Sequence[str]) -> list[str]:
    """What to call the runs: without the folders they are all in."""
    paths = [str(Path(folder).resolve()) for folder in folders]
    if len(set(paths)) < len(paths):
        raise ValueError(f"runs {' '.join(folders)}: a folder is given twice")
    common = os.path.commonpath([os.path.dirname(path) for path in paths])  # noqa: PTH120
    return [os.path.relpath(path, common) for path in paths]


def table(runs: Sequence[Run]) -> str:
    """The comparison as text, a line per run."""
    lines = [("run", "env", "seeds", "IQM", "95 % interval", f"P(better than {files.plain(runs[0].label)})")]
    for each in runs:
        alive = stats.living(each.scores).size
        seeds = str(alive) if alive == each.scores.size else f"{alive} of {each.scores.size}"
        chance, ends = stats.probability_of_improvement(each.scores, runs[0].scores)
        better = "-" if each is runs[0] else f"{chance:.2f} {stats.shown(ends, '.2f')}"
        cells = f"{stats.iqm(each.scores):.4g}", stats.shown(stats.interval(each.scores)), better
        lines.append((files.plain(each.label), files.plain(each.summary["env"]), seeds, *cells))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def remarks(runs: Sequence[Run]) -> list[str]:
    """What makes the runs incomparable, what differs between their flags, and which seeds are left out."""
    found = []
    lengths = ["updates" if "updates" in each.summary else "environment steps" for each in runs]
    if len(set(lengths)) > 1:
        found.append(f"note: the lengths of the runs are counted in {', '.join(lengths)}")
    for key, what in (("env", "tasks"), ("env_steps", f"numbers of {lengths[0]} per seed")):
        values = [each.summary[key] for each in runs]
        if len({str(value) for value in values}) > 1:
            found.append(f"note: the runs are of different {what}: {', '.join(map(files.plain, values))}")
    for each in runs:
        if not each.finished:
            found.append(
                f"note: {files.plain(each.label)} has not finished: {each.summary['env_steps']:,} "
                f"{'updates' if 'updates' in each.summary else 'steps'} so far"
            )
        dead = each.scores.size - stats.living(each.scores).size
        if dead:
            left_out = f"{dead} of {each.scores.size} seeds have no finite score and are left out"
            found.append(f"note: {files.plain(each.label)}: {left_out}")
    names = list(dict.fromkeys(name for each in runs for name in each.config if name not in ("out", "resume", "quiet")))
    for name in names:
        values = [each.config.get(name, "-") for each in runs]
        if len({str(value) for value in values}) > 1:
            found.append(f"flag {files.plain(name)}: {', '.join(map(files.plain, values))}")
    return found


def over_tasks(runs: Sequence[Run], out: Path) -> None:
    """Prints a line per experiment over all its tasks, and draws performance profiles beside the plot."""
    from experiments.reports import aggregates

    systems: dict[str, dict[str, np.ndarray]] = {}
    for each in runs:
        scores = systems.setdefault(each.summary["experiment"], {})
        scores[each.summary["env"]] = np.concatenate([scores.get(each.summary["env"], np.zeros(0)), each.scores])
    found = {name: aggregates.aggregate(scores) for name, scores in aggregates.normalised(systems).items()}
    print("over tasks, each scaled to [0, 1] by the lowest and highest score in this comparison:")
    for name, whole in found.items():
        tasks = "1 task" if len(systems[name]) == 1 else f"{len(systems[name])} tasks"
        print(f"  {files.plain(name)} on {tasks}: IQM {whole.iqm:.3f} {stats.shown(whole.interval, '.3f')}")
    path = out.with_name(f"{out.stem}_profiles{out.suffix}")
    aggregates.draw(found, path)
    print(f"profiles: {path}")


def figures(published: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """`--published` as label -> `(env_steps[points], scores[points])`."""
    found = {}
    for text in published:
        label, _, points = text.rpartition("=")
        try:
            steps, scores = zip(*(map(float, point.split(":")) for point in points.split(",")), strict=True)
        except ValueError:
            label = ""
        if not label:
            raise ValueError(f"--published {text}: must be LABEL=STEPS:SCORE,STEPS:SCORE,... of numbers")
        found[label] = (np.array(steps), np.array(scores))
    return found
