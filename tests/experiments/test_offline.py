"""Runs that learn from recorded episodes: how they are counted, resumed, swept, judged and refused."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

import envs
import replay
from experiments import bc, collect, run
from experiments.reports import sinks
from tests.experiments.running import assert_same_state, call, rows, succeed
from tests.sets import drawn, path_of

TINY = ["--agent.hidden", "8", "--agent.batch-size", "8", "--eval-episodes", "4", "--log-every", "10"]
TINY += ["--eval-every", "20", "--seeds", "2"]


@pytest.fixture(scope="module")
def catch():
    return path_of("bellmax/catch")


@pytest.fixture(scope="module")
def whole(catch, tmp_path_factory):
    """A run of 40 updates, and what it printed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    outcome = succeed("bc", "--dataset", catch, *TINY, "--updates", 40, "--out", folder)
    return folder, outcome


def test_logs_progress_and_summary_count_updates(whole):
    folder, outcome = whole
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["updates"] == 40 and summary["updates_per_second"] > 0
    assert not {"env_steps", "steps_per_second"} & summary.keys()
    assert "40 updates per seed" in outcome.out and "steps" not in outcome.out
    assert "40 of 40 updates" in outcome.err and "updates/s" in outcome.err
    header = (folder / "metrics.csv").read_text().partition("\n")[0].split(",")
    assert header[1] == "updates" and "updates_per_second" in header and "env_steps" not in header
    assert [row["env_steps"] for row in rows(folder) if row["kind"] == "eval"] == ["20", "20", "40", "40"]
    assert sinks.counted_in(folder / "metrics.csv") == "updates"


def test_the_task_is_the_dataset_s_and_the_file_is_named_in_full(whole, catch):
    stored = json.loads((whole[0] / "config.json").read_text())["flags"]
    assert stored["env"] == "bellmax/catch" and stored["dataset"] == catch and "num_envs" not in stored


def test_a_resumed_run_is_the_same_bit_for_bit(whole, catch, tmp_path):
    succeed("bc", "--dataset", catch, *TINY, "--updates", 20, "--out", tmp_path / "run", "--quiet")
    succeed("bc", "--resume", tmp_path / "run", "--updates", 40, "--quiet")
    assert_same_state(whole[0], tmp_path / "run")
    assert rows(whole[0]) == rows(tmp_path / "run")
    outcome = call("bc", "--resume", tmp_path / "run", "--updates", 20)
    assert outcome.code == 2 and "--updates 20: the run to resume has 40" in outcome.err


def test_a_checkpoint_does_not_hold_the_dataset(whole, tmp_path):
    """A dataset a hundred times as long changes nothing but the rows that are drawn."""
    long = drawn(envs.make("bellmax/catch").spec, 600, env="bellmax/catch")
    replay.save(long, tmp_path / "long.npz")
    succeed("bc", "--dataset", tmp_path / "long.npz", *TINY, "--updates", 20, "--out", tmp_path / "run", "--quiet")
    size = lambda folder: sum(x.stat().st_size for x in (folder / "checkpoints").rglob("*") if x.is_file())  # noqa: E731
    assert size(tmp_path / "run") < 1.5 * size(whole[0])


def test_a_sweep_is_the_runs_of_its_points(catch, whole, tmp_path):
    swept = ["--sweep", "agent.learning-rate=1e-3,1e-2", "agent.top=0.5,1"]
    succeed("bc", "--dataset", catch, *TINY, "--updates", 40, *swept, "--out", tmp_path / "run", "--quiet")
    found = rows(tmp_path / "run" / "learning-rate=0.001,top=1")
    losses = [[float(row["loss"]) for row in each if row["loss"]] for each in (found, rows(whole[0]))]
    np.testing.assert_allclose(*losses, rtol=1e-4)
    other = rows(tmp_path / "run" / "learning-rate=0.001,top=0.5")
    assert [row["loss"] for row in other] != [row["loss"] for row in found]


def test_a_run_is_evaluated_compared_and_loaded_without_its_dataset(catch, tmp_path):
    copy = tmp_path / "copy.npz"
    shutil.copy(catch, copy)
    trained = bc.experiment.train(
        dataset=str(copy), updates=20, eval_episodes=4, agent={"hidden": (8,), "batch_size": 8}, out=str(tmp_path / "a")
    )
    copy.unlink()
    assert trained.summary["updates"] == 20 and trained.metrics["loss"][0][-1] == 20
    loaded = run.load(tmp_path / "a")
    assert loaded.policy().episode().timestep.reward.shape == (10,)
    printed = succeed("evaluate", tmp_path / "a", "--episodes", 4).out
    assert "bc on bellmax/catch, best policy of 20 updates" in printed
    compared = succeed("compare", tmp_path / "a", "--out", tmp_path / "c.png").out
    assert "steps" not in compared


