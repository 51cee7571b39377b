import io
import re
import shutil
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pytest

from experiments.reports import files, sinks
from experiments.reports.sinks import (
    COLUMNS,
    Logger,
    MetricsCsv,
    Part,
    Progress,
    TensorBoard,
    Wandb,
    read_metrics,
    series,
    tags,
)


def csv_logger(path, runs=2, **kwargs):
    return Logger(runs, MetricsCsv(path, range(runs), **kwargs))


def test_csv_has_a_row_per_run_and_log_point(tmp_path):
    with csv_logger(tmp_path / "metrics.csv") as logger:
        train = {
            "episode_return": np.float32([0.1, np.nan]),
            "episodes": np.array([3, 0]),
            "loss": np.float64([1 / 3, np.inf]),
        }
        logger.log("train", 1000, 2.5, train | {"steps_per_second": 400.0})
        logger.log("eval", 1000, 3.0, {"eval_return": np.array([7.0, 8.0])})
    lines = (tmp_path / "metrics.csv").read_text().splitlines()
    assert lines == [
        ",".join(COLUMNS) + ",loss",
        "0,1000,2.5,train,0.1,,3,400,,,0.333333333",
        "1,1000,2.5,train,,,0,400,,,inf",
        "0,1000,3,eval,,,,,7,,",
        "1,1000,3,eval,,,,,8,,",
    ]
    table = read_metrics(tmp_path / "metrics.csv")
    assert table["env_steps"].dtype == np.int64
    assert table["kind"].tolist() == ["train", "train", "eval", "eval"]
    np.testing.assert_array_equal(table["eval_return"], [np.nan, np.nan, 7, 8])


def test_a_metric_that_appears_later_gets_a_column(tmp_path):
    with csv_logger(tmp_path / "metrics.csv") as logger:
        logger.log("train", 1, 1.0, {"loss": np.array([1.0, 2.0])})
        logger.log("train", 2, 2.0, {"norm": np.array([3.0, 4.0])})
        logger.log("train", 3, 3.0, {"loss": np.array([5.0, 6.0])})
    table = read_metrics(tmp_path / "metrics.csv")
    np.testing.assert_array_equal(table["loss"], [1, 2, np.nan, np.nan, 5, 6])
    np.testing.assert_array_equal(table["norm"], [np.nan, np.nan, 3, 4, np.nan, np.nan])
    assert [p.name for p in tmp_path.iterdir()] == ["metrics.csv"]


def test_resumed_csv_equals_one_never_stopped(tmp_path):
    def log(logger, steps):
        for step in steps:
            logger.log("train", step, step / 2, {"loss": np.array([step, -step]) / 3})
            logger.log("eval", step, step / 2, {"eval_return": np.array([step, 1.0])})

    with csv_logger(tmp_path / "whole.csv") as logger:
        log(logger, (10, 20, 30))
    path = tmp_path / "metrics.csv"
    with csv_logger(path) as logger:
        log(logger, (10, 20))
    for torn in ("1,20,10.0,tr", "0,30,15,train,,,,,,,10\n1,30,1", ""):
        with path.open("a") as file:
            file.write(torn)
        with csv_logger(path, resume_at=10) as logger:
            log(logger, (20,))
    with csv_logger(path, resume_at=20) as logger:
        log(logger, (30,))
    assert path.read_text() == (tmp_path / "whole.csv").read_text()
    with csv_logger(path, resume_at=0) as logger:
        log(logger, (10, 20, 30))
    assert path.read_text() == (tmp_path / "whole.csv").read_text()
    with csv_logger(path):
        pass
    assert path.read_text() == ",".join(COLUMNS) + "\n"
    with csv_logger(tmp_path / "absent.csv", resume_at=5) as logger:
        log(logger, (10, 20, 30))
    assert (tmp_path / "absent.csv").read_text() == (tmp_path / "whole.csv").read_text()


def test_series_pivots_by_run(tmp_path):
    with csv_logger(tmp_path / "metrics.csv", 3) as logger:
        logger.log("train", 10, 1.0, {"loss": np.arange(3.0)})
        logger.log("eval", 20, 1.0, {"eval_return": np.array([1.0, np.nan, 3.0])})
        logger.log("eval", 40, 1.0, {"eval_return": np.array([4.0, 5.0, 6.0])})
    steps, values = series(read_metrics(tmp_path / "metrics.csv"), "eval_return")
    assert steps.tolist() == [20, 40]
    np.testing.assert_array_equal(values, [[1, 4], [np.nan, 5], [3, 6]])
    with pytest.raises(ValueError, match=r"metric 'los': not in metrics.csv, which has .*loss"):
        series(read_metrics(tmp_path / "metrics.csv"), "los")


