"""Runs that were ended in every way go on as if nothing had been."""

import json
import os
import random
import signal
import subprocess
import sys
import time

import jax
import pytest

from experiments.reports import sinks
from experiments.run import prepare, records
from experiments.run import train as training
from experiments.run.checkpoint import Checkpointer
from tests.experiments.running import (
    FLAGS,
    ROOT,
    TIMES,
    assert_same_state,
    call,
    command,
    crash_after,
    kill,
    rows,
    saved,
    starting_state,
    steps_saved,
    succeed,
    summary,
)

POLE = [
    *["--env", "envpool/CartPole-v1", "--seeds", "2", "--num-envs", "2", "--agent.hidden", "8", "--quiet"],
    *["--agent.unroll", "2", "--agent.batch-size", "4", "--agent.buffer-size", "64", "--agent.warmup", "16"],
    *["--steps", "96", "--log-every", "16", "--eval-every", "48", "--eval-episodes", "2"],
]  # fmt: skip


def assert_same_run(a, b):
    """Equal in all but the times: state, log and summary."""
    assert_same_state(a, b)
    assert rows(a) == rows(b)
    left, right = ({k: v for k, v in summary(folder).items() if k not in TIMES} for folder in (a, b))
    assert left == right


def grown(folder):
    """How much there is of a run."""
    log = folder / "metrics.csv"
    return log.stat().st_size if log.exists() else 0


def kills(forks, folder, times, seed):
    """Kills a run so many times, at random moments, resuming it each time; returns how often it had got anywhere."""
    rng, progressed = random.Random(seed), 0
    for i in range(times):
        began = (folder / "config.json").exists()
        argv = ["--resume", folder] if began else [*FLAGS["dqn"], "--checkpoint-every", "320", "--out", folder]

        before = grown(folder)

        def at_random(pid, i=i, before=before):
            if i % 3 == 2:  # at any moment, the first ones included
                time.sleep(rng.uniform(0, 4))
            else:  # while it trains and saves
                deadline = time.monotonic() + 120
                while grown(folder) <= before and time.monotonic() < deadline:
                    time.sleep(0.01)
                time.sleep(rng.uniform(0, 0.3))
            kill(pid)

        code = forks.run([*argv, "--quiet"], at_random)
        assert code in (-signal.SIGKILL, 0), code
        progressed += grown(folder) > before
    return progressed


