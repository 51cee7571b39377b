"""The flags of actors: what they make of a command, what is refused, and how such a run is resumed."""

import io
import shutil
from importlib import import_module

import numpy as np
import pytest

from experiments.reports import sinks
from experiments.run import flags
from tests.experiments.running import CATCH, assert_same_state, call, rows, steps_saved, succeed, summary
from tests.experiments.test_presets import typed

TINY = [*CATCH, "--num-envs", "4", "--agent.hidden", "8", "--eval-episodes", "8", "--quiet"]
DQN = [*TINY, "--agent.unroll", "4", "--agent.batch-size", "16", "--agent.buffer-size", "256", "--agent.warmup", "64"]
DQN += ["--agent.updates", "1"]
DPG = ["--env", "bellmax/pendulum", *TINY[len(CATCH) :], *DQN[len(TINY) :], "--actor-rows", "8"]
SHORT = ["--steps", "384", "--log-every", "64", "--eval-every", "192"]
TOLD = ("actors_alive", "actors_lost", "version_age", "waiting")


def test_a_run_with_actors_is_logged_saved_and_resumed(tmp_path):
    words = [*DQN, *SHORT, "--actors", 2, "--engine", "inline", "--order", "fixed"]
    succeed("dqn", *words, "--out", tmp_path / "run")
    table = sinks.read_metrics(tmp_path / "run" / "metrics.csv")
    train = table["kind"] == "train"
    for name in TOLD:
        assert np.isfinite(table[name][train]).all(), name
    assert (table["actors_alive"][train] == 2).all() and (table["actors_lost"][train] == 0).all()
    assert table["samples_per_insert"][train].tolist() == [1.0] * 5  # 16 transitions of 4 x 4 rows
    assert table["version_age"][train].tolist()[-1] == 1  # one round ahead, of one update
    assert summary(tmp_path / "run")["env_steps"] == 384
    shutil.copytree(tmp_path / "run", tmp_path / "again")
    for name in ("run", "again"):
        succeed("dqn", "--resume", tmp_path / name, "--steps", 512)
    assert_same_state(tmp_path / "run", tmp_path / "again")
    assert steps_saved(tmp_path / "run")[-1] == 512
    threads = succeed("dqn", *words[:-3], "threads", *words[-2:], "--out", tmp_path / "threads")
    assert threads.code == 0
    told = [[row | {"waiting": ""} for row in rows(tmp_path / name)] for name in ("run", "threads")]
    assert told[0][: len(told[1])] == told[1]


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("a3c", [*TINY, "--agent.unroll", "8"]),
        pytest.param("gorila", DQN, marks=pytest.mark.slow),
        ("ape_x", [*DQN, "--actor-rows", "8"]),
        ("ape_x_dpg", [*DPG, "--ratio", "free"]),
        pytest.param("impala", [*TINY, "--agent.unroll", "8", "--actors", "2"], marks=pytest.mark.slow),
    ],
)
def test_commands_with_actors_train(command, words, tmp_path):
    succeed(command, *words, *SHORT, "--engine", "threads", "--out", tmp_path / "run")
    table = sinks.read_metrics(tmp_path / "run" / "metrics.csv")
    train, names = table["kind"] == "train", {*TOLD, "loss", "gradient_norm", "learning_rate"}
    names |= {"dropped"} if command in ("a3c", "gorila") else {"samples_per_insert"}
    for name in names:
        assert np.isfinite(table[name][train]).all(), name
    assert np.isfinite(summary(tmp_path / "run")["eval_returns"]).all()
    assert (tmp_path / "run" / "policies").is_dir()


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        ("dqn", "--actors 0", "--actors 0: must be at least 1"),
        ("dqn", "--ahead 3", "--ahead 3: of use only with --actors"),
        ("dqn", "--actor-priorities", "--actor-priorities: of use only with --actors"),
        ("dqn", "--actors 2 --engine threads --ray auto", "--ray auto: of use only with --engine ray"),
        ("dqn", "--actors 3 --engine inline", "--num-envs 4: must be a multiple of --actors 3, which share them"),
        ("dqn", "--actors 2 --engine inline --devices 2", "--devices 2: with --actors 2 each seed is learned"),
        ("dqn", "--actors 2 --engine inline --seeds 5", "--seeds 5: with --actors 2 each needs a device of its"),
        ("dqn", "--actors 2 --engine inline --outliers 3", "--outliers 3.0: of use only with --send gradients"),
        ("dqn", "--actors 2 --engine inline --actor-rows 6", "--actor-rows 6: must be a multiple of --agent.unroll 4"),
        ("dqn", "--actors 2 --engine inline --sweep agent.discount=0.9,0.99", "--sweep agent.discount=0.9,0.99: with"),
        ("gorila", "--actor-rows 8", "--actor-rows 8: of use only with --send rows"),
        ("gorila", "--ratio free", "--ratio free: of use only with --send rows"),
        ("dqn", "--ratio free", "--ratio free: of use only with --actors"),
        ("dqn", "--actors 2 --engine inline --ratio free --order fixed", "--ratio free: not with --order fixed, in"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_together_are_refused(command, words, told, tmp_path):
    outcome = call(command, *DQN, *words.split(), "--out", tmp_path / "run")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome
    assert outcome.err.startswith(f"error: {told}")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        ("impala", "--actor-priorities", "--actor-priorities: this replay's windows are not cut from an actor's rows"),
        ("impala", "--ratio free", "--ratio free: impala cannot: it learns once from what was just played"),
        ("impala", "--actor-rows 40", "--actor-rows 40: must be a multiple of --agent.unroll 20, of an agent with"),
        ("acer", "", "--actors 2: acer cannot have any: its replay takes the rows of all environments together"),
        ("cem", "", "--actors 2: cem cannot have any: a generation ends when all candidates were heard"),
        ("ppo", "--send gradients", "--actors 2 --send gradients: ppo cannot: it learns from its samples in other"),
        ("acktr", "--send gradients", "--actors 2 --send gradients: acktr cannot: its updates take 0 gradient steps"),
        ("r2d2", "--actor-priorities --agent.stride 4 --agent.unroll 6", "--actor-priorities: 6 rows are added at a"),
    ],
)  # fmt: skip
def test_agents_and_replays_that_cannot_are_refused(command, words, told, tmp_path):
    given = ["--env", "bellmax/catch", "--num-envs", "8", "--actors", "2", "--engine", "inline", *words.split()]
    outcome = call(command, *given, "--out", tmp_path / "run")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome
    assert outcome.err.startswith(f"error: {told}")