def test_bad_files_and_shapes_are_refused(tmp_path):
    (tmp_path / "a.csv").write_text("x,y\n1,2\n")
    (tmp_path / "b.csv").write_text(",".join(COLUMNS) + "\n1,2\n")
    (tmp_path / "c.csv").write_text("")
    for name, message in {"a": "not a metrics.csv", "b": "line 2 has 2 cells", "c": "not a metrics.csv"}.items():
        with pytest.raises(ValueError, match=message):
            read_metrics(tmp_path / f"{name}.csv")
    with pytest.raises(ValueError, match=r"metric loss: has shape \(3,\); must be a scalar or \(2,\)"):
        Logger(2).log("train", 1, 0.0, {"loss": np.zeros(3)})


class Recorder:
    def __init__(self, fail=False):
        self.points, self.closed, self.fail = [], False, fail

    def log(self, *point):
        self.points.append(point)

    def close(self):
        self.closed = True
        if self.fail:
            raise OSError("disk full")


def test_sinks_are_all_fed_and_all_closed():
    first, broken, part = Recorder(), Recorder(fail=True), Recorder()
    with pytest.raises(OSError, match="disk full"), Logger(4, first, broken, Part(slice(2, 4), part)) as logger:
        logger.log("train", 5, 1.0, {"x": np.arange(4), "y": 3})
    assert first.closed and broken.closed and part.closed
    assert first.points[0][:3] == ("train", 5, 1.0)
    assert first.points[0][3]["y"].tolist() == [3, 3, 3, 3]
    assert part.points[0][3]["x"].tolist() == [2, 3]
    interrupted = Recorder()
    with pytest.raises(KeyboardInterrupt), Logger(1, interrupted):
        raise KeyboardInterrupt
    assert interrupted.closed


