"""Normalised scores of methods that learn from sets of a task, of what the claims `offline_TASK_SET` recorded.

A score is 100 (J - J_random) / (J_expert - J_random), J the return of the last policy, as in D4RL (Fu et al.,
arXiv:2004.07219). The references of MuJoCo's tasks are D4RL's; Pendulum's are the means of 100 episodes of random play
and of the analytic expert, which `experiments.collect --references 100` measured.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

REFERENCES = {"pendulum": (-1190.4, -138.7), "hopper": (-20.27, 3234.3), "halfcheetah": (-280.18, 12135.0)}
"""The returns of random play and of an expert, by task."""
WHOLE = {"pendulum": "iql", "hopper": "bc", "halfcheetah": "bc"}
"""Which method is the one that a task's claims begin with."""
SETS = ("random", "medium", "replay", "expert")
PUBLISHED = {
    "bc": 50.4,
    "bc_best": 69.3,
    "td3_bc": 76.5,
    "cql": 78.3,
    "awac": 79.4,
    "iql": 81.6,
    "rebrac": 89.7,
    "edac": 92.9,
}
"""Averages over nine locomotion sets of D4RL of CORL's runs (Tarasov et al., NeurIPS 2023)."""
DATA = Path(__file__).resolve().parents[2] / "docs" / "results" / "data"


def returns(
    method: str, seeds: Sequence[int], task: str, sets: Sequence[str] = SETS, folder: Path = DATA
) -> np.ndarray:
    """The return of the last policy of a method in a task's claims, `[sets, seeds]`.

    Raises:
      ValueError: a claim has not been run for the method and seeds.
    """
    found, arm = [], "whole" if method == WHOLE[task] else method
    for name in sets:
        claim = f"offline_{task}_{name}"
        path = folder / f"{claim}.json"
        record = json.loads(path.read_text())["arms"].get(arm) if path.exists() else None
        if record is None or record["seeds"] != list(seeds):
            raise ValueError(f"{claim}, {arm}: is not recorded for seeds {list(seeds)}; run that claim first")
        found.append([values[-1] for values in record["values"]])
    return np.array(found, np.float64)


def normalised(
    seeds: Sequence[int], method: str, task: str = "pendulum", sets: Sequence[str] = SETS, folder: Path = DATA
) -> np.ndarray:
    """The mean over sets of the scores of a method, `[seeds]`; see `returns`."""
    low, high = REFERENCES[task]
    return np.mean(100 * (returns(method, seeds, task, sets, folder) - low) / (high - low), axis=0)


def agreement(
    seeds: Sequence[int], task: str = "pendulum", sets: Sequence[str] = SETS, folder: Path = DATA
) -> np.ndarray:
    """Spearman's correlation of the methods' scores with those of `PUBLISHED`, `[seeds]`; see `returns`."""
    here = np.stack([normalised(seeds, method, task, sets, folder) for method in PUBLISHED])
    there = np.array(list(PUBLISHED.values()))
    return np.array([np.corrcoef(ranks(column), ranks(there))[0, 1] for column in here.T])


def ranks(x: np.ndarray) -> np.ndarray:
    """Ranks from 0, equal numbers having their mean rank."""
    lower, upper = (x[None] < x[:, None]).sum(1), (x[None] <= x[:, None]).sum(1)
    return (lower + upper - 1) / 2
