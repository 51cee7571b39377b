"""The experiments of models and imagination, as they are typed."""

import json

import numpy as np
import pytest

from experiments import i2a
from experiments.parts import staged, stages
from tests.experiments.running import call, steps_saved, succeed, summary

TINY = [
    *["--steps", "1280", "--num-envs", "8", "--eval-episodes", "8", "--quiet", "--agent.hidden", "8"],
    *[
        "--agent.code",
        "4",
        "--agent.channels",
        "4",
        "--agent.encoder-channels",
        "4",
        "--agent.rollout-channels",
        "4",
        "--agent.rollout-hidden",
        "4",
    ],
    *["--agent.depth", "2", "--agent.poor", "--model-transitions", "1000", "--model-updates", "40"],
    *["--model-batch", "8", "--env-options", "time_limit=20"],
]
LEVELS = "; 0\n#####\n#@$.#\n#   #\n#####\n\n; 1\n#####\n#.$@#\n#   #\n#####\n"


@pytest.mark.slow
def test_i2a_runs_its_stages_and_takes_them_up(tmp_path):
    """Levels of a folder reach the task; stages that are done are not trained again; the model is frozen."""
    (tmp_path / "levels").mkdir()
    (tmp_path / "levels" / "000.txt").write_text(LEVELS)
    run = tmp_path / "run"
    found = succeed("i2a", *TINY, "--levels", tmp_path / "levels", "--out", run).result
    assert list(found) == ["baseline", "model", "agent"]
    assert found["model"]["transitions"] >= 1000 and found["model"]["updates"] == 40
    assert 0 < found["model"]["pixels_right"] <= 1
    assert len(found["agent"]["solved"]) == 1 and found["agent"]["env_steps"] == 1280
    flags = json.loads((run / "agent" / "config.json").read_text())["flags"]
    assert flags["env_options"] == ["time_limit=20", f"levels={tmp_path / 'levels'}"]
    assert flags["agent"]["model"] == str(run / "model") and flags["agent"]["world"] == "learned"
    before = {path: path.stat().st_mtime_ns for path in (run / "model").rglob("*")}
    again = succeed("i2a", "--resume", run).result
    assert {path: path.stat().st_mtime_ns for path in (run / "model").rglob("*")} == before
    assert again["agent"]["eval_returns"] == found["agent"]["eval_returns"]
    assert steps_saved(run / "agent")[-1] == 1280
    played = succeed("evaluate", run / "agent", "--episodes", 4).result
    assert played["experiment"] == "i2a" and np.isfinite(played["eval_iqm"])


@pytest.mark.parametrize(
    ("words", "model", "evaluations"),
    [
        ("", (200_000, 10_000), (128, 0)),
        ("--steps 200000", (200_000, 10_000), (128, 0)),
        ("--steps 2000", (2_000, 100), (16, 960)),
        ("--steps 400", (400, 20), (8, 480)),
        ("--steps 2000 --devices 3 --num-envs 3", (2_000, 100), (18, 1_080)),
        ("--steps 2000 --env bellmax/minipacman", (2_000, 100), (8, 12_000)),
        ("--steps 200000 --env bellmax/minipacman", (200_000, 10_000), (128, 0)),
        ("--steps 2000 --eval-episodes 3 --eval-every 70 --model-transitions 5 --model-updates 6", (5, 6), (3, 70)),
    ],
)
def test_i2a_with_few_steps_has_small_stages(words, model, evaluations):
    """What is not given goes by the steps; at the default's million and in documented runs it is as it always was."""
    config = staged.scaled(i2a.experiment.parse(words.split()))
    assert (config.model_transitions, config.model_updates) == model
    assert (config.eval_episodes, config.eval_every) == evaluations


def test_i2a_plays_as_many_levels_as_an_evaluation_has_episodes(tmp_path, monkeypatch):
    played = []
    monkeypatch.setattr(stages, "ended", lambda folder, episodes: played.append(episodes) or [0.5, 0.5])
    for episodes in (128, 16):
        stages.report(tmp_path, {"agent": {"env": "bellmax/sokoban"}}, episodes, quiet=True)
    assert played == [200, 16]


@pytest.mark.parametrize(
    ("experiment", "argv", "message"),
    [
        ("i2a", ["--levels", "/nowhere"], "no level in it"),
        ("i2a", ["--agent.depth", "0"], "--agent.depth 0: must be at least 1"),
        ("i2a", ["--model-updates", "-1"], "--model-updates -1: must be at least 0"),
        ("dyna", ["--agent.planning", "-1"], "--agent.planning -1: must be at least 0"),
    ],
)
def test_what_is_refused(experiment, argv, message, tmp_path):
    outcome = call(experiment, *argv, "--out", tmp_path / "run")
    assert outcome.code == 2 and message in outcome.err, outcome
    assert not (tmp_path / "run").exists()


def test_tables_from_the_command_line(tmp_path):
    table = ["--steps", "3000", "--eval-every", "3000", "--eval-episodes", "4", "--quiet", "--out", tmp_path / "table"]
    assert succeed("dyna_q", *table, "--agent.planning", "20").result["eval_returns"] == [1]


@pytest.mark.slow
def test_dyna_from_the_command_line(tmp_path):
    deep = ["--steps", "80", "--num-envs", "2", "--agent.warmup", "16", "--agent.batch-size", "4", "--quiet"]
    sizes = ["--agent.hidden", "8", "--agent.model-hidden", "8", "--agent.planning", "2", "--eval-episodes", "2"]
    succeed("dyna", *deep, *sizes, "--out", tmp_path / "deep")
    assert summary(tmp_path / "deep")["env_steps"] == 80
