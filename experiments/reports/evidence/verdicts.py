"""What a record says about its claim: one number per seed, one over the seeds, and whether it meets its gate."""

from typing import NamedTuple

import numpy as np

from experiments.reports import stats
from experiments.reports.evidence import records
from experiments.reports.evidence.claims import WHOLE, Claim, Gate
from experiments.reports.evidence.records import Record

MET, MISSED, NOT_RUN = "met", "missed", "not run"
IN_PART = "whole met; a variant not run"
"""The verdict on a claim whose whole meets its gate while some of its variants have no record."""
BEFORE = "before evidence was kept"
OLDER = "older than its code"


class Result(NamedTuple):
    """What one arm came to."""

    scores: np.ndarray
    """One number per seed, `[seeds]`; empty where only the figure is known."""
    figure: float
    """The number over the seeds, by what `aggregate` says, else the IQM; NaN if it was not run."""
    ends: stats.Interval
    """95 % bootstrap interval of the IQM; NaN where there is none."""
    verdict: str
    """"met", "missed", "not run", or empty for an arm without a gate."""
    mark: str
    """Why the figure counts less: it is from before evidence was kept, or older than its code; else empty."""


def scores(claim: Claim, record: Record) -> np.ndarray:
    """One number per seed by the claim's `figure`, `[seeds]`."""
    rows = np.array(record.values, np.float64)
    if not rows.size:
        return np.zeros(0)
    steps = np.array(record.steps)
    if rows.shape[1] == 1 or claim.figure == "value":  # a study, or one number per seed as a page had it
        never = np.isnan(rows[:, -1]) & (claim.figure == "steps_to" or bool(claim.study))  # JSON has no infinity
        return np.where(never, np.inf, rows[:, -1])
    if claim.figure == "best":
        return np.nanmax(rows[:, steps <= claim.step] if claim.step else rows, axis=1)
    if claim.figure == "at":
        return rows[:, np.flatnonzero(steps <= claim.step)[-1]]
    if claim.figure == "mean_of_last":
        return rows[:, -claim.points :].mean(axis=1)
    if claim.figure == "steps_to":
        reached = rows >= claim.level
        return np.where(reached.any(axis=1), steps[reached.argmax(axis=1)].astype(np.float64), np.inf)
    return rows[:, -1]


def over(values: np.ndarray, gate: Gate | None) -> float:
    """One number of several seeds; of "seeds", that which decides whether so many of them, or all, meet the gate."""
    if not values.size:
        return float("nan")
    kind = gate.over if gate else "iqm"
    if gate and kind in ("every", "seeds"):
        ordered = np.sort(values) if gate.at_most is not None else -np.sort(-values)
        return float(ordered[min(gate.seeds if kind == "seeds" else values.size, values.size) - 1])
    if kind == "median" or np.isinf(values).any():
        return float(np.median(values))
    return float(values.mean()) if kind == "mean" else stats.iqm(values)


def aggregate(claim: Claim, gate: Gate | None) -> Gate | None:
    """The gate whose `over` says what is made of an arm's seeds: its own, or the claim's mean or median.

    A claim that has no gate on the whole takes that of the first variant that is compared with the whole.
    """
    gates = [variant.gate for variant in claim.variants.values() if variant.gate]
    shared = claim.gate or next((each for each in gates if WHOLE in (each.times, each.minus)), None)
    return gate or (shared if shared and shared.over in ("mean", "median") else None)


def _value(claim: Claim, record: Record, gate: Gate | None) -> float:
    return record.figure if record.figure is not None else over(scores(claim, record), aggregate(claim, gate))


def results(claim: Claim, found: dict[str, Record]) -> dict[str, Result]:
    """What every arm of a claim came to."""
    whole = {}
    for arm, variant in claim.arms.items():
        record = found.get(arm)
        gate = variant.gate
        if record is None:
            whole[arm] = Result(np.zeros(0), float("nan"), (np.nan, np.nan), NOT_RUN, "")
            continue
        values = scores(claim, record)
        figure = _value(claim, record, gate)
        ends = (np.nan, np.nan)
        if record.low is not None and record.high is not None:
            ends = (record.low, record.high)
        elif np.isfinite(values).all():
            ends = stats.interval(values)
        mark = BEFORE if record.before else ""
        if not record.before and record.code != records.fingerprint(claim):
            mark = OLDER
        whole[arm] = Result(values, figure, ends, _verdict(claim, found, figure, gate), mark)
    return whole


def _verdict(claim: Claim, found: dict[str, Record], figure: float, gate: Gate | None) -> str:
    if gate is None:
        return ""
    for other in filter(None, (gate.times, gate.minus)):
        if other not in found:
            return NOT_RUN
        theirs = _value(claim, found[other], gate)
        figure = figure / theirs if other == gate.times else figure - theirs
    if np.isnan(figure):
        return MISSED
    met = figure >= gate.at_least if gate.at_least is not None else figure <= float(gate.at_most or 0.0)
    return MET if met else MISSED


def overall(found: dict[str, Result]) -> str:
    """The verdict on a claim with the marks of its records.

    It is "missed" if a gate is, else "not run" or `IN_PART` if an arm was not run.
    """
    judged = [result.verdict for result in found.values() if result.verdict]
    verdict = next((word for word in (MISSED, NOT_RUN) if word in judged), MET if judged else "no gate")
    if verdict == NOT_RUN and found[WHOLE].verdict == MET:
        verdict = IN_PART
    if found[WHOLE].verdict == NOT_RUN:
        verdict = NOT_RUN
    marks = sorted({result.mark for result in found.values() if result.mark})
    return ", ".join([verdict, *marks])