def test_statistics_are_kept_with_the_policy(whole, catch):
    known = replay.dataset.facts(replay.load(catch))
    from experiments.run import policies

    actors = policies.saved(whole[0], "last").actors
    np.testing.assert_array_equal(actors.mean, np.stack([known.mean] * 2))
    np.testing.assert_array_equal(actors.std, np.stack([known.std] * 2))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--dataset: needs the episodes to learn from: a file of experiments.collect, or minari/ID"),
        (["--dataset", "none.npz"], "--dataset none.npz: there is no such file"),
        (
            ["--dataset", "{catch}", "--env", "bellmax/pendulum"],
            "observation is float32[10,5]; must be as in bellmax/pendulum",
        ),
        (
            ["--dataset", "{catch}", "--agent.objective", "squared"],
            "--env bellmax/catch: --agent.objective squared needs a",
        ),
        (["--dataset", "{unnamed}"], "--env: {unnamed} does not name the task of its episodes"),
        (["--dataset", "{cut}"], "--dataset {cut}: is no .npz, or was cut off"),
        (["--dataset", "{nan}"], "--dataset {nan}: episode 0, row 2 of it: reward is not finite"),
        (["--dataset", "{catch}", "--updates", "0"], "--updates 0: must be at least 1"),
    ],
)
def test_bad_input_is_one_line_and_leaves_no_folder(words, told, catch, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = drawn(envs.make("bellmax/catch").spec)
    replay.save(data, tmp_path / "unnamed.npz")
    whole = (tmp_path / "unnamed.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    with np.load(catch) as archive:
        content = {name: archive[name] for name in archive.files}
    content["reward"][2] = np.nan
    np.savez(tmp_path / "nan.npz", **content)
    names = {"catch": catch, **{name: str(tmp_path / f"{name}.npz") for name in ("unnamed", "cut", "nan")}}
    outcome = call("bc", *(word.format(**names) for word in words), *TINY, "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and outcome.err.startswith("error: ")
    assert told.format(**names) in outcome.err, outcome.err
    assert not (tmp_path / "run").exists()


ONLINE = ["--env", "bellmax/catch", "--num-envs", "2", "--agent.hidden", "8", "--agent.warmup", "20"]
ONLINE += ["--agent.batch-size", "8", "--agent.buffer-size", "200", "--eval-episodes", "2", "--agent.updates", "1"]


def test_a_run_that_acts_learns_from_data_beside_and_resumes(tmp_path):
    data = ["--data", path_of("bellmax/catch"), "--log-every", "40", "--eval-every", "40", "--quiet"]
    data += ["--schedule-steps", "120"]
    for name, steps in (("whole", 120), ("part", 80)):
        succeed("dqn", *ONLINE, *data, "--steps", steps, "--out", tmp_path / name)
    succeed("dqn", "--resume", tmp_path / "part", "--steps", 120, "--quiet")
    assert_same_state(tmp_path / "whole", tmp_path / "part")


def test_a_run_begins_with_the_agents_of_another(whole, catch, tmp_path):
    words = ["--dataset", catch, *TINY, "--start-from", whole[0], "--quiet"]
    succeed("bc", *words, "--updates", 20, "--out", tmp_path / "on")
    losses = lambda folder: [float(row["loss"]) for row in rows(folder) if row["loss"]]  # noqa: E731
    assert losses(tmp_path / "on")[0] < losses(whole[0])[0]
    assert losses(tmp_path / "on")[:2] != losses(whole[0])[:2]
    outcome = call("bc", *words, "--agent.hidden", "4", "--out", tmp_path / "other")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "its agent is another: inner/params/head/Dense_0/kernel is float32[8,3] there and float32[4,3] here" in (
        outcome.err
    )
    outcome = call("bc", *words, "--seeds", "3", "--out", tmp_path / "other")
    assert outcome.code == 2 and "it has 2 seeds, and this run 3; must be 1 or as many" in outcome.err
    assert not (tmp_path / "other").exists()


def test_schedules_begin_anew_where_a_run_begins_with_the_agents_of_another(tmp_path):
    words = ["--dataset", path_of("bellmax/pendulum"), *TINY, "--updates", 40, "--quiet"]
    succeed("iql", *words, "--out", tmp_path / "before")
    succeed("iql", *words, "--start-from", tmp_path / "before", "--online", "--out", tmp_path / "on")
    rates = {
        name: [float(row["policy_learning_rate"]) for row in rows(tmp_path / name) if row["policy_learning_rate"]]
        for name in ("before", "on")
    }
    assert rates["on"] == rates["before"] and rates["on"][0] > 0.9 * 3e-4 and rates["on"][-1] < 0.1 * rates["on"][0]


def test_the_best_of_the_data_alone_are_not_drawn_beside_what_is_played(catch, tmp_path):
    words = ["--dataset", catch, *TINY, "--online", "--updates", 20, "--out", tmp_path / "run"]
    for more in (["--agent.top", "0.5"], ["--sweep", "agent.top=0.5,1"]):
        outcome = call("bc", *words, *more)
        assert outcome.code == 2 and outcome.err.count("\n") == 1
        assert "--agent.top: with --online rows are drawn from all of the data alike; must be 1" in outcome.err
    assert not (tmp_path / "run").exists()


def test_what_was_learned_offline_goes_on_online(whole, catch, tmp_path):
    words = ["--dataset", catch, *TINY, "--start-from", whole[0], "--online", "--online-envs", 3, "--quiet"]
    for name, updates in (("whole", 60), ("part", 40)):
        succeed("bc", *words, "--updates", updates, "--out", tmp_path / name)
    succeed("bc", "--resume", tmp_path / "part", "--updates", 60, "--quiet")
    assert_same_state(tmp_path / "whole", tmp_path / "part")
    played = [float(row["episodes"]) for row in rows(tmp_path / "whole") if row["episodes"]]
    assert sum(played) / 2 == 3 * (60 + 2) // 10  # of ten rows each; two were played before the first update


def test_calibrated_values_go_on_online_where_episodes_are_under_way(tmp_path):
    words = ["--dataset", path_of("bellmax/pendulum"), *TINY, "--agent.calibrated", "--agent.samples", 2, "--quiet"]
    succeed("cql", *words, "--updates", 20, "--out", tmp_path / "before")
    on = ["--start-from", tmp_path / "before", "--online", "--online-envs", 2]
    for name, updates in (("whole", 40), ("part", 20)):
        succeed("cql", *words, *on, "--updates", updates, "--out", tmp_path / name)
    succeed("cql", "--resume", tmp_path / "part", "--updates", 40, "--quiet")
    assert_same_state(tmp_path / "whole", tmp_path / "part")
    told = [float(row["penalty"]) for row in rows(tmp_path / "whole") if row["penalty"]]
    assert told and np.isfinite(told).all()


def test_data_beside_needs_a_replay_that_draws_uniformly(tmp_path):
    data = ["--data", path_of("bellmax/catch"), "--env", "bellmax/catch", "--out", tmp_path / "run"]
    outcome = call("a2c", *data)
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert "a replay that draws uniformly is needed beside it, and this run has none" in outcome.err
    outcome = call("sac", "--data", path_of("bellmax/catch"), "--out", tmp_path / "run")
    assert outcome.code == 2 and "observation is float32[10,5]; must be as in bellmax/pendulum" in outcome.err
    assert not (tmp_path / "run").exists()


def test_half_of_a_batch_is_the_data_s():
    spec = envs.make("bellmax/catch").spec
    own = drawn(spec, seed=1)
    kept = jax.tree.map(lambda x: x[:, None], own.rows)
    buffer = replay.with_data(replay.mapped(replay.uniform(60, 12, 2), replay.n_step(2, 0.9)), 0.25)
    state = buffer.add(buffer.init(jax.tree.map(lambda x: x[0], kept)), kept)
    other = jax.tree.map(np.asarray, replay.arrays(drawn(spec, seed=2)))
    sample = jax.jit(buffer.sample)(state._replace(data=other), jax.random.key(0))
    assert sample.steps.timestep.reward.shape == (2, 12)
    among = lambda rows, x: any(np.array_equal(x, row) for row in rows)  # noqa: E731
    for n in range(12):
        drawn_from = (own if n < 9 else drawn(spec, seed=2)).rows.timestep.observation
        assert among(drawn_from, np.asarray(sample.steps.timestep.observation[0, n])), n


def test_flags_of_runs_that_act_are_as_before():
    fields = [field.name for field in dataclasses.fields(run.Common)]
    assert fields[:10] == [
        *["preset", "env", "env_options", "eval_env_options", "seeds", "seed", "steps", "schedule_steps"],
        *["reschedule", "num_envs"],
    ]
    assert "num_envs" not in {field.name for field in dataclasses.fields(run.Offline)} and collect
