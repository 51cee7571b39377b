"""Flags that no run can have: one line, exit code 2, before anything compiles, and no folder left behind."""

import dataclasses
import json
from importlib import import_module

import numpy as np
import pytest

from experiments.run import flags, prepare
from tests.experiments.running import CATCH, FLAGS, call, compilations

A2C = ["--env", "bellmax/catch"]
BAD = {
    # the task
    "no such task": ("dqn", "--env bellmax/catcch", "unknown bellmax task 'catcch'; closest: catch"),
    "no such id of a suite": ("dqn", "--env gymnax/CartPoll-v1", "closest: CartPole-v1"),
    "no such task of envpool": ("ppo", "--env envpool/CartPoll-v1", "closest: CartPole-v1"),
    "no such task of gymnasium": ("a2c", "--env gymnasium/CartPoll-v1", "closest: CartPole-v1"),
    "no suite": ("dqn", "--env catch", "a name is suite/id, with a suite of bellmax, gymnax, envpool, gymnasium"),
    "no such suite": ("dqn", "--env belmax/catch", "closest: bellmax/catch"),
    "continuous actions": ("dqn", "--env bellmax/pendulum", "--env bellmax/pendulum: dqn needs discrete actions"),
    "option without a value": ("a2c", "--env-options rows", "'rows'; allowed: name=value"),
    "option twice": ("a2c", "--env-options rows=4 rows=5", "'rows' is given twice"),
    "no such option": ("a2c", "--env-options height=4", "bellmax/catch has no option 'height'; allowed: rows, columns"),
    "bad option": ("a2c", "--env-options rows=1", "rows must be at least 2, got 1"),
    "option of the wrong type": ("a2c", "--env-options rows=many", "rows"),
    # sizes
    "no seeds": ("dqn", "--seeds 0", "--seeds 0: must be at least 1"),
    "negative seed": ("dqn", "--seed -1", "--seed -1: must be at least 0"),
    "no steps": ("dqn", "--steps 0", "--steps 0: must be at least 1"),
    "no environments": ("dqn", "--num-envs 0", "--num-envs 0: must be at least 1"),
    "no episodes": ("ppo", "--eval-episodes 0", "--eval-episodes 0: must be at least 1"),
    "nothing kept": ("ppo", "--keep 0", "--keep 0: must be at least 1"),
    "negative interval": ("ppo", "--log-every -5", "--log-every -5: must be at least 0"),
    "less than a chunk": ("ppo", "--steps 1000", "--steps 1000: does not reach one chunk, which is 1024 steps"),
    "less than a warm-up": ("dqn", "--steps 1000", "--steps 1000: does not reach one chunk"),
    # what belongs together
    "batch larger than replay": (
        "dqn", "--agent.batch-size 9 --agent.buffer-size 8", "--agent.batch-size 9: larger than --agent.buffer-size 8",
    ),
    "warm-up shorter than a sample": ("dqn", "--agent.warmup 0 --agent.n-step 5", "--agent.warmup 0: sampling needs"),
    "zero of something": ("dqn", "--agent.updates 0", "--agent.updates 0: must be at least 1"),
    "no reward": ("sac", "--agent.reward-scale 0", "--agent.reward-scale 0.0: must be above 0"),
    "no unroll": ("a2c", "--agent.unroll 0", "--agent.unroll 0: must be at least 1"),
    "replay too small for its lanes": (
        "dqn", "--agent.buffer-size 32 --agent.batch-size 8", "--agent.buffer-size 32: holds 2 steps of each of 16",
    ),
    "memory without a layer": ("a2c", "--agent.hidden --agent.memory gru", "--agent.hidden (empty): --agent.mem"),
    "no layer size": ("a2c", "--agent.hidden 0", "--agent.hidden 0: must be at least 1"),
    "policy that never learns": ("merlin", "--agent.policy-delay 1", "--agent.policy-delay 1.0: must be in [0, 1)"),
    "policy that learned before": ("merlin", "--agent.policy-delay -0.5", "policy-delay -0.5: must be at least 0"),
    "half a card": ("merlin", "--env bellmax/card-pairs --env-options cards=6.0", "cards is 6.0; allowed: a whole num"),
    "minibatches that do not divide": ("ppo", "--agent.minibatches 3", "--agent.minibatches 3: must divide"),
    # devices
    "devices that are not there": ("a2c", "--devices 5 --num-envs 20 --eval-episodes 5", "this machine has 4 (cpu)"),
    "no devices": ("a2c", "--devices 0", "--devices 0: must be at least 1"),
    "lanes that do not divide": ("a2c", "--devices 3 --num-envs 16", "--num-envs 16: must be a multiple of"),
    "batch that does not divide": ("dqn", "--devices 2 --agent.batch-size 33", "--agent.batch-size 33: must be"),
    # sweeps
    "sweep of no flag": ("a2c", "--sweep agent.speed=1,2", "agent.speed cannot be swept in one compilation; these can"),
    "sweep of a whole number": ("dqn", "--sweep agent.batch-size=16,32", "agent.batch-size cannot be swept"),
    "sweep of a flag of the run": ("dqn", "--sweep seeds=1,2", "--sweep seeds=1,2: write agent.NAME=VALUE,VALUE"),
    "sweep without values": ("dqn", "--sweep agent.discount", "write agent.NAME=VALUE,VALUE"),
    "sweep of words": ("dqn", "--sweep agent.discount=low,high", "'low,high' is not a list of numbers"),
    "sweep of nothing": ("dqn", "--sweep agent.discount=", "'' is not a list of numbers"),
    "sweep of no number": ("dqn", "--sweep agent.discount=0.9,nan", "'0.9,nan' is not a list of numbers"),
    "sweep of a value twice": ("dqn", "--sweep agent.discount=0.9,0.90", "values must differ"),
    "sweep of a flag twice": ("dqn", "--sweep agent.discount=0.9 agent.discount=0.8", "agent.discount is given twice"),
    # what is not installed
    "wandb": ("dqn", "--wandb", "--wandb: needs the package wandb, which is not installed"),
    "wandb's project alone": ("dqn", "--wandb-project mine", "--wandb-project mine: of use only with --wandb"),
    "wandb's tags alone": ("dqn", "--wandb-tags a b", "--wandb-tags ('a', 'b'): of use only with --wandb"),
    "wandb's project of signs": ("dqn", "--wandb --wandb-project a/b", "--wandb-project 'a/b': must be a name without"),
    "wandb's long tag": ("dqn", "--wandb --wandb-tags " + 65 * "a", "must have 1 to 64 characters"),
}  # fmt: skip


