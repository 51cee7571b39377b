"""Normalised scores of methods that learn from sets of Pendulum, of what the claims `offline_pendulum_*` recorded.

A score is 100 (J - J_random) / (J_expert - J_random), J the return of the last policy, as in D4RL (Fu et al.,
arXiv:2004.07219). The references are the means of 100 episodes of random play and of the analytic expert, which
`experiments.collect --references 100` measured.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

RANDOM, EXPERT = -1190.4, -138.7
SETS = ("random", "medium", "replay", "expert")
PUBLISHED = {
    "bc": 50.4,
    "bc_best": 69.3,
    "td3_bc": 76.5,
    "cql": 78.3,
    "awac": 79.4,
    "whole": 81.6,
    "rebrac": 89.7,
    "edac": 92.9,
}
"""Averages over nine locomotion sets of D4RL of CORL's runs (Tarasov et al., NeurIPS 2023); `whole` is IQL."""
DATA = Path(__file__).resolve().parents[2] / "docs" / "results" / "data"


def returns(arm: str, seeds: Sequence[int], sets: Sequence[str] = SETS, folder: Path = DATA) -> np.ndarray:
    """The return of the last policy of an arm of the claims, `[sets, seeds]`.

    Raises:
      ValueError: a claim has not been run for the arm and seeds.
    """
    found = []
    for name in sets:
        claim = f"offline_pendulum_{name}"
        path = folder / f"{claim}.json"
        record = json.loads(path.read_text())["arms"].get(arm) if path.exists() else None
        if record is None or record["seeds"] != list(seeds):
            raise ValueError(f"{claim}, {arm}: is not recorded for seeds {list(seeds)}; run that claim first")
        found.append([values[-1] for values in record["values"]])
    return np.array(found, np.float64)


def normalised(seeds: Sequence[int], arm: str, sets: Sequence[str] = SETS, folder: Path = DATA) -> np.ndarray:
    """The mean over sets of the scores of an arm, `[seeds]`; see `returns`."""
    return np.mean(100 * (returns(arm, seeds, sets, folder) - RANDOM) / (EXPERT - RANDOM), axis=0)


def agreement(seeds: Sequence[int], sets: Sequence[str] = SETS, folder: Path = DATA) -> np.ndarray:
    """Spearman's correlation of the methods' scores with those of `PUBLISHED`, `[seeds]`; see `returns`."""
    here = np.stack([normalised(seeds, arm, sets, folder) for arm in PUBLISHED])
    there = np.array(list(PUBLISHED.values()))
    return np.array([np.corrcoef(ranks(column), ranks(there))[0, 1] for column in here.T])


def ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal numbers having their mean rank."""
    lower, upper = (x[None] < x[:, None]).sum(1), (x[None] <= x[:, None]).sum(1)
    return (lower + upper - 1) / 2
