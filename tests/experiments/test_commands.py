"""What a user types, and what it leaves behind."""

import ast
import csv
import dataclasses
import inspect
import io
import itertools
import json
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tensorboardX.proto.event_pb2 import Event

from experiments.reports import sinks
from experiments.run import flags
from experiments.run import train as training
from tests.experiments.running import FLAGS, ROOT, TIMES, call, command, rows, steps_saved, succeed, summary

experiments = pytest.mark.parametrize("experiment", FLAGS)
PNG = b"\x89PNG\r\n"
KEYS = [
    *["experiment", "env", "seeds", "env_steps", "wall_seconds", "compile_seconds", "steps_per_second"],
    *["eval_returns", "eval_returns_best", "eval_iqm", "eval_ci95"],
]


def numbers(experiment):
    """Seeds, first seed, steps, warm-up and the intervals of logs and evaluations, as in `FLAGS`."""
    given = flags.parse(import_module(f"experiments.{experiment}").Flags, FLAGS[experiment], f"x.{experiment}")
    warmup = getattr(given.agent, "warmup", 0)
    return given.seeds, given.seed, given.steps, warmup, given.log_every, given.eval_every


@experiments
def test_summary_has_exactly_these_keys(finished, experiment):
    run = finished(experiment)
    seeds, _, steps, *_ = numbers(experiment)
    content = summary(run.folder)
    assert list(content) == KEYS
    assert (content["experiment"], content["env"]) == (experiment, "bellmax/catch")
    assert (content["seeds"], content["env_steps"]) == (seeds, steps)
    for name in ("eval_returns", "eval_returns_best"):
        assert len(content[name]) == seeds
        assert all(type(x) is float and -1 <= x <= 1 for x in content[name])
    assert all(best >= last for best, last in zip(content["eval_returns_best"], content["eval_returns"], strict=True))
    low, high = content["eval_ci95"]
    assert low <= content["eval_iqm"] <= high if seeds > 1 else (low, high) == (None, None)
    # The time that the rate stands for is part of the whole, and not cut off at 0 by what compiling took.
    training = content["env_steps"] * seeds / content["steps_per_second"]
    assert 1e-4 < training < content["wall_seconds"]
    assert 0 < content["compile_seconds"] < content["wall_seconds"]
    assert list(run.outcome.result) == KEYS
    np.testing.assert_array_equal(run.outcome.result["eval_returns"], content["eval_returns"])


@experiments
def test_learns(finished, experiment):
    assert summary(finished(experiment).folder)["eval_returns_best"] == [1.0] * numbers(experiment)[0]


@experiments
def test_metrics_have_a_row_per_seed_and_log_point(finished, experiment):
    seeds, first, steps, warmup, log_every, eval_every = numbers(experiment)
    table = sinks.read_metrics(finished(experiment).folder / "metrics.csv")
    labels = [str(first + i) for i in range(seeds)]
    for kind, every in (("train", log_every), ("eval", eval_every)):
        points = {*range(warmup + every, steps + 1, every), steps}
        got = [(int(x), y) for x, y in zip(table["env_steps"], table["seed"], strict=True)]
        got = [pair for pair, k in zip(got, table["kind"], strict=True) if k == kind]
        assert got == [(point, seed) for point in sorted(points) for seed in labels]
    train, evaluation = table["kind"] == "train", table["kind"] == "eval"
    for name in ("loss", "episodes", "episode_return", "episode_length", "steps_per_second"):
        assert np.isfinite(table[name][train]).all(), name
        assert np.isnan(table[name][evaluation]).all(), name
    assert (table["episode_length"][train] == 3).all()
    assert (table["eval_length"][evaluation] == 3).all()
    assert (np.diff(table["wall_seconds"]) >= 0).all()
    last = table["eval_return"][evaluation][-seeds:]
    np.testing.assert_allclose(last, summary(finished(experiment).folder)["eval_returns"], rtol=1e-6)


@experiments
def test_metrics_tell_how_the_agent_learns(finished, experiment):
    """Each under one name in all agents; the step size is that of the schedule, and epsilon falls as it is told to."""
    table = sinks.read_metrics(finished(experiment).folder / "metrics.csv")
    train = table["kind"] == "train"
    names = ["loss", "learning_rate", "gradient_norm"]
    names += ["q_mean", "td_error", "epsilon"] if experiment == "dqn" else []
    names += [] if experiment == "dqn" else ["entropy", "approx_kl", "value_loss", "explained_variance"]
    for name in names:
        assert np.isfinite(table[name][train]).all(), name
        assert np.isnan(table[name][~train]).all(), name
    assert (table["gradient_norm"][train] > 0).all()
    if experiment == "a2c":
        np.testing.assert_allclose(table["learning_rate"][train], 1e-2, rtol=1e-5)
        np.testing.assert_allclose(table["approx_kl"][train], 0, atol=1e-6)
    if experiment == "ppo":
        assert (np.diff(table["learning_rate"][train]) < 0).all()
    if experiment == "dqn":
        assert (np.diff(table["epsilon"][train]) <= 0).all() and table["epsilon"][train][0] > 0.5
        assert table["q_mean"][train][-1] == pytest.approx(1, abs=0.3)  # every return is 1 by then