def refused(experiment, *argv):
    """The line with which a command is refused."""
    with compilations() as compiled:
        outcome = call(experiment, *argv)
    assert outcome.code == 2, outcome
    assert outcome.err.startswith("error: "), outcome
    assert outcome.err.count("\n") == 1, outcome
    assert not outcome.out
    assert compiled == []
    return outcome.err.strip()


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_are_refused_before_anything_compiles(case, tmp_path):
    experiment, words, told = BAD[case]
    env = [] if "--env " in words else ["--env", "bellmax/catch"]
    assert told in refused(experiment, *env, *words.split(), "--out", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("words", "told"),
    [("--sed 3", "--sed"), ("--seeds many", "--seeds"), ("--nan perhaps", "--nan"), ("3", "3")],
)
def test_flags_that_cannot_be_read(words, told, tmp_path):
    outcome = call("dqn", *words.split(), "--out", tmp_path / "run")
    assert outcome.code == 2
    assert told in outcome.err
    assert not (tmp_path / "run").exists()


def test_out_must_be_new_or_empty(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine.txt").write_text("keep me")
    told = refused("a2c", *CATCH, "--out", tmp_path / "run")
    assert told == (
        f"error: --out {tmp_path}/run: already exists; give a new folder, or --resume {tmp_path}/run to go on with it"
    )
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["mine.txt"]


def test_out_must_be_writable(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert f"({tmp_path}/file is not a folder)" in refused("a2c", *CATCH, "--out", tmp_path / "file")
    assert f"({tmp_path}/file is not a folder)" in refused("a2c", *CATCH, "--out", tmp_path / "file" / "a" / "b")
    monkeypatch.setattr("os.access", lambda path, mode: path != tmp_path)  # the superuser may write anywhere
    told = refused("a2c", *CATCH, "--out", tmp_path / "run")
    assert told == f"error: --out {tmp_path}/run: cannot be written ({tmp_path} does not permit it)"


def test_out_that_cannot_be_made(tmp_path):
    outcome = call("a2c", *FLAGS["a2c"], "--out", tmp_path / ("x" * 300))
    assert outcome.code == 2
    assert outcome.err.endswith("cannot be written (File name too long)\n")
    assert outcome.err.count("\n") == 1


def stored(experiment, folder, **changes):
    """A run folder that was begun with its small flags."""
    from dataclasses import asdict

    given = flags.parse(import_module(f"experiments.{experiment}").Flags, FLAGS[experiment], f"x.{experiment}")
    folder.mkdir()
    content = {"experiment": experiment, "flags": asdict(given) | {"out": str(folder)} | changes}
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_resume_needs_a_run(tmp_path):
    for name, content in {"a": None, "b": "{}", "c": '{"experiment": "a2c', "d": "[]"}.items():
        folder = tmp_path / name
        folder.mkdir()
        if content is not None:
            (folder / "config.json").write_text(content)
        for words in (["--resume", folder], [f"--resume={folder}"]):
            told = refused("a2c", *words)
            assert told.startswith(f"error: {folder} is not a run folder: no readable config.json in it"), told
    assert "is not a run folder" in refused("a2c", "--resume", tmp_path / "missing")
    assert not (tmp_path / "missing").exists()


def test_resume_of_another_experiment(tmp_path):
    folder = stored("a2c", tmp_path / "run")
    told = refused("dqn", "--resume", folder)
    assert told == f"error: --resume {folder}: it is a run of a2c, not of dqn"


def test_resume_with_other_flags_names_them(tmp_path):
    folder = stored("a2c", tmp_path / "run")
    before = (folder / "config.json").read_text()
    words = ["--seeds", 5, "--agent.learning-rate", 0.5, "--agent.hidden", 8, 8, "--keep", 7]
    told = refused("a2c", "--resume", folder, *words)
    assert told == (
        f"error: --resume {folder}: the run was started with other flags: --seeds was 2, is 5, "
        "--agent.hidden was (8,), is (8, 8), --agent.learning-rate was 0.01, is 0.5"
    )
    assert (folder / "config.json").read_text() == before


def test_resume_with_fewer_steps_or_another_folder(tmp_path):
    folder = stored("a2c", tmp_path / "run")
    told = refused("a2c", "--resume", folder, "--steps", 1000)
    assert told == "error: --steps 1000: the run to resume has 2048; give as many or more"
    told = refused("a2c", "--resume", folder, "--out", tmp_path / "other")
    assert told.endswith("not together with --resume, which goes on in its own folder")
    assert not (tmp_path / "other").exists()


def test_resume_takes_the_flags_of_the_run(tmp_path):
    folder = stored("a2c", tmp_path / "run")
    kind = import_module("experiments.a2c").Flags
    argv = ["--resume", str(folder), "--steps", "4096", "--nan", "continue", "--quiet"]
    config = flags.parse(kind, argv, "python -m experiments.a2c")
    flags.check(config)
    first = flags.parse(kind, FLAGS["a2c"], "python -m experiments.a2c")
    changed = {name for name, value in flags.flat(config).items() if value != flags.flat(first)[name]}
    assert changed == {"steps", "schedule_steps", "nan", "quiet", "resume"}
    assert (config.resume, config.out, config.steps) == (str(folder), "", 4096)


def test_another_task_is_not_given_the_options_of_the_default_one():
    kind = import_module("experiments.maesn").Flags
    assert flags.parse(kind, [], "x").env_options and flags.parse(kind, [], "x").eval_env_options
    other = flags.parse(kind, ["--env", "bellmax/grid", "--env-options", "size=4"], "x")
    assert (other.env_options, other.eval_env_options) == (("size=4",), ())
    assert flags.parse(kind, ["--env", "bellmax/point-goals"], "x") == flags.parse(kind, [], "x")


def test_grid():
    kind = import_module("experiments.dqn").Flags
    argv = ["--sweep", "agent.learning-rate=1e-3,3e-4", "agent.discount=0.9,0.99,1"]
    points = flags.grid(flags.parse(kind, argv, "x"))
    assert len(points) == 6
    assert points[0] == {"learning_rate": 1e-3, "discount": 0.9}
    assert points[-1] == {"learning_rate": 3e-4, "discount": 1.0}
    assert flags.grid(flags.parse(kind, [], "x")) == [{}]


def test_intervals_are_rounded_to_chunks():
    from experiments.drivers.contract import Schedule
    from experiments.run import plans

    kind = import_module("experiments.dqn").Flags
    parts = type("Parts", (), {"schedule": Schedule(4, 1, 2), "replay": type("R", (), {"minimum": 2})})
    argv = ["--num-envs", "4", "--steps", "10000", "--log-every", "100", "--eval-every", "1000"]
    config, plan = plans.planned(flags.parse(kind, argv, "x"), parts)
    assert plan == plans.Plan(warmup_steps=32, chunk_steps=96, iterations=6, chunks=104, eval_every=10, save_every=10)
    assert plan.env_steps(plan.chunks) == 32 + 104 * 96 == 10016
    assert (config.log_every, config.eval_every) == (96, 960)
    again, same = plans.planned(config, parts)
    assert (again, same) == (config, plan)
    assert all(plan.chunks_at(plan.env_steps(n)) == n for n in range(plan.chunks))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--episodes 0", "--episodes 0: must be at least 1"),
        ("--seed -1", "--seed -1: must be at least 0"),
        ("--video film.avi", "--video film.avi: must end in .mp4 or .gif"),
    ],
)
def test_evaluate_refuses_bad_flags(words, told, tmp_path):
    assert told in refused("evaluate", stored("a2c", tmp_path / "run"), *words.split())


