"""Run folders that are damaged, edited or older than the code: one line, or they go on."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments import run
from experiments.run import manifests
from experiments.run.checkpoint import Checkpointer
from tests.experiments.running import call


@pytest.fixture
def copy(finished: Any, tmp_path: Path) -> Any:
    """`copy(experiment)`: a run folder to be spoiled."""

    def made(experiment: str) -> Path:
        return Path(shutil.copytree(finished(experiment).folder, tmp_path / experiment))

    return made


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "summary.json is not JSON ("),
        ("[1, 2]", "summary.json holds no JSON object"),
        ("\0" * 30, "summary.json is not JSON ("),
        (None, "cannot read summary.json (Is a folder)"),
    ],
)
def test_a_damaged_summary_is_told_in_a_line(copy: Any, content: str | None, told: str) -> None:
    folder = copy("ppo")
    (folder / "summary.json").unlink()
    assert run.load(folder).summary == {}
    if content is None:
        (folder / "summary.json").mkdir()
    else:
        (folder / "summary.json").write_text(content)
    with pytest.raises(ValueError, match="summary") as error:
        run.load(folder)
    assert str(error.value).startswith(f"{folder}: {told}") and "\n" not in str(error.value)


def test_a_log_that_is_no_file_is_told_in_a_line(copy: Any) -> None:
    folder = copy("ppo")
    (folder / "metrics.csv").unlink()
    (folder / "metrics.csv").mkdir()
    with pytest.raises(ValueError, match=r"ppo: cannot read metrics\.csv \(Is a folder\)$"):
        run.load(folder)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"num_envs": 3, "devices": 2, "eval_episodes": 4}, "--num-envs 3: must be a multiple of --devices 2"),
        ({"agent.v_min": 5.0, "agent.v_max": 5.0}, "--agent.v-min 5.0: must be below --agent.v-max 5.0"),
        ({"env": "bellmax/pendulum", "env_options": []}, "--env bellmax/pendulum: dqn needs discrete actions"),
    ],
)
def test_flags_that_do_not_go_together_are_refused_by_evaluate(copy: Any, changes: dict, told: str) -> None:
    folder = copy("dqn")
    content = json.loads((folder / "config.json").read_text())
    for name, value in changes.items():
        part = content["flags"]["agent"] if name.startswith("agent.") else content["flags"]
        part[name.removeprefix("agent.")] = value
    (folder / "config.json").write_text(json.dumps(content))
    outcome = call("evaluate", folder)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(f"error: {folder / 'config.json'}: {told}"), outcome.err


def test_a_run_of_an_older_version_is_told_in_a_line_and_can_be_evaluated(copy: Any) -> None:
    """Its state has another structure under the same flags."""
    folder = copy("a2c")
    before = (folder / "config.json").read_bytes()
    meta = manifests.read(folder / "checkpoints" / "2048").meta
    shutil.rmtree(folder / "checkpoints")
    with Checkpointer(folder / "checkpoints") as checkpoints:
        checkpoints.save(2048, {"learner": np.zeros(3, np.float32), "steps": 5}, meta)
    outcome = call("a2c", "--resume", folder, "--steps", "2560")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.startswith(
        f"error: checkpoint {folder / 'checkpoints' / '2048'} is of a run with other shapes: "
    )
    assert "learner is float32[3] there, absent here; steps is int there, absent here; " in outcome.err
    assert outcome.err.endswith("; another version of bellmax or of the task made it, or its config.json was edited\n")
    assert (folder / "config.json").read_bytes() == before
    assert call("evaluate", folder, "--episodes", "4").code == 0


def test_policies_of_an_older_version_are_told_in_a_line(copy: Any) -> None:
    folder = copy("a2c")
    shutil.rmtree(folder / "policies")
    with Checkpointer(folder / "policies") as policies:
        policies.save(2048, {"best": np.zeros((2, 3)), "last": np.zeros((2, 3))}, {})
    outcome = call("evaluate", folder)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert outcome.err.endswith("; another version of bellmax or of the task made it, or its config.json was edited\n")


def test_a_flag_of_an_older_version_is_told_in_a_line(copy: Any) -> None:
    folder = copy("a2c")
    content = json.loads((folder / "config.json").read_text())
    content["flags"]["agent"]["unrol"] = content["flags"]["agent"].pop("unroll")
    (folder / "config.json").write_text(json.dumps(content))
    for words in (["a2c", "--resume", folder], ["evaluate", folder]):
        outcome = call(*words)
        assert outcome.code == 2 and outcome.err.count("\n") == 1
        assert "--agent.unrol 8: there is no such flag; closest: unroll" in outcome.err