def scalars(path):
    """`(tag, step)` of all scalars in a TensorBoard file: records of length, checksum, event, checksum."""
    data, found = path.read_bytes(), []
    while data:
        size = int.from_bytes(data[:8], "little")
        event = Event.FromString(data[12 : 12 + size])
        found += [(value.tag, event.step) for value in event.summary.value]
        data = data[16 + size :]
    return found


@experiments
def test_run_folder(finished, experiment):
    folder = finished(experiment).folder
    seeds, first, steps, *_ = numbers(experiment)
    names = {
        "checkpoints",
        "config.json",
        "curve.png",
        "metrics.csv",
        "policies",
        "saved",
        "summary.json",
        "tensorboard",
    }
    assert {path.name for path in folder.iterdir()} == names
    assert (folder / "curve.png").read_bytes().startswith(PNG)
    assert steps_saved(folder)[-1] == steps
    assert len(steps_saved(folder)) <= 3
    labels = [f"seed_{first + i}" for i in range(seeds)] if seeds > 1 else []
    assert sorted(path.name for path in (folder / "tensorboard").iterdir()) == sorted(["mean", *labels])
    events = sorted((folder / "tensorboard").glob("*/*"))
    assert [path.parent.name for path in events] == sorted(["mean", *labels])
    for path in events:
        found = scalars(path)
        assert {("evaluation/return", steps), ("losses/loss", steps), ("episode/return", steps)} <= set(found)
    config = json.loads((folder / "config.json").read_text())
    assert list(config) == ["experiment", "file", "flags", "starts"]
    assert config["file"] is None
    assert [list(start) for start in config["starts"]] == [["time", "git_commit", "versions", "device"]]
    assert config["experiment"] == experiment
    assert config["flags"]["env_options"] == ["rows=4", "columns=3"]
    assert config["flags"]["agent"]["hidden"] == [8]
    assert {"python", "bellmax", "jax", "numpy"} <= config["starts"][0]["versions"].keys()
    assert config["starts"][0]["device"] == "4 x cpu"
    read = flags.load(import_module(f"experiments.{experiment}").Flags, folder)
    assert read == flags.rebuild(type(read), config["flags"])


@experiments
def test_shows_progress_and_ends_with_a_table(finished, experiment):
    run, (seeds, first, steps, *_) = finished(experiment), numbers(experiment)
    *_, last = run.outcome.err.strip().splitlines()
    assert last.startswith(f"100%, {steps:,} of {steps:,} steps, ")
    assert "steps/s, return " in last
    assert ", eval return " in last
    assert last.endswith("00:00 left")
    lines = run.outcome.out.strip().splitlines()
    assert lines[0] == f"run folder: {run.folder}"
    lines = lines[lines.index("compiling") + 2 :]
    assert lines[0] == f"{experiment} on bellmax/catch, {experiment}"
    assert [line.split()[0] for line in lines[2 : 2 + seeds]] == [str(first + i) for i in range(seeds)]
    assert [line.split()[1] for line in lines[2 : 2 + seeds]] == ["1.0"] * seeds
    assert lines[2 + seeds].split()[0] == "IQM"
    assert lines[-1] == f"run folder: {run.folder}"


def test_a_table_before_the_first_evaluation_has_no_numbers():
    """Best returns begin at -inf, and the last are not known."""
    none = np.full(2, np.nan)
    content = {
        **{"experiment": "dqn", "env": "gymnax/CartPole-v1", "env_steps": 100, "steps_per_second": 9.0},
        **{"wall_seconds": 1.0, "compile_seconds": 1.0, "eval_iqm": np.nan, "eval_ci95": (np.nan, np.nan)},
        **{"eval_returns": none, "eval_returns_best": np.full(2, -np.inf)},
    }
    shown = training.table([Path("run")], [content], 3)
    assert [line.split() for line in shown.splitlines()[3:6]] == [["3", "-", "-"], ["4", "-", "-"], ["IQM", "-", "-"]]
    assert "inf" not in shown and "nan" not in shown and "no policy was evaluated yet" in shown
    atari = training.table([Path("run")], [content | {"env": "envpool/Pong-v5"}], 3)
    assert "inf" not in atari and "nan" not in atari


