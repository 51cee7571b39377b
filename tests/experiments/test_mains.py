"""Every experiment runs from its command with small flags, and leaves a summary; most of the time is compilation."""

import json

import numpy as np
import pytest

from experiments.list import systems
from experiments.reports import sinks
from tests.experiments.running import FLAGS, call
from tests.experiments.words import small

ELSEWHERE = {*FLAGS, "i2a", "planning"}
"""Commands whose own tests train them."""


@pytest.mark.slow
@pytest.mark.parametrize("experiment", sorted(systems().keys() - ELSEWHERE))
def test_runs_from_its_command(experiment, tmp_path):
    words = ["--seeds", 1, "--eval-episodes", 2, "--quiet", "--out", tmp_path / "run"]
    outcome = call(experiment, *small(experiment, 4), *words)
    assert outcome.code == 0, outcome.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert summary.get("env_steps", summary.get("updates")) >= 1000
    assert np.isfinite(summary["eval_returns"]).all()
    assert (tmp_path / "run" / "curve.png").exists()
    table = sinks.read_metrics(tmp_path / "run" / "metrics.csv")
    train = table["kind"] == "train"
    own = [name for name in table if name not in sinks.COLUMNS and not name.startswith("eval_")]
    assert own
    for name in own:
        assert np.isfinite(table[name][train]).all(), name