@pytest.mark.parametrize("times", [2, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_equals_never_killed(finished, forks, tmp_path, times):
    folder = tmp_path / "dqn"
    assert kills(forks, folder, times, seed=times) >= times // 2
    assert not (folder / "summary.json").exists()  # it had not come to its end
    assert forks.run(["--resume", folder, "--checkpoint-every", "16000"]) == 0
    assert_same_run(folder, finished("dqn").folder)
    config = json.loads((folder / "config.json").read_text())
    assert (config["experiment"], config["flags"]["agent"]["unroll"]) == ("dqn", 4)


@pytest.mark.parametrize("experiment", ["a2c", pytest.param("ppo", marks=pytest.mark.slow)])
def test_resumed_run_equals_the_whole(finished, tmp_path, experiment):
    folder, whole = tmp_path / experiment, finished(experiment).folder
    with crash_after(saves=1) as crash:
        call(experiment, *FLAGS[experiment], "--out", folder)
    assert 0 < crash["steps"] < summary(whole)["env_steps"]
    assert steps_saved(folder) == [crash["steps"]]
    assert not (folder / "summary.json").exists()
    outcome = succeed(experiment, "--resume", folder)
    assert_same_run(folder, whole)
    assert outcome.out.strip().endswith(f"run folder: {folder}")
    assert summary(folder)["wall_seconds"] > max(float(r["wall_seconds"]) for r in sinks.read_rows(
        folder / "metrics.csv")[1] if int(r["env_steps"]) <= crash["steps"])  # fmt: skip


def test_resuming_a_finished_run_only_reports(finished, tmp_path, monkeypatch):
    import shutil

    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    content = {name: (folder / name).read_bytes() for name in ("metrics.csv", "summary.json", "curve.png")}
    (folder / "curve.png").unlink()
    (folder / "summary.json").unlink()
    monkeypatch.setattr(training.Session, "advance", None)
    outcome = succeed("a2c", "--resume", folder)
    assert {name: (folder / name).read_bytes() for name in content} == content
    assert outcome.out.splitlines()[2:] == [*finished("a2c").outcome.out.splitlines()[2:-1], f"run folder: {folder}"]


def test_run_that_is_still_going_is_left_alone(finished, tmp_path, monkeypatch):
    import shutil

    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    content = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with records.locked(folder):
        outcome = call("a2c", "--resume", folder, "--steps", 3072)
        assert (outcome.code, outcome.err) == (2, f"error: --resume {folder}: a process is still training in it\n")
        monkeypatch.setattr(records, "write_json", lambda path, content: None)
        monkeypatch.setattr(prepare, "make_folder", lambda *arguments: None)  # as if it had begun in the meantime
        assert call("a2c", "--resume", folder, "--steps", 3072).code == 2
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == content


def test_more_steps_extend_a_finished_run(finished, tmp_path):
    import shutil

    folder, whole = tmp_path / "a2c", finished("a2c").folder
    shutil.copytree(whole, folder)
    succeed("a2c", "--resume", folder, "--steps", 3072)
    assert summary(folder)["env_steps"] == 3072
    assert rows(folder)[: len(rows(whole))] == rows(whole)
    assert {int(row["env_steps"]) for row in rows(folder)[len(rows(whole)) :]} == {2304, 2560, 2816, 3072}
    assert steps_saved(folder)[-1] == 3072
    assert json.loads((folder / "config.json").read_text())["flags"]["steps"] == 3072
    # It is the run that would have been longer from the start, since nothing of it depends on its length.
    succeed("a2c", *FLAGS["a2c"], "--steps", 3072, "--out", tmp_path / "long")
    assert_same_run(folder, tmp_path / "long")


def test_damaged_checkpoint_is_passed_over(finished, tmp_path):
    folder = tmp_path / "a2c"
    with crash_after(saves=3):
        call("a2c", *FLAGS["a2c"], "--out", folder)
    damaged, before = steps_saved(folder)[-1], steps_saved(folder)[-2]
    largest = max((folder / "checkpoints" / str(damaged)).rglob("[!.]*"), key=lambda p: p.stat().st_size * p.is_file())
    largest.write_bytes(largest.read_bytes()[:-1] + b"?")
    with pytest.warns(UserWarning, match=f"checkpoints/{damaged} is damaged .*; taking the one before"):
        outcome = succeed("a2c", "--resume", folder)
    assert before < damaged
    assert outcome.result["env_steps"] == 2048
    assert_same_run(folder, finished("a2c").folder)


def test_checkpoint_of_other_shapes_is_refused(finished, tmp_path):
    """As after an edit of the code, which flags do not show."""
    import shutil

    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    config = json.loads((folder / "config.json").read_text())
    config["flags"]["agent"]["hidden"] = [9]
    (folder / "config.json").write_text(json.dumps(config))
    outcome = call("a2c", "--resume", folder)
    assert outcome.code == 2
    assert outcome.err.startswith("error: checkpoint ")
    assert "is of a run with other flags: agent.hidden is [8] there, [9] here" in outcome.err
    assert outcome.err.count("\n") == 1
    assert steps_saved(folder) == steps_saved(finished("a2c").folder)
    assert json.loads((folder / "config.json").read_text()) == config


def test_killed_before_the_first_checkpoint_starts_again(finished, tmp_path):
    folder = tmp_path / "a2c"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(MemoryError):

        def advance(self, log):
            raise MemoryError

        patch.setattr(training.Session, "advance", advance)
        call("a2c", *FLAGS["a2c"], "--out", folder)
    assert steps_saved(folder) == []
    succeed("a2c", "--resume", folder)
    assert_same_run(folder, finished("a2c").folder)


def test_host_keeps_all_but_the_episodes_under_way(tmp_path):
    folder = tmp_path / "pole"
    with crash_after(saves=1) as crash:
        call("dqn", *POLE, "--out", folder)
    assert crash["steps"] == 64
    with starting_state() as start:
        outcome = succeed("dqn", "--resume", folder)
    assert len(start) == len(crash["state"]) > 20
    for a, b in zip(crash["state"], start, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()
    assert outcome.result["env_steps"] == 96
    assert (outcome.result["eval_returns"] >= 1).all()
    points = [(int(row["env_steps"]), row["kind"], row["seed"]) for row in rows(folder)]
    assert len(points) == len(set(points))
    assert [step for step, kind, seed in points if (kind, seed) == ("train", "1")] == [32, 48, 64, 80, 96]
    episodes = [int(row["episode_length"].partition(".")[0] or 0) for row in rows(folder)]
    assert max(episodes) < 96


def test_interrupt_saves_and_tells_how_to_go_on(finished, tmp_path):
    folder = tmp_path / "dqn"
    words = command("dqn", *FLAGS["dqn"], "--checkpoint-every", "16000", "--out", folder)
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while grown(folder) < 1000 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    (step,) = steps_saved(folder)[-1:]
    assert 0 < step < 64064
    *_, before, last = err.strip().splitlines()
    assert before == f"stopped at {step:,} steps per seed, and saved; to go on:"
    assert last == f"  python -m experiments.dqn --resume {folder}"
    assert f"run folder: {folder}" in out
    assert summary(folder)["env_steps"] == step
    assert (folder / "curve.png").exists()
    assert max(int(row["env_steps"]) for row in rows(folder)) == step
    succeed("dqn", "--resume", folder)
    assert_same_run(folder, finished("dqn").folder)


def test_interrupt_while_starting_is_kept_for_later(tmp_path):
    """The first Ctrl-C during compilation is not lost, and leaves a run that can be resumed."""
    from experiments.run import records

    before = signal.getsignal(signal.SIGINT)
    with pytest.MonkeyPatch.context() as patch:
        enter = records.Interrupt.__enter__

        def raised(self):
            enter(self)
            if not self.early:
                signal.raise_signal(signal.SIGINT)
            return self

        patch.setattr(records.Interrupt, "__enter__", raised)
        outcome = call("a2c", *FLAGS["a2c"], "--out", tmp_path / "run")
    assert outcome.code == 130
    assert "stopped at 0 steps per seed" in outcome.err
    assert steps_saved(tmp_path / "run") == [0]
    assert summary(tmp_path / "run")["eval_returns"] == [None, None]
    assert summary(tmp_path / "run")["eval_iqm"] is None
    assert signal.getsignal(signal.SIGINT) is before


def test_checkpoint_holds_everything(finished):
    """Parameters, optimiser, replay, keys, environment, counters, and what the report needs."""
    paths = saved(finished("dqn").folder)
    for part in ("agent/params", "agent/target", "agent/optimiser", "agent/updates", "env/", "timestep/", "replay/"):
        assert any(path.startswith(f"0/{part}") for path in paths), part
    for part in ("live/", "key", "chunks"):
        assert any(path.startswith(f"0/{part}") for path in paths), part
    for part in ("best/params", "best_returns", "last_returns", "dead"):
        assert any(path.startswith(f"1/{part}") for path in paths), part


def test_policies_are_those_of_the_best_and_the_last_evaluation(finished):
    folder = finished("dqn").folder
    template = {"params": jax.ShapeDtypeStruct((1,), "float32")}
    with Checkpointer(folder / "policies") as policies:
        assert policies.latest_step() == summary(folder)["env_steps"]
        with pytest.raises(ValueError, match=r"best/params.* absent here"):
            policies.restore(template, {})


def files(folder):
    """Every file of a run and what it holds."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def assert_refused_untouched(folder, *argv):
    """The resume is refused in one line, and metrics.csv and the rest stay as they are."""
    content = files(folder)
    outcome = call("a2c", "--resume", folder, *argv)
    assert outcome.code == 2
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1
    assert files(folder) == content
    return outcome.err


@pytest.mark.filterwarnings("ignore:checkpoint .* is damaged")
@pytest.mark.parametrize("how", ["damaged", "removed", "emptied", "removed early"])
def test_run_without_a_readable_checkpoint_is_not_begun_anew(finished, tmp_path, how):
    import shutil

    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    if how == "damaged":
        for path in (folder / "checkpoints").glob("*/manifest.json"):
            path.write_text("{")
    else:
        shutil.rmtree(folder / "checkpoints")
    if how == "emptied":
        (folder / "checkpoints").mkdir()
    if how == "removed early":  # killed after the first checkpoint, when only its mark tells that there was one
        (folder / "summary.json").unlink()
        lines = (folder / "metrics.csv").read_text().splitlines(keepends=True)
        (folder / "metrics.csv").write_text("".join(lines[:7]))
    assert "it has no readable checkpoint" in assert_refused_untouched(folder)


def test_point_of_a_sweep_is_not_resumed_on_its_own(tmp_path):
    folder = tmp_path / "sweep"
    with crash_after(saves=2):
        call("a2c", *FLAGS["a2c"], "--sweep", "agent.learning-rate=1e-2,1e-3", "--out", folder)
    assert "resume the sweep's folder" in assert_refused_untouched(folder / "learning-rate=0.01")


TWICE = """
import os, signal
from experiments.run.records import Interrupt
with Interrupt() as interrupt:
    os.kill(os.getpid(), signal.SIGTERM)
    assert interrupt.raised
    os.kill(os.getpid(), signal.SIGINT)
    print("not reached")
"""


def test_the_second_signal_ends_the_process_at_once_in_one_line():
    done = subprocess.run([sys.executable, "-c", TWICE], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (130, "")
    told = ["stopping after this chunk; once more to stop at once", "stopped at once; the last checkpoint is kept"]
    assert [line for line in done.stderr.split("\n") if line] == told


BUSY = """
import hashlib, threading
from experiments.run.records import Interrupt
with Interrupt():
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # as a compilation: minutes without an instruction of Python's
"""


def test_signals_are_heard_while_python_does_nothing():
    words = [sys.executable, "-c", BUSY]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGTERM)
        told = [process.stderr.readline() for _ in range(2)]
        assert told == ["\n", "stopping after this chunk; once more to stop at once\n"]
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert process.stderr.read() == "\nstopped at once; the last checkpoint is kept\n"


def test_sigterm_before_training_is_one_line(tmp_path, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(prepare, "environment", lambda *_: signal.raise_signal(signal.SIGTERM))
    outcome = call("a2c", *FLAGS["a2c"], "--out", tmp_path / "run")
    assert (outcome.code, outcome.err) == (130, "error: stopped before training began; nothing was saved\n")
    assert not (tmp_path / "run").exists()
    assert signal.getsignal(signal.SIGTERM) is before


def test_signal_while_saving_and_reporting_is_kept(finished, tmp_path, monkeypatch):
    """A run that has come to its end is whole, though a signal came while it was reported."""
    from experiments.reports import plots

    def drawing(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return curve(*arguments)

    curve = plots.curve
    monkeypatch.setattr(plots, "curve", drawing)
    succeed("a2c", *FLAGS["a2c"], "--quiet", "--out", tmp_path / "run")
    assert_same_run(tmp_path / "run", finished("a2c").folder)
    assert (tmp_path / "run" / "curve.png").exists()


def test_seeds_go_on_over_another_number_of_devices(finished, tmp_path, monkeypatch):
    """Two seeds on two devices, then both on one, then on two again; config.json and results are of the run."""
    import shutil
    from functools import partial

    from experiments.drivers import devices

    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    before, layout = rows(folder), devices.layout
    monkeypatch.setattr(devices, "layout", partial(layout, devices=jax.devices()[:1]))
    with starting_state() as start:
        succeed("a2c", "--resume", folder, "--steps", 2304, "--quiet")
    assert all(x.shape[:2] == (1, 2) for x in start)
    assert steps_saved(folder)[-1] == 2304
    assert rows(folder)[: len(before)] == before
    monkeypatch.setattr(devices, "layout", layout)
    with starting_state() as again:
        succeed("a2c", "--resume", folder, "--steps", 2560, "--quiet")
    assert all(x.shape[:2] == (2, 1) for x in again)
    assert summary(folder)["env_steps"] == 2560


def test_runs_are_laid_out_anew_one_by_one(tmp_path):
    """Three runs over three, two and one devices; where there is a place too many, it repeats the first run."""
    import jax.numpy as jnp

    from experiments.drivers import devices
    from experiments.run import layouts

    assert layouts.layouts(3) == [(1, 3), (2, 2), (3, 1)]
    assert layouts.layouts(5) == [(1, 5), (2, 3), (3, 2), (5, 1)]
    keys = jax.random.split(jax.random.key(0), 3)
    tree = {"x": jnp.arange(6.0).reshape(3, 2), "key": keys}
    for there in (1, 2, 3):
        lay = devices.layout(3, devices=jax.devices()[:there])
        with Checkpointer(tmp_path / str(there)) as checkpoints:
            checkpoints.save(7, devices.place(lay, tree), {"a": 1}, wait=True)
            for here in (1, 2, 3):
                new = devices.layout(3, devices=jax.devices()[:here])
                template = devices.laid_out(new, jax.eval_shape(lambda new=new: devices.place(new, tree)))
                step, found = layouts.restore(checkpoints, new, template, {"a": 1}, {})
                assert step == 7
                assert found["x"].tolist() == devices.place(new, tree)["x"].tolist()
                assert (jax.random.key_data(found["key"]) == jax.random.key_data(keys)[devices.order(new)]).all()
                assert found["x"].sharding.device_set == set(new.devices)
            with pytest.raises(ValueError, match="other flags: a is 1 there, 2 here"):
                layouts.restore(checkpoints, new, template, {"a": 2}, {})


def test_ctrl_c_before_training_is_one_line(tmp_path, monkeypatch):
    def pressed(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "environment", pressed)
    outcome = call("a2c", *FLAGS["a2c"], "--out", tmp_path / "run")
    assert (outcome.code, outcome.err) == (130, "error: stopped before training began; nothing was saved\n")
    assert not (tmp_path / "run").exists()


PRESSED = """
import os, signal, sys, time

class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == {name!r}:
            try:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(1)
            except KeyboardInterrupt:
                raise {error}

sys.meta_path.insert(0, Finder)
"""


@pytest.mark.parametrize(
    ("words", "name", "error"),
    [
        (["experiments.list"], "experiments.run", "KeyboardInterrupt"),
        (["experiments.list"], "experiments.run.ranges", "ImportError('something failed to import')"),
        (["experiments", "list"], "experiments.run.ranges", "KeyboardInterrupt"),
        (["experiments.a2c", *FLAGS["a2c"]], "jax", "KeyboardInterrupt"),
    ],
)
def test_ctrl_c_while_python_imports_is_one_line(words, name, error, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(PRESSED.format(name=name, error=error))
    path = os.pathsep.join([str(ROOT), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True,
        text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 130, done
    assert len(done.stderr.strip().splitlines()) == 1 and "stopped" in done.stderr, done
    assert not (tmp_path / "runs").exists()