def test_a_long_run_says_once_how_long_it_takes(finished, tmp_path, monkeypatch):
    assert "to go at" not in finished("a2c").outcome.err
    monkeypatch.setattr(training, "LONG", 0.0)
    err = succeed("a2c", *FLAGS["a2c"], "--out", tmp_path / "run").err
    told = [line for line in err.splitlines() if "to go" in line]
    assert len(told) == 1
    assert re.fullmatch(
        r"about \d+ minutes to go at [\d,]+ steps/s of all seeds together, evaluations not counted; "
        r"a smaller --steps than 2,048 makes it shorter",
        told[0],
    )


def test_how_long_a_run_takes_is_that_of_the_chunks_that_are_left():
    plan = SimpleNamespace(chunk_steps=1000)
    prepared = SimpleNamespace(
        plan=plan, lay=SimpleNamespace(runs=3), config=SimpleNamespace(steps=10_000_000, counted="steps")
    )
    for chunks, seconds, told in (
        (1800, 1.0, None),
        (1801, 1.0, "about 30 minutes to go at 3,000 steps/s of all "),
        (9000, 2.0, "about 5.0 hours to go at 1,500 steps/s of all "),
    ):
        for quiet in (False, True):
            err = io.StringIO()
            training.foretell(prepared, chunks, seconds, sinks.Progress(10**7, 3, quiet=quiet, file=err))
            assert err.getvalue().startswith(told) if told and not quiet else err.getvalue() == ""


def test_quiet_is_quiet(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "LONG", 0.0)
    outcome = succeed("ppo", *FLAGS["ppo"], "--quiet", "--out", tmp_path / "run")
    assert (outcome.out, outcome.err) == ("", "")
    assert summary(tmp_path / "run")["eval_returns"] == outcome.result["eval_returns"].tolist()


def test_equal_flags_give_equal_runs(finished, tmp_path):
    succeed("a2c", *FLAGS["a2c"], "--out", tmp_path / "again")
    assert rows(tmp_path / "again") == rows(finished("a2c").folder)
    a, b = summary(tmp_path / "again"), summary(finished("a2c").folder)
    assert {k: v for k, v in a.items() if k not in TIMES} == {k: v for k, v in b.items() if k not in TIMES}


def test_out_is_made_with_its_parents_or_by_default_under_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    succeed("ppo", *FLAGS["ppo"], "--out", "empty")
    assert (tmp_path / "empty" / "summary.json").exists()
    outcome = succeed("ppo", *FLAGS["ppo"])
    (made,) = (tmp_path / "runs").iterdir()
    assert made.name.startswith("ppo-bellmax-catch-")
    assert outcome.out.rstrip().endswith(f"run folder: runs/{made.name}")


def test_evaluate_gives_what_training_saw(finished):
    outcome = succeed("evaluate", finished("a2c").folder, "--episodes", 40)
    assert outcome.result["eval_returns"] == [1.0, 1.0]
    assert outcome.result["eval_iqm"] == 1.0
    assert (outcome.result["policy"], outcome.result["episodes"]) == ("best", 40)
    header, first, second, iqm = outcome.out.splitlines()
    assert header.startswith("a2c on bellmax/catch, best policy of ")
    assert [first.split()[:2], second.split()[:2]] == [["3", "1.0"], ["4", "1.0"]]
    assert first.endswith(" of episodes ended before the time limit")
    assert iqm.split()[:2] == ["IQM", "1.0"]


def test_evaluate_plays_the_last_policy_on_request(finished):
    run = finished("dqn")
    outcome = succeed("evaluate", run.folder, "--which", "last", "--episodes", 40)
    assert outcome.result["policy"] == "last"
    assert outcome.result["at_steps"] == numbers("dqn")[2]
    assert outcome.result["eval_returns"] == [1.0]


def test_evaluate_explores_on_request(finished):
    """After so few steps the best actions always catch the ball, and those that the policy draws often miss it."""
    greedy, sampled = (
        succeed("evaluate", finished("a2c").folder, "--episodes", 40, *words).result["eval_returns"]
        for words in ([], ["--sampled"])
    )
    assert greedy == [1.0, 1.0]
    assert max(sampled) < 0.8, sampled


def test_evaluate_discounts_on_request(finished):
    outcome = succeed("evaluate", finished("a2c").folder, "--episodes", 40, "--discount", 0.5)
    assert outcome.result["eval_returns"] == [0.25, 0.25]  # 1 at the third step
    refused = call("evaluate", finished("a2c").folder, "--discount", 2)
    assert refused.code == 2 and "--discount 2.0: must be at most 1" in refused.err