def scalars(folder):
    """What is in the event files of a folder, as `(step, tag) -> value`."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import RecordWriter  # noqa: F401

    found = {}
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            length = int.from_bytes(content[at : at + 8], "little")  # length, its crc, event, its crc
            event = Event.FromString(content[at + 12 : at + 12 + length])
            found |= {(event.step, value.tag): value.simple_value for value in event.summary.value}
            at += length + 16
    return found


def test_tensorboard_has_each_seed_and_the_mean(tmp_path):
    with Logger(3, TensorBoard(tmp_path, [5, 6, 7])) as logger:
        logger.log("train", 10, 1.0, {"loss": np.array([1.0, np.nan, 2.0]), "episode_return": np.full(3, np.nan)})
        logger.log("eval", 20, 1.0, {"eval_return": np.array([1.0, 2.0, 6.0])})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mean", "seed_5", "seed_6", "seed_7"]
    assert scalars(tmp_path / "mean") == {(10, "losses/loss"): 1.5, (20, "evaluation/return"): 3.0}
    assert scalars(tmp_path / "seed_6") == {(20, "evaluation/return"): 2.0}
    with Logger(1, TensorBoard(tmp_path / "one", [0], resume_at=10)) as logger:
        logger.log("train", 11, 1.0, {"loss": 4.0})
    assert [p.name for p in (tmp_path / "one").iterdir()] == ["mean"]


def test_event_files_are_in_order_though_the_clock_is_set_back(tmp_path, monkeypatch):
    for now in (2_000_000_000, 2_000_000_000, 1_000_000_000):
        monkeypatch.setattr("time.time", lambda now=now: now)
        with Logger(1, TensorBoard(tmp_path, [0], resume_at=10)) as logger:
            logger.log("train", 11, 1.0, {"loss": 4.0})
    stamps = [path.name.split(".")[3] for path in sorted((tmp_path / "mean").iterdir())]
    assert stamps == ["2000000000", "2000000001", "2000000002"]


def test_sinks_keep_no_file_open_and_no_thread(tmp_path):
    before, threads = len(list(Path("/proc/self/fd").iterdir())), threading.active_count()
    seeds = range(20)
    logger = Logger(20, MetricsCsv(tmp_path / "metrics.csv", seeds), TensorBoard(tmp_path / "tensorboard", seeds))
    logger.log("train", 1, 1.0, {"loss": np.arange(20.0)})
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert threading.active_count() == threads
    shutil.rmtree(tmp_path / "tensorboard")
    with pytest.raises(files.UnwritableError, match=r"tensorboard/mean/events.*: cannot be written \(No such file"):
        logger.log("train", 2, 1.0, {"loss": np.arange(20.0)})
    logger.close()


HEADER = ",".join(COLUMNS) + "\n"
WHOLE = "0,10,1,train,,,,,,\n0,20,2,train,,,,,,\n"
DAMAGED = {
    "empty": (b"", 0, "first line is ''"),
    "zeroed": (b"\0" * 500, 0, "not a metrics.csv"),
    "another header": (b"a,b\n1,2\n", 0, "not a metrics.csv"),
    "no text": (b"\xff\xfe\n", 0, "not a metrics.csv"),
    "cut": ((HEADER + WHOLE[:23]).encode(), 1, "ends before 20 steps"),
    "a row cut": ((HEADER + WHOLE[:30] + "\n").encode(), 1, "line 3 has"),
    "a zeroed row": ((HEADER + WHOLE[:19]).encode() + b"\0" * 19 + b"\n", 1, "line 3 has 1 cells"),
    "a word for a number": ((HEADER + WHOLE[:19] + "0,20,2,train,x,,,,,\n").encode(), 1, "must be a number or empty"),
    "steps that are none": ((HEADER + WHOLE[:19] + "0,1e9,2,train,,,,,,\n").encode(), 1, "must be a whole number"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_csv_is_mended_up_to_its_last_whole_row(tmp_path, capsys, name):
    content, whole, told = DAMAGED[name]
    path = tmp_path / "metrics.csv"
    path.write_bytes(content)
    with csv_logger(path, runs=1, resume_at=20):
        pass
    warned = capsys.readouterr().err
    assert warned.startswith(f"warning: {path}") and told in warned and warned.count("\n") == 1
    assert "\0" not in warned and (tmp_path / "metrics.csv.damaged").read_bytes() == content
    assert path.read_text() == HEADER + "".join(WHOLE.splitlines(keepends=True)[:whole])


def test_a_folder_in_the_place_of_the_csv_is_kept_aside(tmp_path, capsys):
    path = tmp_path / "metrics.csv"
    path.mkdir()
    with pytest.raises(OSError, match="Is a folder"):
        read_metrics(path)
    with csv_logger(path, runs=1, resume_at=20):
        pass
    assert "cannot be read (Is a folder); going on with no rows" in capsys.readouterr().err
    assert (tmp_path / "metrics.csv.damaged").is_dir() and path.read_text() == HEADER


def test_wandb_is_optional(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(ValueError, match="--wandb: needs the package wandb"):
        Wandb(tmp_path, [0], {})


class FakeWandb:
    """A module that keeps what is asked of it; the run of each `init` is the next in `runs`."""

    def __init__(self, most=99):
        self.most, self.asked, self.runs = most, [], []

    def init(self, **asked):
        if len(self.runs) == self.most:
            raise OSError("no network")
        self.asked.append(asked)
        run = types.SimpleNamespace(id=asked["id"] or f"id{len(self.runs)}", points=[], axes=[], finished=0)
        run.log = run.points.append
        run.define_metric = lambda name, step_metric=None: run.axes.append((name, step_metric))
        run.finish = lambda: setattr(run, "finished", run.finished + 1)
        self.runs.append(run)
        return run


def test_wandb_has_a_run_for_each_seed_in_one_group(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    folder = tmp_path / "mine"
    folder.mkdir()
    with Logger(2, Wandb(folder, [4, 5], {"env": "x", "seed": 4}, project="p", tags=("a", "b"))) as logger:
        metrics = {"episode_return": np.array([np.nan, 3.0]), "value_loss": 2.0, "entropy": 0.5}
        logger.log("train", 10, 1.5, metrics | {"steps_per_second": 7.0})
        logger.log("eval", 10, 2.0, {"eval_return": np.array([1.0, 3.0])})
    assert [(each["project"], each["group"], each["name"], each["tags"]) for each in fake.asked] == [
        ("p", "mine", "mine seed 4", ["a", "b"]),
        ("p", "mine", "mine seed 5", ["a", "b"]),
    ]
    assert [each["config"] for each in fake.asked] == [{"env": "x", "seed": 4}, {"env": "x", "seed": 5}]
    assert all(each["reinit"] == "create_new" for each in fake.asked)  # without it the second run is the first
    for run in fake.runs:
        assert run.axes == [("env_steps", None), ("*", "env_steps")]
        assert run.finished == 1
    shared = {"env_steps": 10, "speed/wall_seconds": 1.5, "losses/value_loss": 2.0, "train/entropy": 0.5}
    assert fake.runs[0].points[0] == shared | {"speed/steps_per_second": 7.0}
    assert fake.runs[1].points[0] == shared | {"speed/steps_per_second": 7.0, "episode/return": 3.0}
    assert fake.runs[1].points[1] == {"env_steps": 10, "speed/wall_seconds": 2.0, "evaluation/return": 3.0}


def test_wandb_goes_on_with_the_runs_of_the_folder(tmp_path, monkeypatch):
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    Wandb(tmp_path, [0, 1], {}).close()
    Wandb(tmp_path, [0, 1, 2], {}, resume=True).close()
    Wandb(tmp_path, [0], {}).close()
    assert [each["id"] for each in fake.asked] == [None, None, "id0", "id1", None, None]
    assert all(each["resume"] == "allow" for each in fake.asked)
    for damaged in (b"{", b"[1]", b'{"0": 3}', b"\xff"):
        (tmp_path / "wandb_ids.json").write_bytes(damaged)
        Wandb(tmp_path, [0], {}, resume=True).close()
        assert fake.asked[-1]["id"] is None


def test_wandb_ends_what_it_began_where_a_run_cannot_be_started(tmp_path, monkeypatch):
    fake = FakeWandb(most=1)
    monkeypatch.setitem(sys.modules, "wandb", fake)
    with pytest.raises(OSError, match="no network"):
        Wandb(tmp_path, [0, 1], {})
    assert [run.finished for run in fake.runs] == [1]


@pytest.mark.parametrize(
    ("kind", "name", "shown"),
    [
        ("train", "episode_return", "episode/return"),
        ("train", "episodes", "episode/count"),
        ("train", "loss", "losses/loss"),
        ("train", "low_policy_loss", "losses/low_policy_loss"),
        ("train", "learning_rate", "train/learning_rate"),
        ("train", "steps_per_second", "speed/steps_per_second"),
        ("eval", "eval_return", "evaluation/return"),
        ("eval", "eval_success", "evaluation/success"),
    ],
)
def test_numbers_are_shown_in_groups(kind, name, shown):
    assert tags.tag(kind, name) == shown


class Terminal(io.StringIO):
    def isatty(self):
        return True


def watch(file, quiet=False, done=0):
    with Logger(2, Progress(1000, 2, done=done, quiet=quiet, file=file)) as logger:
        for step in (500, 1000):
            logger.log("train", step, 1.0, {"episode_return": np.array([20.0, 30.0]), "loss": 1.0})
            logger.log("eval", step, 1.0, {"eval_return": np.array([np.nan, 90.0])})
    return file.getvalue()


def test_progress_is_a_bar_on_a_terminal():
    shown = watch(Terminal())
    assert "100%" in shown and "2.00k/2.00k steps" in shown and "steps/s" in shown and "left" in shown
    assert "return 25, eval return 90" in shown
    assert shown.endswith("\n")
    assert watch(Terminal(), quiet=True) == watch(io.StringIO(), quiet=True) == ""


def test_progress_is_a_line_now_and_then_elsewhere(monkeypatch):
    shown = watch(io.StringIO())
    assert shown.count("\n") == 1 and "\r" not in shown and "\x1b" not in shown  # the last one
    assert shown.startswith("100%, 1,000 of 1,000 steps, ") and "return 25, eval return 90" in shown
    monkeypatch.setattr(Progress, "INTERVAL", 0.0)
    shown = watch(io.StringIO(), done=500)
    assert shown.startswith(" 50%, 500 of 1,000 steps, 0 steps/s, return 25, ? left\n")


def test_progress_neither_passes_its_end_nor_runs_backwards(monkeypatch):
    """Workers side by side take a little more than all steps, and what they were at is evaluated after they went on."""
    monkeypatch.setattr(Progress, "INTERVAL", 0.0)
    points = (("train", 500), ("train", 1020), ("eval", 930), ("eval", 1020))
    for file in (Terminal(), io.StringIO()):
        with Logger(1, Progress(1000, 1, file=file)) as logger:
            for kind, steps in points:
                logger.log(kind, steps, 1.0, {"loss": 1.0})
        percents = [int(word) for word in re.findall(r"(\d+)%", file.getvalue())]
        assert percents == sorted(percents) and percents[-1] == 100, file.getvalue()
    assert [line.split(" steps")[0] for line in file.getvalue().splitlines()] == [
        " 50%, 500 of 1,000",
        *["100%, 1,000 of 1,000"] * 3,
    ]
    assert "-" not in file.getvalue()  # nor has it less than no time left


def test_notes_do_not_disturb_the_bar():
    for file in (Terminal(), io.StringIO()):
        progress = Progress(10, 1, file=file)
        progress.note("seed 3 died")
        progress.close()
        assert "seed 3 died\n" in file.getvalue()
    assert sinks.Progress is Progress
