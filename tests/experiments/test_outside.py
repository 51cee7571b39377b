"""Tasks and a system of one's own, in a folder outside the repository that has an `envs/` of its own."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from experiments import run
from experiments.run import policies, prepare
from tests.experiments.running import ROOT, call

HERE = Path(__file__).parent / "outside"
SMALL = ["--num-envs", "4", "--steps", "2000", "--eval-episodes", "4", "--quiet", "--agent.hidden", "16"]
COMMAND = [sys.executable, "-c", "import sys; sys.path.pop(0); sys.path.append(sys.argv.pop(1)); from experiments.__main__ import main; main()", str(ROOT)]  # fmt: skip  # noqa: E501
"""`bellmax`, as the entry point of an installation runs it: the folder it is run in is on no path."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The user's folder."""
    path = tmp_path_factory.mktemp("user")
    shutil.copytree(HERE, path, dirs_exist_ok=True)
    return path


def typed(folder, words, *argv):
    """What a command prints that is run in the user's folder."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    if words[1] != "-c":
        variables["PYTHONPATH"] = str(ROOT)  # stands for the installation
    done = subprocess.run(
        [*words, *map(str, argv)], cwd=folder, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_own_tasks_and_an_own_system_train_resume_are_evaluated_filmed_and_compared(folder):
    own = [sys.executable, "own.py"]
    typed(folder, [*COMMAND, "ppo"], "--env", "my_tasks:corridor", "--agent.unroll", "16", *SMALL, "--out", "runs/jax")
    typed(folder, [*COMMAND, "ppo"], "--resume", "runs/jax", "--steps", "3000")
    assert "my_tasks:corridor" in typed(folder, [*COMMAND, "evaluate"], "runs/jax", "--episodes", "4")
    typed(folder, [*COMMAND, "a2c"], "--env", "gymnasium/my_tasks:Corridor-v0", *SMALL, "--out", "runs/gym")
    assert "filmed" in typed(folder, [*COMMAND, "evaluate"], "runs/gym", "--episodes", "4", "--video", "film.gif")
    assert (folder / "film.gif").read_bytes().startswith(b"GIF")
    typed(folder, own, *SMALL, "--agent.bonus", "0.5", "--out", "runs/own")
    typed(folder, own, "--resume", "runs/own", "--steps", "3000")
    content = json.loads((folder / "runs/own/config.json").read_text())
    assert (content["experiment"], content["file"]) == ("own", str(folder / "own.py"))
    assert content["flags"]["agent"]["bonus"] == 0.5 and len(content["starts"]) == 2
    assert "own on my_tasks:corridor" in typed(folder, [*COMMAND, "evaluate"], "runs/own", "--episodes", "4")
    table = typed(folder, [*COMMAND, "compare"], "runs/own", "runs/jax", "runs/gym")
    assert [line.split()[0] for line in table.splitlines()[1:4]] == ["own", "jax", "gym"]


def test_a_run_folder_runs_no_code_that_lies_in_it(folder, tmp_path, monkeypatch):
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    content = {"experiment": "own", "file": str(stranger / "own.py"), "flags": {"env": "bellmax/catch"}}
    (stranger / "config.json").write_text(json.dumps(content))
    (stranger / "own.py").write_text("raise SystemExit('it was run')")
    with pytest.raises(ValueError, match=r"own.py, which lies in the folder; --trust runs it"):
        policies.experiment_of(stranger)
    with pytest.raises(SystemExit, match="it was run"):
        policies.experiment_of(stranger, trust=True)
    (stranger / "task.py").write_text("raise SystemExit('it was run')")
    monkeypatch.syspath_prepend(str(stranger))
    for env in ("task:made", "gymnasium/task:Made-v0"):
        with pytest.raises(ValueError, match=f"its task {env} is code that lies in the folder; --trust runs it"):
            prepare.environment(run.Common(env=env), stranger)
        with pytest.raises(SystemExit, match="it was run"):
            prepare.environment(run.Common(env=env), stranger, trust=True)
        sys.modules.pop("task", None)


@pytest.mark.parametrize("env", ["os:system", "builtins:print", "sys:exit", "numpy:load", "json:dumps"])
def test_a_run_folder_calls_no_function_of_python_or_of_what_is_installed(env, tmp_path):
    with pytest.raises(ValueError, match=f"its task {env} is a function of .*; --trust calls it"):
        prepare.environment(run.Common(env=env), tmp_path / "run")


def test_a_run_that_is_loaded_is_no_more_trusted_than_one_that_is_evaluated(finished, tmp_path):
    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    content = json.loads((folder / "config.json").read_text())
    content["flags"] |= {"env": "os:system", "env_options": ["command='true'"]}
    (folder / "config.json").write_text(json.dumps(content))
    for use in (lambda loaded: loaded.env, lambda loaded: loaded.policy(), lambda loaded: loaded.evaluate(episodes=1)):
        with pytest.raises(ValueError, match="its task os:system is a function of"):
            use(run.load(folder))


def test_a_run_folder_calls_no_function_of_other_modules(tmp_path):
    victim = tmp_path / "victim"
    victim.mkdir()
    config = run.Common(env="shutil:rmtree", env_options=(f"path={str(victim)!r}",))
    with pytest.raises(ValueError, match=r"its task shutil:rmtree is a function of .*; --trust calls it"):
        prepare.environment(config, tmp_path / "run")
    assert victim.exists()


def test_links_in_a_run_folder_are_not_followed(finished, tmp_path):
    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    (folder / "policies").rename(tmp_path / "elsewhere")
    (folder / "policies").symlink_to(tmp_path / "elsewhere")
    for words, told in (
        (["evaluate", folder], f"{folder}: policies in it is a link; --trust follows it"),
        (["a2c", "--resume", folder], f"--resume {folder}: policies in it is a link; must be a folder"),
    ):
        outcome = call(*words)
        assert (outcome.code, outcome.err) == (2, f"error: {told}\n")
    assert call("evaluate", folder, "--episodes", 2, "--trust").code == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere:made", "there is no module nowhere"),
        ("json:nothing", "json has no nothing; its functions: "),
        ("json:dumps", "has no option 'length'"),
        ("a-b:c", "write module:function, such as my_tasks:corridor"),
    ],
)
def test_own_tasks_that_are_none_are_refused_in_a_line(name, message, tmp_path):
    outcome = call("a2c", "--env", name, "--env-options", "length=3", "--out", tmp_path / "run")
    assert outcome.code == 2 and message in outcome.err and outcome.err.count("\n") == 1


def test_errors_of_a_task_of_ones_own_keep_their_traceback(tmp_path, monkeypatch):
    (tmp_path / "broken_task.py").write_text("def made():\n    raise ValueError('the price table has no row 31')\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match="the price table has no row 31"):
        call("a2c", "--env", "broken_task:made", "--out", tmp_path / "run")


def test_another_package_of_bellmax_s_name_is_told_of():
    made = "m = types.ModuleType('envs'); m.__path__ = ['/there']; sys.modules['envs'] = m"
    code = f"import sys, types; {made}; import experiments"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert "the package envs of /there was imported before bellmax's; import experiments first" in done.stderr
