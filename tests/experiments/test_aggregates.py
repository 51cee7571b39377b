"""Scores over several tasks, against rliable and by hand; and runs that compare could not read before."""

import json
import shutil

import numpy as np
import pytest

from experiments.reports import aggregates, stats
from tests.experiments.running import FLAGS, call, succeed


def test_scores_are_scaled_by_the_lowest_and_highest_of_a_task():
    systems = {"a": {"x": np.array([0.0, 5.0])}, "b": {"x": np.array([10.0, np.nan]), "y": np.array([3.0, 3.0])}}
    found = aggregates.normalised(systems)
    np.testing.assert_allclose(found["a"]["x"], [0.0, 0.5])
    np.testing.assert_allclose(found["b"]["x"], [1.0])  # the seed that died is left out
    np.testing.assert_allclose(found["b"]["y"], [0.0, 0.0])  # all alike


def test_the_aggregate_is_rliable_s():
    rliable = pytest.importorskip("rliable.library")
    metrics = pytest.importorskip("rliable.metrics")
    rng = np.random.default_rng(0)
    scores = rng.uniform(size=(12, 3))  # [seeds, tasks]
    found = aggregates.aggregate({str(i): scores[:, i] for i in range(3)}, reps=4000)
    assert found.iqm == pytest.approx(metrics.aggregate_iqm(scores))
    _, ends = rliable.get_interval_estimates({"a": scores}, lambda x: np.array([metrics.aggregate_iqm(x)]), reps=4000)
    np.testing.assert_allclose(found.interval, ends["a"][:, 0], atol=0.02)
    profile = rliable.create_performance_profile({"a": scores}, aggregates.LEVELS, reps=10)[0]["a"]
    np.testing.assert_allclose(found.profile, profile)


def test_one_seed_has_no_interval():
    assert np.isnan(stats.interval(np.array([3.0]))).all()
    assert np.isnan(stats.probability_of_improvement(np.array([3.0]), np.array([1.0, 2.0]))[1]).all()
    assert stats.probability_of_improvement(np.array([3.0]), np.array([1.0, 2.0]))[0] == 1
    assert stats.shown((float("nan"), float("nan"))) == "n/a"
    assert stats.shown((1.0, 2.5)) == "[1, 2.5]"
    assert np.isnan(aggregates.aggregate({"x": np.array([1.0])}).interval).all()


def test_sweeps_unfinished_runs_and_several_tasks_are_compared(finished, tmp_path):
    words = [*FLAGS["a2c"], "--quiet", "--sweep", "agent.learning-rate=1e-2,1e-3", "--out", tmp_path / "sweep"]
    succeed("a2c", *words)
    shutil.copytree(finished("a2c").folder, tmp_path / "unfinished")
    (tmp_path / "unfinished" / "summary.json").unlink()
    other = tmp_path / "other"
    shutil.copytree(finished("ppo").folder, other)
    summary = json.loads((other / "summary.json").read_text())
    (other / "summary.json").write_text(json.dumps(summary | {"env": "bellmax/another"}))
    outcome = succeed("compare", tmp_path / "sweep", tmp_path / "unfinished", other, "--out", tmp_path / "c.png")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[1:5]] == [
        "sweep/learning-rate=0.001", "sweep/learning-rate=0.01", "unfinished", "other",
    ]  # fmt: skip
    assert "note: unfinished has not finished: 2,048 steps so far" in outcome.out
    assert "  a2c on 1 task: IQM" in outcome.out and "  ppo on 1 task: IQM" in outcome.out
    assert (tmp_path / "c_profiles.png").read_bytes().startswith(b"\x89PNG")
    assert lines[4].split()[4] == "n/a"  # of one seed


def test_a_run_without_metrics_is_a_line(tmp_path):
    (tmp_path / "config.json").write_text('{"experiment": "a2c", "flags": {"env": "bellmax/catch"}}')
    outcome = call("compare", tmp_path)
    assert outcome.code == 2 and "cannot read metrics.csv" in outcome.err and outcome.err.count("\n") == 1