def test_evaluate_needs_policies(tmp_path):
    assert "is not a run folder" in refused("evaluate", tmp_path / "missing")
    folder = stored("a2c", tmp_path / "sweep", sweep=["agent.discount=0.9,0.8"])
    for name in ("discount=0.9", "discount=0.8"):
        (folder / name).mkdir()
        (folder / name / "config.json").write_text("{}")
    told = refused("evaluate", folder)
    assert told.endswith("is a sweep; give the folder of one of its points: discount=0.8, discount=0.9")
    (folder / "config.json").write_text(json.dumps({"experiment": "alchemy", "flags": {}}))
    assert refused("evaluate", folder).endswith("is a run of experiments.alchemy, which is not here")


def test_compare_refuses_what_is_no_run(tmp_path):
    assert "no such run folder" in refused("compare", tmp_path / "missing")
    assert "no run folders given" in refused("compare")


def test_scale_shares_out():
    from experiments.run.plans import Size

    assert Size(4, 2, 100).per_device(32, "agent.batch_size") == 16
    with pytest.raises(ValueError, match=r"--agent.batch-size 33: must be a positive multiple of --devices 2"):
        Size(4, 2, 100).per_device(33, "agent.batch_size")


def test_seeds_of_a_sweep():
    from experiments.run import prepare

    config = import_module("experiments.dqn").Flags(seeds=3, seed=5)
    np.testing.assert_array_equal(prepare.run_seeds(config, [{}, {}]), [5, 6, 7, 5, 6, 7])