def frames_of_mp4(path):
    """The number of frames, from the table of their sizes."""
    data = path.read_bytes()
    assert data[4:8] == b"ftyp"
    table = data.index(b"stsz")  # then version, common size, number
    return int.from_bytes(data[table + 12 : table + 16], "big")


def test_evaluate_films_a_task_in_graph(finished, tmp_path):
    from PIL import Image, ImageSequence

    films = {suffix: tmp_path / "new" / f"catch.{suffix}" for suffix in ("mp4", "gif")}
    for path in films.values():
        outcome = succeed("evaluate", finished("a2c").folder, "--episodes", 40, "--video", path)
        assert f"filmed 4 frames: {path}" in outcome.out
    assert frames_of_mp4(films["mp4"]) == 4
    with Image.open(films["gif"]) as film:
        frames = [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(film)]
    assert [frame.shape for frame in frames] == [(128, 96, 3)] * 4
    assert len({frame.tobytes() for frame in frames}) == 4  # the ball falls


def test_evaluate_films_a_simulator(tmp_path):
    run, film = tmp_path / "run", tmp_path / "pole.mp4"
    tiny = ["--num-envs", 2, "--agent.hidden", 8, "--agent.unroll", 4, "--eval-episodes", 2, "--steps", 16, "--quiet"]
    trained = succeed("a2c", "--env", "gymnasium/CartPole-v1", *tiny, "--out", run)
    outcome = succeed("evaluate", run, "--episodes", 2, "--video", film)
    assert 2 <= frames_of_mp4(film) <= 501
    assert 1 <= trained.result["eval_returns"][0] <= 500
    assert 1 <= outcome.result["eval_returns"][0] <= 500


def test_compare(finished, tmp_path):
    folders = [finished("dqn").folder, finished("a2c").folder]
    outcome = succeed("compare", *folders, "--out", tmp_path / "both.png")
    lines = outcome.out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == ["dqn", "a2c"]
    assert (tmp_path / "both.png").read_bytes().startswith(PNG)


def test_list_prints_what_there_is():
    out = succeed("list").out
    for word in ("bellmax", "envpool", "gymnasium", "gymnax", "dqn", "a2c", "ppo", "python -m experiments.evaluate"):
        assert f"  {word} " in out
    assert "python -m experiments.loops" not in out
    tasks = succeed("list", "bellmax").out.split()
    assert "bellmax/catch" in tasks
    assert all(task.startswith("bellmax/") for task in tasks)
    assert "experiments.list [suites|agents|experiments|SUITE]" in succeed("list", "--help").out
    refused = call("list", "nonsense")
    assert refused.code == 2
    assert refused.err.startswith("error: nonsense: not one of suites, agents, experiments, ")


COMMANDS = ["dqn", "a2c", "ppo", "evaluate", "compare"]
LOOK = """
import runpy, sys
sys.argv[0] = "x"
for name in sys.argv[1:]:
    sys.argv[1:] = ["--help"]
    try:
        runpy.run_module(f"experiments.{name}", run_name="__main__", alter_sys=True)
    except SystemExit as stop:
        assert not stop.code
    print("=====")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def helps():
    """What `--help` prints for each command, in one column, and what all of them imported."""
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *COMMANDS], cwd=ROOT, env={"COLUMNS": "120", "PATH": "/usr/bin:/bin"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    *texts, modules = done.stdout.split("=====")
    plain = [" ".join(text.translate(str.maketrans("│╭╮╰╯─", " " * 6)).split()) for text in texts]
    return dict(zip(COMMANDS, plain, strict=True)), set(modules.split())


def told(kind):
    """The docstrings of a dataclass's fields, its bases' included."""
    lines = {}
    for owner in filter(dataclasses.is_dataclass, reversed(kind.__mro__)):
        (tree,) = ast.parse(inspect.getsource(owner)).body
        pairs = [(a, b) for a, b in itertools.pairwise(tree.body) if isinstance(a, ast.AnnAssign)]
        lines |= {a.target.id: " ".join(ast.literal_eval(b.value).split()) for a, b in pairs if isinstance(b, ast.Expr)}
    return lines


def test_help_is_fast_because_it_imports_little(helps):
    slow = {"jax", "jaxlib", "flax", "optax", "rlax", "scipy", "pandas", "matplotlib", "orbax", "tensorboardX"}
    assert not helps[1] & (slow | {"envpool", "gymnasium", "gymnax", "mujoco", "agents", "networks", "replay"})
    assert "tyro" in helps[1]


@experiments
def test_help_is_the_manual(helps, experiment):
    """Every flag is there, with the line that says what it is for."""
    kind = import_module(f"experiments.{experiment}").Flags
    lines = told(kind)
    lines |= {f"agent.{name}": line for name, line in told(type(kind().agent)).items()}
    for name in flags.flat(kind()):
        _, after = re.split(rf"{flags.flag(name)}(?=[ ,])", helps[0][experiment], maxsplit=1)
        # Without spaces, as long numbers are broken at their commas.
        assert lines[name].replace(" ", "") in after.replace(" ", ""), name


def test_help_of_the_other_commands(helps):
    assert "--video STR Also film an episode" in helps[0]["evaluate"]
    assert "--metric STR Column of metrics.csv" in helps[0]["compare"]


BLOCKED = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv:
            raise ModuleNotFoundError(f"{name} is not to be imported", name=name)

sys.meta_path.insert(0, Blocked())
"""
SIMULATORS = ["envpool", "gymnasium", "gymnax", "mujoco", "ale_py", "brax"]
LATER = ["matplotlib", "imageio", "tyro", "tqdm", "pandas", "rliable", "tensorboardX", "orbax", "wandb"]


