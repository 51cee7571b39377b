"""Records of runs in stages: a number per seed out of the summary of one stage."""

import json
from pathlib import Path
from typing import Any

import pytest

from experiments.reports.evidence import Claim, records

CLAIM: dict[str, Any] = {"system": "i2a", "title": "", "says": "", "seeds": (7, 8), "experiment": "i2a"}


def folder_of(path: Path) -> Path:
    """What a finished run of two seeds in stages leaves."""
    start = {"time": "2026-11-29T12:00:00", "git_commit": "abc", "versions": {"jax": "1"}, "device": "1 x cpu"}
    config = {"flags": {"seed": 7, "seeds": 2}, "starts": [start]}
    stage = {"env_steps": 640, "solved": [0.25, 0.5], "wall_seconds": 12.0}
    (path / "config.json").write_text(json.dumps(config))
    (path / "summary.json").write_text(json.dumps({"baseline": {**stage, "solved": [0.0, 0.0]}, "agent": stage}))
    return path


def test_a_number_per_seed_of_a_stage(tmp_path: Path) -> None:
    claim = Claim(name="x", metric="agent/solved", **CLAIM)
    record = records.of_run(folder_of(tmp_path), claim, "i2a")
    assert record.values == ((0.25,), (0.5,)) and record.steps == (640,) and record.seconds == 12


def test_a_stage_that_is_not_there_is_named(tmp_path: Path) -> None:
    claim = Claim(name="x", metric="model/solved", **CLAIM)
    with pytest.raises(ValueError, match="is no finished run with model/solved"):
        records.of_run(folder_of(tmp_path), claim, "i2a")
