"""Scores of several seeds in few numbers: interquartile mean, bootstrap intervals, probability of improvement.

The estimators of Agarwal et al. (2021), "Deep Reinforcement Learning at the Edge of the Statistical Precipice", for one
task; the tests hold them against rliable, the authors' library, which takes seconds to import and to resample.
Scores that are not finite belong to seeds that died: they are left out here, and `living` tells how many are left.
"""

import numpy as np

Interval = tuple[float, float]

REPS = 2000


def living(scores: np.ndarray) -> np.ndarray:
    """The finite ones of `scores[seeds]`, as float64."""
    scores = np.asarray(scores, np.float64).ravel()
    return scores[np.isfinite(scores)]


def _iqm(scores: np.ndarray) -> np.ndarray:
    """Over the last axis: the mean without the lowest and the highest quarter (rounded down) of the scores."""
    cut = scores.shape[-1] // 4
    return np.sort(scores, axis=-1)[..., cut : scores.shape[-1] - cut].mean(axis=-1)


def iqm(scores: np.ndarray) -> float:
    """Interquartile mean of `scores[seeds]`; NaN if no seed is living."""
    scores = living(scores)
    return float(_iqm(scores)) if scores.size else float("nan")


def interval(scores: np.ndarray, reps: int = REPS, seed: int = 0) -> Interval:
    """95 % percentile bootstrap interval of the IQM over seeds.

    Args:
      scores: `[seeds]`.
      reps: resamples.
      seed: of the resampling.

    Returns:
      `(low, high)`; NaN with fewer than two living seeds, which say nothing about the spread.
    """
    scores = living(scores)
    if scores.size < 2:
        return float("nan"), float("nan")
    picks = np.random.default_rng(seed).integers(scores.size, size=(reps, scores.size))
    low, high = np.percentile(_iqm(scores[picks]), (2.5, 97.5))
    return float(low), float(high)


def probability_of_improvement(x: np.ndarray, y: np.ndarray, reps: int = REPS, seed: int = 0) -> tuple[float, Interval]:
    """Probability that a seed of X scores higher than one of Y; ties count one half.

    Args:
      x: scores of X, `[seeds]`.
      y: scores of Y, `[seeds]`, any number of them.
      reps: resamples, of the seeds of X and of Y independently.
      seed: of the resampling.

    Returns:
      The probability, NaN where X or Y has no living seed, and its 95 % percentile bootstrap interval, NaN where one of
      them has fewer than two.
    """
    x, y = living(x), living(y)
    if not x.size or not y.size:
        return float("nan"), (float("nan"), float("nan"))
    wins = (x[:, None] > y[None, :]) + 0.5 * (x[:, None] == y[None, :])
    rng = np.random.default_rng(seed)
    # How often each seed is drawn, in place of the seeds drawn: the mean over pairs is then a bilinear form.
    counts_x, counts_y = (rng.multinomial(n, np.full(n, 1 / n), size=reps) for n in wins.shape)
    low, high = np.percentile(
        np.einsum("ri,ij,rj->r", counts_x, wins, counts_y, optimize=True) / wins.size, (2.5, 97.5)
    )
    ends = (float(low), float(high)) if min(wins.shape) > 1 else (float("nan"), float("nan"))
    return float(wins.mean()), ends


def figure(score: float) -> str:
    """A return in a table, with one decimal; "-" where there is none, as before the first evaluation."""
    return f"{score:.1f}" if np.isfinite(score) else "-"


def shown(ends: Interval, form: str = ".4g") -> str:
    """An interval in brackets, "n/a" where there is none."""
    low, high = ends
    return f"[{low:{form}}, {high:{form}}]" if np.isfinite(low) and np.isfinite(high) else "n/a"


def band(values: np.ndarray, reps: int = REPS, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """IQM and its interval at every point of a learning curve.

    Args:
      values: `[seeds, points]`, NaN where a seed has none.
      reps: resamples.
      seed: of the resampling, the same at every point.

    Returns:
      `(iqm, low, high)`, each `[points]`.
    """
    columns = np.asarray(values, np.float64).T
    ends = np.array([interval(column, reps, seed) for column in columns]).reshape(-1, 2)
    return np.array([iqm(column) for column in columns]), ends[:, 0], ends[:, 1]
