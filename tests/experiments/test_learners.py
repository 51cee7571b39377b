"""Several learners of one run, in processes that join: what they learn, keep and refuse, and how they are started."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from experiments import launch
from experiments.drivers import joining
from experiments.run import actors
from experiments.run.checkpoint import Checkpointer
from tests.experiments.running import CATCH, ROOT, call, evaluations, rows, saved, steps_saved, succeed, summary
from tests.experiments.test_actors import DQN

WORDS = [*DQN, "--agent.priorities", "proportional", "--agent.learning-rate", "1e-4", "--agent.batch-size", "8"]
WORDS += ["--steps", "192", "--log-every", "64", "--eval-every", "64"]
PLAYING = ["--actors", "1", "--engine", "inline", "--order", "fixed", "--ahead", "0"]


def launched(*words, flags=()):
    """What starts learners that have a device each."""
    begin = [sys.executable, "-m", "experiments.launch", *flags, "--", *map(str, words)]
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=1", "NPROC": "4"}
    pipe = subprocess.PIPE
    return subprocess.Popen(begin, cwd=ROOT, env=environment, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def ended(process, code=0):
    told = process.communicate(timeout=300)[0]
    assert process.returncode == code, told[-4000:]
    return told


def agent_of(folder):
    found = Checkpointer(folder / "checkpoints").part("0/agent/")
    assert found and len(found) > 10
    return found


def test_two_learners_are_one_process_with_two_devices(tmp_path):
    process = launched("dqn", *WORDS, *PLAYING, "--out", tmp_path / "joined")
    try:
        succeed("dqn", *WORDS, "--devices", 2, "--out", tmp_path / "whole")  # here, on two of the devices
        ended(process)
    finally:
        process.terminate()
        process.communicate()
    joined, whole = tmp_path / "joined", tmp_path / "whole"
    assert steps_saved(joined) == steps_saved(whole) and summary(joined)["env_steps"] == 192
    ours, theirs = agent_of(joined), agent_of(whole)
    assert ours.keys() == theirs.keys()
    for name, x in ours.items():
        assert x.shape[0] == 2, name  # of each learner
        np.testing.assert_array_equal(x[0], x[1], err_msg=name)
        np.testing.assert_allclose(x, theirs[name], atol=1e-6, err_msg=name)
    kinds = {path: leaf[0] for path, leaf in saved(joined).items()}
    assert kinds["0/replay/ring/fill"].startswith("int32[2,1")
    told, same = ([row for row in rows(path) if row["kind"] == "train"] for path in (joined, whole))
    assert [float(row["episodes"]) for row in told] == [float(row["episodes"]) for row in same]
    assert {(float(row["actors_alive"]), float(row["version_age"])) for row in told} == {(2.0, 0.0)}
    assert evaluations(joined)[0].shape == evaluations(whole)[0].shape  # of as many episodes, shared out
    assert not list(joined.glob("*.tmp")) and (joined / "policies").is_dir()


def remote(tmp_path):
    """Stands for ssh: a script that is given a host and a command, and runs the command here."""
    path = tmp_path / "remote"
    path.write_text('#!/bin/sh\necho "$1" >> "$0.hosts"\nexec sh -c "$2"\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.slow
def test_learners_on_other_machines_are_stopped_and_resumed_together(tmp_path):
    words = ["impala", *CATCH, "--num-envs", 8, "--agent.hidden", 8, "--agent.unroll", 8, "--eval-episodes", 8]
    words += ["--actors", 2, "--engine", "threads", "--steps", 10**8, "--log-every", 512, "--eval-every", 4096]
    there, run = remote(tmp_path), tmp_path / "run"
    flags = ["--hosts", "127.0.1.1", "127.0.1.2", "--remote", str(there)]
    process = launched(*words, "--out", run, flags=flags)
    try:
        deadline = time.monotonic() + 120
        while not (run / "checkpoints").is_dir() and time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        told = ended(process, 130)
    finally:
        process.kill()
        process.communicate()
    assert sorted((tmp_path / "remote.hosts").read_text().split()) == ["127.0.1.1", "127.0.1.2"]
    assert "saved; to go on" in told
    before = steps_saved(run)[-1]
    flags_of_run = json.loads((run / "config.json").read_text())["flags"]
    assert flags_of_run["learners"] == 2
    again = launched("impala", "--resume", run, "--steps", 10**8, flags=flags)
    try:
        deadline = time.monotonic() + 120
        while steps_saved(run)[-1] <= before and time.monotonic() < deadline and again.poll() is None:
            time.sleep(0.2)
        again.send_signal(signal.SIGINT)
        ended(again, 130)
    finally:
        again.kill()
        again.communicate()
    assert steps_saved(run)[-1] > before


@pytest.mark.slow
def test_a_learner_that_fails_ends_the_others_and_is_heard(tmp_path):
    words = ["impala", *CATCH, "--num-envs", 4, "--agent.hidden", 8, "--actors", 1, "--engine", "inline"]
    process = launched(*words, "--steps", 10**8, "--eval-episodes", 8, "--out", tmp_path / "run")
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "run" / "metrics.csv").exists() and time.monotonic() < deadline:
            time.sleep(0.2)
        children = [int(x) for x in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        assert len(children) == 2
        os.kill(children[1], signal.SIGKILL)
        began = time.monotonic()
        process.communicate(timeout=60)
        assert process.returncode != 0 and time.monotonic() - began < 30
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--learners 2", "--learners 2: needs --coordinator HOST:PORT and --learner N in each of them; python -m"),
        ("--learners 2 --coordinator here", "--coordinator here: must be HOST:PORT; python -m experiments.launch"),
        ("--learners 2 --coordinator a:1 --learner 2", "--learner 2: --learners 2 are numbered from 0 to 1"),
        ("--learners 3", "--num-envs 4: must be a multiple of --actors 2 times --learners 3, which share them"),
        ("--learner 1", "--learner 1: of use only with --learners above 1"),
        ("--coordinator a:1", "--coordinator a:1: of use only with --learners above 1"),
        ("--learners 2 --ratio free", "--learners 2: not with --ratio free; learners make each update together"),
        ("--learners 2 --seeds 2", "--seeds 2: with --learners 2 there is one seed"),
        ("--learners 2 --eval-episodes 9", "--eval-episodes 9: must be a multiple of --learners 2, which share them"),
        ("--learners 2 --send gradients", "--learners 2: not with --send gradients, which one learner descends one"),
    ],
)
def test_learners_that_cannot_work_together_are_refused(words, told, tmp_path):
    outcome = call("dqn", *DQN, "--actors", 2, "--engine", "inline", *words.split(), "--out", tmp_path / "run")
    assert (outcome.code, outcome.err.count("\n")) == (2, 1), outcome
    assert outcome.err.startswith(f"error: {told}")
    alone = call("dqn", *DQN, "--learners", 2, "--out", tmp_path / "run")
    assert alone.err.startswith("error: --learners 2: of use only with --actors")


@pytest.mark.parametrize(
    ("learner", "told"), [(0, "did not come within 0.3 s: learner 1"), (1, "learner 0 does not answer there")]
)
def test_learners_that_do_not_come_are_told(learner, told, monkeypatch):
    monkeypatch.setattr(joining.join, "__defaults__", (0.3,))
    config = type("Config", (), {"actors": 1, "engine": "inline", "learners": 2, "learner": learner})
    config.coordinator = f"localhost:{launch.free_port()}"
    with pytest.raises(ValueError, match=f"--coordinator {config.coordinator}: {told}"):
        actors.connect(config)


@pytest.mark.parametrize(("others", "told"), [((1, 2), None), ((1, 1), "two processes say that they are learner 1")])
def test_learners_meet_before_they_join(others, told):
    port = launch.free_port()
    with ThreadPoolExecutor(3) as threads:
        first = threads.submit(joining._await, "localhost", port, 3, 10.0)
        rest = [threads.submit(joining._arrive, "localhost", port, i, 10.0) for i in others]
        if told is None:
            assert [each.result() for each in (first, *rest)] == [None] * 3
        else:
            with pytest.raises(ConnectionError, match=told):
                first.result()
            for each in rest:
                with pytest.raises(ConnectionError):
                    each.result()
    with pytest.raises(ConnectionError, match="did not come"):
        joining._await("localhost", port, 2, 0.1)  # the port is free at once


def test_what_starts_learners_on_several_machines():
    config = launch.Config(hosts=("one", "two"), remote="ssh -p 2222", python="/usr/bin/python3")
    first, second = launch.commands(config, ["dqn", "--env", "a b"], 1234)
    assert first[:4] == ["ssh", "-p", "2222", "one"] and second[3] == "two" and len(second) == 5
    own = "/usr/bin/python3 -m experiments.dqn --env 'a b' --learners 2 --learner 1 --coordinator one:1234"
    assert second[4].startswith(f"cd {Path.cwd()} && ") and own in second[4]
    here, _ = launch.commands(launch.Config(), ["dqn"], 99)
    assert here[:3] == [sys.executable, "-m", "experiments.dqn"] and here[-1] == "localhost:99"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", "there is no command to start; write python -m experiments.launch [flags] -- COMMAND"),
        ("-- nothing", "nothing: is no command; python -m experiments.list has them all"),
        ("-- dqn --learners 2", "--learners: is given by experiments.launch; leave it out"),
        ("--hosts one -- dqn", "--hosts one: must be at least 2; one learner needs no launch"),
        ("--hosts localhost two -- dqn", "--hosts localhost two: two cannot find localhost; name the first host"),
    ],
)
def test_what_cannot_be_started_is_refused(words, told, capsys):
    with pytest.raises(SystemExit) as stop:
        launch.main(words.split())
    assert stop.value.code == 2
    assert capsys.readouterr().err.startswith(f"error: {told}")