def test_schedules_of_an_extended_run_keep_their_end_unless_told(tmp_path):
    kind = import_module("experiments.dqn").Flags
    write(tmp_path, kind(steps=8_000))
    extend = lambda *words: flags.parse(kind, ["--resume", str(tmp_path), *words], "x.dqn")  # noqa: E731
    size = lambda config: prepare.size_of(config).steps  # noqa: E731
    assert size(extend()) == 8_000
    assert size(extend("--steps", "80000")) == 8_000
    assert size(extend("--steps", "80000", "--reschedule")) == 80_000
    write(tmp_path, extend("--steps", "80000"))
    assert size(extend("--steps", "90000")) == 8_000  # the end that it had at first
    write(tmp_path, extend("--steps", "80000", "--reschedule"))
    assert not extend().reschedule
    assert size(extend("--steps", "90000")) == 80_000


def test_python_resumes_with_the_flags_of_the_run(tmp_path):
    experiment = import_module("experiments.dqn").experiment
    write(tmp_path, experiment.flags(steps=8_000, seeds=3))
    config = experiment.configured(resume=str(tmp_path), steps=9_000)
    assert (config.seeds, config.steps, config.schedule_steps) == (3, 9_000, 8_000)
    with pytest.raises(ValueError, match="--seeds was 3, is 2"):
        experiment.configured(resume=str(tmp_path), seeds=2)


def write(folder, config):
    content = {"experiment": "dqn", "flags": dataclasses.asdict(config)}
    (folder / "config.json").write_text(json.dumps(content))