def imports(code, *blocked):
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code, *blocked], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_the_types_of_agents_import_without_what_only_losses_need():
    everything = [*SIMULATORS, *LATER, "rlax", "distrax", "tensorflow_probability"]
    done = imports("import agents; import agents.base, envs.keys; from agents import base", *everything)
    assert done.returncode == 0, done.stderr
    assert imports("import rlax", *everything).returncode == 1


def test_simulators_are_imported_by_those_who_use_them():
    code = """
import envs, networks, replay, agents.losses, agents.dqn, agents.a2c, agents.ppo, agents.common.wrappers
import experiments.drivers.in_graph, experiments.drivers.host, experiments.run.train, experiments.run.checkpoint
assert envs.make("bellmax/catch").spec.action.num == 3
"""
    done = imports(code, *SIMULATORS, *LATER)
    assert done.returncode == 0, done.stderr


def test_a_command_of_its_own(finished, tmp_path):
    """As a user has it: another process, nothing but flags."""
    done = subprocess.run(
        command("compare", finished("a2c").folder, "--out", tmp_path / "x.png"), cwd=ROOT, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert next(csv.reader(done.stdout.splitlines()[1:2], delimiter=" "))[0] == "a2c"


@pytest.mark.parametrize(
    ("env", "limit"),
    [
        ("bellmax/cartpole", "time_limit"),
        pytest.param("envpool/CartPole-v1", "max_episode_steps", marks=pytest.mark.slow),
    ],
)
def test_policies_are_judged_on_the_task_that_is_asked_for(env, limit, tmp_path):
    run = tmp_path / "run"
    sizes = ["--num-envs", "4", "--agent.hidden", "4", "--agent.unroll", "8", "--steps", "64", "--eval-episodes", "4"]
    succeed("a2c", "--env", env, *sizes, "--eval-env-options", f"{limit}=5", "--quiet", "--out", run)
    table = sinks.read_metrics(run / "metrics.csv")
    assert (table["eval_return"][table["kind"] == "eval"] == 5).all()
    assert (table["episode_length"][table["kind"] == "train"] > 5).any()
    assert succeed("evaluate", run, "--episodes", "4").result["eval_returns"] == [5]
    other = succeed("evaluate", run, "--episodes", "4", "--env-options", f"{limit}=3").result
    assert other["eval_returns"] == [3]


def test_a_task_that_looks_other_cannot_judge(tmp_path):
    words = ["--env", "bellmax/catch", "--eval-env-options", "rows=4", "--out", tmp_path / "run"]
    outcome = call("a2c", *words)
    assert outcome.code == 2 and "--eval-env-options rows=4: the agent knows" in outcome.err
    assert not (tmp_path / "run").exists()


def test_the_folder_is_told_first_and_rounded_steps_are_said(tmp_path):
    out = succeed("a2c", *FLAGS["a2c"], "--steps", "2100", "--out", tmp_path / "run").out.splitlines()
    assert out[:3] == [
        f"run folder: {tmp_path / 'run'}",
        "--steps 2,100: trains for 2,304, in whole chunks of 256",
        "compiling",
    ]
    longer = succeed("a2c", "--resume", tmp_path / "run", "--steps", "4096").out.splitlines()
    assert longer[1] == "schedules end at 2,100 steps; --reschedule spreads them over all 4,096"
