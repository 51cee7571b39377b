"""Disks that are full, folders that go away, and links and files where a run does not expect them."""

import asyncio
import gc
import json
import os
import shutil
import subprocess
import sys
import threading
from dataclasses import asdict

import pytest

from experiments import a2c
from experiments.reports import files
from experiments.run import arrays, flags, folders, records
from experiments.run import train as training
from tests.experiments.running import FLAGS, ROOT, call, rows, steps_saved, succeed

FULL = """
import resource
from experiments import a2c
from experiments.run import train as training
from tests.experiments.running import FLAGS
import sys

advance = training.Session.advance

def spoil(self, log):
    advance(self, log)
    if self.chunk == int(sys.argv[2]):
        for checkpoints in (self.checkpoints, *self.policies):
            checkpoints.wait()
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), -1))

training.Session.advance = spoil
a2c.main([*FLAGS["a2c"], "--quiet", "--out", sys.argv[1]])
"""


@pytest.mark.parametrize(("chunk", "size"), [(3, 700), (3, 3000)])
def test_full_disk_stops_the_run_in_one_line_that_says_how_to_go_on(tmp_path, chunk, size):
    """Small logs still fit into the larger limit, a checkpoint does not."""
    folder = tmp_path / "run"
    words = [sys.executable, "-W", "ignore", "-c", FULL, str(folder), str(chunk), str(size)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith(f"error: {folder}/") and done.stderr.count("\n") == 1
    assert "cannot be written (File too large); the checkpoint of 512 steps is kept; when that is mended" in done.stderr
    assert done.stderr.endswith(f"to go on: python -m experiments.a2c --resume {folder}\n")
    assert steps_saved(folder) == [512]


FILLING = """
import resource, sys
import numpy as np
from experiments.reports import files
from experiments.run import arrays
from experiments.run.checkpoint import Checkpointer

arrays.check_room = lambda *_: None  # there was room when the save began
state = {str(i): np.random.default_rng(i).random(200_000) for i in range(20)}
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
with Checkpointer(sys.argv[1]) as checkpoints:
    try:
        checkpoints.save(1, state, {}, wait=sys.argv[2] == "wait")
        checkpoints.wait()
    except files.UnwritableError as error:
        print(error)
"""


@pytest.mark.parametrize("how", ["wait", "behind"])
def test_disk_that_fills_under_a_save_is_one_line(tmp_path, how):
    """Threads of the save do not tell of the same on their own."""
    words = [sys.executable, "-c", FILLING, str(tmp_path / "checkpoints"), how]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1 and done.stdout.endswith(": cannot be written (File too large)\n")
    assert list((tmp_path / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(("words", "told"), [("[os_error_code='27']", False), ("an array is too large", True)])
def test_tasks_that_nobody_waits_for_tell_of_nothing_but_the_disk(caplog, words, told):
    """Of a save's tasks that fail together, one is waited for; of the others asyncio tells when they are collected."""
    arrays.quieten()

    async def several():
        async def fail():
            raise ValueError(words)

        task = asyncio.create_task(fail())
        await asyncio.sleep(0)
        del task

    with caplog.at_level("ERROR", "asyncio"):
        asyncio.run(several())
        gc.collect()
    assert ("never retrieved" in caplog.text) == told


def spoiled(monkeypatch, at, spoil):
    """Runs do `spoil` after so many chunks, when nothing is being saved."""
    advance = training.Session.advance

    def and_spoil(self, log):
        advance(self, log)
        if self.chunk == at:
            for checkpoints in (self.checkpoints, *self.policies):
                checkpoints.wait()
            spoil(self.prepared.folder)

    monkeypatch.setattr(training.Session, "advance", and_spoil)


def replaced_by_a_link(name):
    def spoil(folder):
        shutil.rmtree(folder / name)
        (folder.parent / "mine" / "1024.tmp").mkdir(parents=True)
        (folder / name).symlink_to(folder.parent / "mine")

    return spoil


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (shutil.rmtree, "metrics.csv: cannot be written (No such file or directory); the run folder is gone"),
        (lambda folder: shutil.rmtree(folder / "tensorboard"), "cannot be written (No such file or directory); the ch"),
        (lambda folder: (folder / "metrics.csv").unlink(), "metrics.csv: cannot be written (No such file"),
        (replaced_by_a_link("checkpoints"), "checkpoints: cannot be written (a link is in the place of a folder"),
        (replaced_by_a_link("policies"), "policies: cannot be written (a link is in the place of a folder"),
        (lambda folder: (folder / "curve.png").mkdir(), "curve.png: cannot be written (a folder is in its place)"),
        (lambda folder: (folder / "summary.json").mkdir(), "summary.json: cannot be written (a folder is in its"),
    ],
)
def test_what_goes_away_stops_the_run_in_one_line(tmp_path, monkeypatch, spoil, told):
    spoiled(monkeypatch, 3, spoil)
    outcome = call("a2c", *FLAGS["a2c"], "--quiet", "--out", tmp_path / "run")
    assert outcome.code == 1
    assert told in outcome.err and outcome.err.startswith("error: ") and outcome.err.count("\n") == 1
    if (tmp_path / "mine").exists():
        assert [path.name for path in (tmp_path / "mine").iterdir()] == ["1024.tmp"]


def test_nothing_is_written_through_links(finished, tmp_path):
    folder, mine = tmp_path / "a2c", tmp_path / "mine.txt"
    shutil.copytree(finished("a2c").folder, folder)
    mine.write_text("keep me")
    for name in ("config.tmp", "summary.tmp", "summary.json", "metrics.csv.tmp", "curve.png", "curve.png.tmp"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to(mine)
    (folder / "saved").unlink()
    (folder / "saved").symlink_to(tmp_path / "new.txt")
    succeed("a2c", "--resume", folder, "--steps", 2560)
    assert mine.read_text() == "keep me" and not (tmp_path / "new.txt").exists()
    assert not (folder / "curve.png").is_symlink() and not (folder / "summary.json").is_symlink()


@pytest.mark.parametrize("name", ["checkpoints", "tensorboard", "policies"])
@pytest.mark.parametrize("what", ["a file", "a link"])
def test_files_and_links_in_the_place_of_folders_are_refused(finished, tmp_path, name, what):
    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    (folder / name).rename(tmp_path / "away")
    if what == "a file":
        (folder / name).write_text("")
    else:
        (folder / name).symlink_to(tmp_path / "away")
    before = (folder / "config.json").read_text()
    outcome = call("a2c", "--resume", folder, "--steps", 2560)
    assert (outcome.code, outcome.err) == (2, f"error: --resume {folder}: {name} in it is {what}; must be a folder\n")
    assert (folder / "config.json").read_text() == before


def test_damaged_log_is_mended_and_kept(finished, tmp_path):
    folder, whole = tmp_path / "a2c", rows(finished("a2c").folder)
    shutil.copytree(finished("a2c").folder, folder)
    damaged = (folder / "metrics.csv").read_bytes()[:700] + b"\0" * 300
    (folder / "metrics.csv").write_bytes(damaged + b"\n")
    outcome = succeed("a2c", "--resume", folder, "--steps", 2560, "--quiet")
    assert outcome.err.startswith("warning: ") and outcome.err.count("\n") == 1
    assert f"{folder}/metrics.csv: line " in outcome.err and "keeping it as metrics.csv.damaged" in outcome.err
    assert (folder / "metrics.csv.damaged").read_bytes() == damaged + b"\n"
    mended = rows(folder)
    kept = [row for row in mended if int(row["env_steps"]) <= 2048]
    assert kept == whole[: len(kept)] and 0 < len(kept) < len(whole)
    assert {int(row["env_steps"]) for row in mended if row not in kept} == {2304, 2560}


@pytest.mark.parametrize(
    ("lines", "told"),
    [(1, "has no rows, though the checkpoint is at 2048 steps; going on with no rows of it, and keeping it as "
         "metrics.csv.damaged"), (0, "has no rows"), (None, "is not there, though the checkpoint is at 2048 steps; ")],
)  # fmt: skip
def test_log_without_rows_is_noticed(finished, tmp_path, lines, told):
    folder = tmp_path / "a2c"
    shutil.copytree(finished("a2c").folder, folder)
    log = folder / "metrics.csv"
    kept = log.read_text().splitlines(keepends=True)
    log.unlink()
    if lines is not None:
        log.write_text("".join(kept[:1]) if lines else kept[0].strip()[:-400])
    outcome = succeed("a2c", "--resume", folder, "--steps", 2560, "--quiet")
    assert outcome.err.startswith(f"warning: {log}: ") and outcome.err.count("\n") == 1
    assert told in outcome.err or lines == 0
    assert {int(row["env_steps"]) for row in rows(folder)} == {2304, 2560}


def test_two_starts_into_one_new_folder(tmp_path):
    config = flags.parse(a2c.Flags, [*FLAGS["a2c"], "--out", str(tmp_path / "run")], "x")
    folders.make_folder(tmp_path / "run", a2c.experiment, config)
    before = (tmp_path / "run" / "config.json").read_text()
    with pytest.raises(ValueError, match=r"^--out .*/run: a run has begun in it meanwhile; give a new folder$"):
        folders.make_folder(tmp_path / "run", a2c.experiment, config)
    with (
        records.locked(tmp_path / "run"),
        pytest.raises(ValueError, match=r"^--out .*/run: a process is still training in it$"),
    ):
        folders.make_folder(tmp_path / "run", a2c.experiment, config)
    assert (tmp_path / "run" / "config.json").read_text() == before
    assert json.loads(before)["flags"] == json.loads(json.dumps(asdict(config)))


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    for name, told in {"pipe": "a pipe or a device", "folder": "a folder"}.items():
        with pytest.raises(OSError, match=told):
            files.read(tmp_path / name)
        with pytest.raises(files.UnwritableError, match=f"{name}: cannot be written .{told} is in its place"):
            files.write(tmp_path / name, "x")
    with pytest.raises(OSError, match="a pipe or a device"):
        files.read(tmp_path.__class__("/dev/zero"))
    assert threading.active_count() < 50
