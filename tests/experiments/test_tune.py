"""The search for hyper-parameters: trials side by side, pruned, resumed."""

import json
import shlex
import sys

import numpy as np
import pytest

from experiments import tune
from tests.experiments.running import CATCH, call, compilations

SMALL = [*CATCH, "--num-envs", "4", "--agent.hidden", "8", "--eval-episodes", "16", "--steps", "1024"]
SMALL += ["--log-every", "256", "--eval-every", "256", "--agent.unroll", "8", "--agent.no-anneal"]
WORDS = ["a2c", "--trials", "5", "--together", "2", "--search", "agent.learning-rate=1e-4..1e-1", *SMALL]


def table(folder):
    header, *lines = (folder / "trials.csv").read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    pytest.importorskip("optuna")
    folder = tmp_path_factory.mktemp("tune") / "study"
    with compilations() as compiled:
        outcome = call("tune", *WORDS, "--study", folder)
    assert outcome.code == 0, outcome
    return folder, outcome, compiled


def test_a_study_finds_the_best_of_its_trials(searched):
    folder, outcome, _ = searched
    found = table(folder)
    assert [row["trial"] for row in found] == ["0", "1", "2", "3", "4"]
    assert {row["state"] for row in found} == {"complete"} and {row["steps"] for row in found} == {"1024"}
    scores = [float(row["score"]) for row in found]
    assert outcome.result["score"] == max(scores)
    best = found[outcome.result["trial"]]
    name, value = outcome.result["flags"]
    assert name == "--agent.learning-rate" and np.isclose(float(value), float(best["learning_rate"]), rtol=1e-4)
    given = shlex.join(str(word) for word in SMALL)
    assert f"  python -m experiments.a2c {given} --agent.learning-rate {value}\n" in outcome.out
    assert len({row["learning_rate"] for row in found}) == 5
    assert json.loads((folder / "best.json").read_text()) == outcome.result


def test_all_trials_share_one_compilation(searched):
    """Initial state, chunk, evaluation, actors, and what puts a new trial in the place of one that has ended."""
    assert searched[2].count("jit(_fun)") <= 5


def test_a_trial_is_the_run_with_its_flags(searched, tmp_path):
    folder, outcome, _ = searched
    best = table(folder)[outcome.result["trial"]]
    words = [*SMALL, "--agent.learning-rate", best["learning_rate"], "--out", tmp_path / "run"]
    assert call("a2c", *words).result["eval_returns"][0] == pytest.approx(float(best["score"]), abs=0.3)


def test_a_study_is_resumed_with_more_trials(searched, tmp_path):
    import shutil

    folder = tmp_path / "study"
    shutil.copytree(searched[0], folder)
    outcome = call("tune", "--resume", folder, "--trials", "6")
    assert outcome.code == 0, outcome
    assert outcome.result["trials"] == 6
    assert table(folder)[:5] == table(searched[0])
    assert len({row["learning_rate"] for row in table(folder)}) == 6


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_resumed_study_draws_values_that_it_has_not_had(sampler, tmp_path):
    pytest.importorskip("optuna")
    from experiments.run import searches

    def asked(path, count):
        study = searches.opened(path, 3, sampler)
        trials = [study.ask() for _ in range(count)]
        values = [trial.suggest_float("x", 1e-4, 1.0, log=True) for trial in trials]
        for trial, value in zip(trials, values, strict=True):
            study.tell(trial, value)
        return values

    first, second, third = (asked(tmp_path / "study.log", 4) for _ in range(3))
    assert len({*first, *second, *third}) == 12
    assert asked(tmp_path / "other.log", 4) == first
    assert asked(tmp_path / "other.log", 4) == second  # what a study draws depends on its seed and trials alone


def test_a_study_that_was_stopped_tries_again_what_was_under_way(tmp_path, monkeypatch):
    pytest.importorskip("optuna")
    folder, seen = tmp_path / "study", []

    def stopping(study, trial, *rest):
        seen.append(dict(trial.params))
        if len(seen) == 3:
            raise KeyboardInterrupt
        return told(study, trial, *rest)

    from experiments.run import searches

    told = searches.told
    monkeypatch.setattr(searches, "told", stopping)
    assert call("tune", *WORDS, "--study", folder).code == 130
    monkeypatch.undo()
    outcome = call("tune", "--resume", folder, "--trials", "2")
    assert outcome.code == 0 and outcome.result["trials"] == 2
    again = [float(row["learning_rate"]) for row in table(folder)]
    np.testing.assert_allclose(again, [params["learning_rate"] for params in seen[:2]], rtol=1e-6)


def test_hopeless_trials_are_pruned_and_others_take_their_places(tmp_path):
    pytest.importorskip("optuna")
    words = [*WORDS, "--trials", "12", "--prune", "--sampler", "random", "--study", tmp_path / "study"]
    outcome = call("tune", *words)
    assert outcome.code == 0, outcome
    found = table(tmp_path / "study")
    assert len(found) == 12 and outcome.result["pruned"] == sum(row["state"] == "pruned" for row in found) > 0
    assert all(int(row["steps"]) < 1024 for row in found if row["state"] == "pruned")
    assert all(int(row["steps"]) == 1024 for row in found if row["state"] == "complete")


def test_without_optuna_one_line_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(tune, "find_spec", lambda name: None)
    outcome = call("tune", *WORDS, "--study", tmp_path / "study")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "error: experiments.tune: needs the package optuna, which is not installed (pip install" in outcome.err
    assert "optuna" not in sys.modules or not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["dqm"], "dqm: no such command to tune; closest: "),
        (["a2c", "--search", "agent.unroll=1..2"], "--search agent.unroll=1..2: agent.unroll cannot be changed in one"),
        (["a2c", "--search", "agent.discount=1..0"], "--search agent.discount=1..0: the upper bound must be above"),
        (["a2c", "--trials", "0"], "--trials 0: must be at least 1"),
        (["a2c", "--sweep", "agent.discount=0.9"], "--sweep: is no flag of trials"),
        (["a2c", "--env", "envpool/CartPole-v1"], "--env envpool/CartPole-v1: is around a simulator"),
        (["--resume", "nowhere"], "nowhere: cannot read tune.json (No such file or directory)"),
        (["--resume", "nowhere", "--together", "3"], ""),
    ],
)
def test_what_cannot_be_tuned_is_refused_in_a_line(words, told, tmp_path):
    pytest.importorskip("optuna")
    place = [] if "--resume" in words else ["--study", tmp_path / "study"]
    outcome = call("tune", *words, *place)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert told in outcome.err
    assert not (tmp_path / "study").exists()
