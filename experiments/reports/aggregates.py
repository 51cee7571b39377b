"""Scores over several tasks: normalised per task, in few numbers (Agarwal et al., 2021) and as performance profiles."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.reports import stats

Scores = Mapping[str, np.ndarray]
"""Task -> scores `[seeds]`."""


class Aggregate(NamedTuple):
    """A system over tasks."""

    iqm: float
    interval: stats.Interval
    profile: np.ndarray
    """The share of normalised scores above each of `LEVELS`."""


LEVELS = np.linspace(0.0, 1.0, 101)


def normalised(systems: Mapping[str, Scores]) -> dict[str, dict[str, np.ndarray]]:
    """Scores such that the lowest living one of a task over all systems is 0 and the highest 1."""
    tasks = {task for scores in systems.values() for task in scores}
    ends = {}
    for task in tasks:
        every = np.concatenate([stats.living(scores[task]) for scores in systems.values() if task in scores])
        ends[task] = (every.min(), max(every.max() - every.min(), 1e-12)) if every.size else (0.0, 1.0)
    return {
        name: {task: (stats.living(each) - ends[task][0]) / ends[task][1] for task, each in scores.items()}
        for name, scores in systems.items()
    }


def aggregate(scores: Scores, reps: int = stats.REPS, seed: int = 0) -> Aggregate:
    """IQM over tasks and seeds with a 95 % interval, by a bootstrap that draws the seeds of each task anew.

    Args:
      scores: normalised ones.
      reps: resamples.
      seed: of the resampling.
    """
    rng = np.random.default_rng(seed)
    living = [each for each in map(stats.living, scores.values()) if each.size]
    if not living:
        return Aggregate(float("nan"), (float("nan"), float("nan")), np.full(len(LEVELS), np.nan))
    every = np.concatenate(living)
    drawn = np.concatenate([each[rng.integers(each.size, size=(reps, each.size))] for each in living], axis=1)
    cut = every.size // 4
    means = np.sort(drawn, axis=1)[:, cut : every.size - cut].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    several = all(each.size > 1 for each in living)
    ends = (float(low), float(high)) if several else (float("nan"), float("nan"))
    return Aggregate(stats.iqm(every), ends, (every[:, None] > LEVELS).mean(axis=0))


def draw(found: Mapping[str, Aggregate], out: str | Path) -> None:
    """Performance profiles: for each system the share of runs above each normalised score.

    Raises:
      OSError: the plot cannot be written.
    """
    from experiments.reports import plots

    curves = {name: (LEVELS, each.profile[None]) for name, each in found.items()}
    plots.lines(curves, out, "performance profiles", "normalised score τ", "share of runs above τ")
