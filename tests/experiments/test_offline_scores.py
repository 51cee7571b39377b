"""Scores of methods that learn from recorded episodes, of records whose scores are known."""

import json

import numpy as np
import pytest

from experiments.studies import offline_scores as study


def recorded(folder, arms, seeds=(7, 8)):
    """Records of all sets in which an arm's normalised scores are a number, and ten more for the second seed."""
    for name in study.SETS:
        found = {}
        for arm, score in arms.items():
            paid = [study.RANDOM + (study.EXPERT - study.RANDOM) * (score + 10 * i) / 100 for i in range(2)]
            found[arm] = {"seeds": list(seeds), "values": [[-5.0, each] for each in paid]}
        (folder / f"offline_pendulum_{name}.json").write_text(json.dumps({"arms": found}))


def test_scores_are_normalised_and_orders_compared(tmp_path):
    recorded(tmp_path, dict.fromkeys(study.PUBLISHED, 0.0) | {arm: 2 * x for arm, x in study.PUBLISHED.items()})
    np.testing.assert_allclose(study.normalised([7, 8], "bc", folder=tmp_path), [100.8, 110.8])
    np.testing.assert_allclose(study.agreement([7, 8], folder=tmp_path), 1.0)
    recorded(tmp_path, {arm: -x for arm, x in study.PUBLISHED.items()})
    np.testing.assert_allclose(study.agreement([7, 8], ["medium"], tmp_path), -1.0)
    np.testing.assert_array_equal(study.ranks(np.array([3.0, 1.0, 1.0, 2.0])), [3, 0.5, 0.5, 2])
    with pytest.raises(ValueError, match=r"offline_pendulum_random, bc: is not recorded for seeds \[1\]"):
        study.normalised([1], "bc", folder=tmp_path)
