"""A grid of flags, trained in one compilation."""

import json
from importlib import import_module

import numpy as np
import pytest

from experiments.run import flags
from tests.experiments.running import (
    FLAGS,
    assert_same_state,
    call,
    compilations,
    crash_after,
    rows,
    steps_saved,
    succeed,
    summary,
)

SWEEP = ["--sweep", "agent.learning-rate=1e-2,1e-3"]
POINTS = ["learning-rate=0.01", "learning-rate=0.001"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """Two points of two seeds; the first point has the flags of the small run."""
    folder = tmp_path_factory.mktemp("sweep") / "run"
    with compilations() as compiled:
        outcome = succeed("a2c", *FLAGS["a2c"], *SWEEP, "--out", folder)
    return folder, outcome, compiled


def numbers(folder, column):
    return np.array([float(row[column] or "nan") for row in rows(folder)])


def test_every_point_has_a_folder_of_its_own(swept, finished):
    folder, outcome, _ = swept
    assert {path.name for path in folder.iterdir()} == {"checkpoints", "config.json", "curve.png", "saved", *POINTS}
    for name in POINTS:
        expected = {path.name for path in finished("a2c").folder.iterdir()} - {"checkpoints"}
        assert {path.name for path in (folder / name).iterdir()} == expected
        config = json.loads((folder / name / "config.json").read_text())
        assert config["flags"]["agent"]["learning_rate"] == float(name.partition("=")[2])
        assert config["flags"]["sweep"] == []
        assert summary(folder / name)["seeds"] == 2
        assert f"a2c on bellmax/catch, {name}" in outcome.out
    assert list(outcome.result) == POINTS


def test_a_point_is_the_run_with_its_flags(swept, finished):
    folder, _, _ = swept
    whole = finished("a2c").folder
    assert [row["seed"] for row in rows(folder / POINTS[0])] == [row["seed"] for row in rows(whole)]
    for column in ("env_steps", "loss", "entropy", "value_loss", "episode_return", "eval_return"):
        np.testing.assert_allclose(numbers(folder / POINTS[0], column), numbers(whole, column), atol=2e-3)
    np.testing.assert_allclose(summary(folder / POINTS[0])["eval_returns"], summary(whole)["eval_returns"])


def test_the_points_differ(swept):
    folder, _, _ = swept
    entropies = [numbers(folder / name, "entropy") for name in POINTS]
    assert np.nanmean(entropies[0][-8:]) < np.nanmean(entropies[1][-8:]) - 0.1  # it has learnt faster
    assert summary(folder / POINTS[0])["eval_iqm"] == 1.0


def test_one_compilation_for_all_points(swept, finished, tmp_path):
    """As many programs as for one point: init, step, evaluate and three small ones."""
    _, _, compiled = swept
    with compilations() as alone:
        succeed("a2c", *FLAGS["a2c"], "--sweep", "agent.learning-rate=1e-2", "--out", tmp_path / "one")
    assert compiled.count("jit(_fun)") == alone.count("jit(_fun)") == 6
    config = json.loads((tmp_path / "one" / "config.json").read_text())
    assert config["flags"]["sweep"] == ["agent.learning-rate=1e-2"]
    assert rows(tmp_path / "one")[0]["seed"] == "3"


def test_sweeps_resume(swept, tmp_path):
    folder, _, _ = swept
    with crash_after(saves=1) as crash:
        call("a2c", *FLAGS["a2c"], *SWEEP, "--out", tmp_path / "run")
    assert steps_saved(tmp_path / "run") == [crash["steps"]]
    succeed("a2c", "--resume", tmp_path / "run")
    assert_same_state(tmp_path / "run", folder)
    for name in POINTS:
        assert rows(tmp_path / "run" / name) == rows(folder / name)


def test_points_are_evaluated_and_compared_like_runs(swept, tmp_path):
    folder, _, _ = swept
    assert succeed("evaluate", folder / POINTS[0], "--episodes", 40).result["eval_returns"] == [1.0, 1.0]
    lines = succeed("compare", *[folder / name for name in POINTS], "--out", tmp_path / "x.png").out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == POINTS
    assert "flag agent.learning_rate: 0.01, 0.001" in lines


def test_a_point_that_diverges_leaves_the_others_alone(swept, tmp_path):
    """The same program as above with another value."""
    wild = ["--sweep", "agent.learning-rate=1e-2,1e20"]
    stopped = call("a2c", *FLAGS["a2c"], *wild, "--out", tmp_path / "stop", "--quiet")
    assert stopped.code == 1
    assert " is nan at 256 steps of seed 3 at learning-rate=1e+20; no checkpoint yet; --nan continue" in stopped.err
    outcome = succeed("a2c", *FLAGS["a2c"], *wild, "--out", tmp_path / "go", "--quiet", "--nan", "continue")
    assert [line.partition(" at ")[2] for line in outcome.err.strip().splitlines()] == [
        f"256 steps of seed {seed} at learning-rate=1e+20; going on without it" for seed in (3, 4)
    ]
    good, bad = (tmp_path / "go" / name for name in (POINTS[0], "learning-rate=1e+20"))
    assert rows(good) == rows(swept[0] / POINTS[0])
    assert summary(bad)["eval_returns"] == summary(bad)["eval_returns_best"] == [None, None]
    assert (summary(bad)["eval_iqm"], summary(bad)["eval_ci95"]) == (None, [None, None])
    assert (bad / "curve.png").exists()


def test_values_reach_the_agent():
    from experiments.run import prepare

    module = import_module("experiments.a2c")
    config = flags.parse(module.Flags, [*FLAGS["a2c"], *SWEEP], "x")
    seen = []

    def build(agent, spec, scale):
        seen.append(agent)

    make = prepare.parts_maker(config, None, build)
    for point in flags.grid(config):
        make({**point, "run": 0})
    assert [agent.learning_rate for agent in seen] == [1e-2, 1e-3]
    assert {agent.hidden for agent in seen} == {(8,)}