def test_seeds_are_learned_side_by_side_and_are_those_of_single_runs(tmp_path):
    words = [*TINY, "--agent.unroll", "8", *SHORT, "--actors", 2, "--engine", "inline", "--order", "fixed"]
    succeed("impala", *words, "--seeds", 2, "--seed", 3, "--out", tmp_path / "both")
    succeed("impala", *words, "--seed", 4, "--out", tmp_path / "one")
    both, one = ([row for row in rows(tmp_path / name) if row["seed"] == "4"] for name in ("both", "one"))
    strip = lambda found: [{k: v for k, v in row.items() if k != "waiting"} for row in found]  # noqa: E731
    assert strip(both) == strip(one) and one


def test_actors_are_shown_beside_the_bar_and_in_a_group_of_their_own():
    file = io.StringIO()
    progress = sinks.Progress(100, 1, file=file)
    names = ("actors_alive", "actors_lost", "version_age", "samples_per_insert")
    progress.log("train", 100, 1.0, {name: np.full(1, 2.0) for name in names})
    assert "actors 2, lost 2, version age 2, samples per insert 2" in file.getvalue()
    assert sinks.tags.tag("train", "actors_alive") == "actors/alive"


def test_ray_that_is_not_there_is_told(monkeypatch, tmp_path):
    monkeypatch.setattr("experiments.run.actors.find_spec", lambda name: None)
    outcome = call("dqn", *DQN, "--actors", 2, "--out", tmp_path / "run")
    assert outcome.code == 2
    assert outcome.err == (
        "error: --actors 2 --engine ray: needs the package ray, which is not installed (pip install 'ray==2.60.0'); "
        "--engine threads does without\n"
    )


@pytest.mark.parametrize("name", ["a3c", "ape_x", "ape_x_dpg", "gorila"])
def test_presets_can_be_typed(name):
    experiment = import_module(f"experiments.{name}").experiment
    for preset, values in experiment.presets.items():
        config = flags.preset(experiment.flags, preset, experiment.presets)
        assert flags.parse(experiment.flags, typed(values), "x") == config
        flags.check(config)
        assert config.num_envs % config.actors == 0


def test_what_may_change_when_a_run_is_resumed():
    assert {"engine", "ray", "patience"} <= set(flags.CHANGEABLE)
    assert not {"actors", "ahead", "order", "send", "actor_rows", "actor_priorities"} & set(flags.CHANGEABLE)
