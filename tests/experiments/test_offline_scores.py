"""Scores of methods that learn from recorded episodes, of records whose scores are known."""

import json

import numpy as np
import pytest

from experiments.studies import offline_scores as study


def recorded(folder, task, scores, seeds=(7, 8)):
    """Records of all sets in which a method's normalised scores are a number, and ten more for the second seed."""
    low, high = study.REFERENCES[task]
    for name in study.SETS:
        found = {}
        for method, score in scores.items():
            paid = [low + (high - low) * (score + 10 * i) / 100 for i in range(2)]
            arm = "whole" if method == study.WHOLE[task] else method
            found[arm] = {"seeds": list(seeds), "values": [[-5.0, each] for each in paid]}
        (folder / f"offline_{task}_{name}.json").write_text(json.dumps({"arms": found}))


@pytest.mark.parametrize("task", study.REFERENCES)
def test_scores_are_normalised_and_orders_compared(tmp_path, task):
    recorded(tmp_path, task, {method: 2 * x for method, x in study.PUBLISHED.items()})
    np.testing.assert_allclose(study.normalised([7, 8], "bc", task, folder=tmp_path), [100.8, 110.8])
    np.testing.assert_allclose(study.normalised([7, 8], "iql", task, folder=tmp_path), [163.2, 173.2])
    np.testing.assert_allclose(study.agreement([7, 8], task, folder=tmp_path), 1.0)
    recorded(tmp_path, task, {method: -x for method, x in study.PUBLISHED.items()})
    np.testing.assert_allclose(study.agreement([7, 8], task, ["medium"], tmp_path), -1.0)
    np.testing.assert_array_equal(study.ranks(np.array([3.0, 1.0, 1.0, 2.0])), [3, 0.5, 0.5, 2])
    with pytest.raises(ValueError, match=rf"offline_{task}_random, whole: is not recorded for seeds \[1\]"):
        study.normalised([1], study.WHOLE[task], task, folder=tmp_path)
