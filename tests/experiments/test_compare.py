import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from experiments import compare
from experiments.reports import comparison, stats
from experiments.reports.sinks import Logger, MetricsCsv

ROOT = Path(__file__).parents[2]


def make_run(folder, scores, env="bellmax/catch", steps=200, **agent):
    folder.mkdir()
    flags = {"env": env, "seeds": len(scores), "out": str(folder), "agent": {"gamma": 0.99, **agent}}
    (folder / "config.json").write_text(json.dumps({"experiment": "dqn", "flags": flags, "versions": {}}))
    (folder / "summary.json").write_text(json.dumps({"experiment": "dqn", "env": env, "env_steps": steps}))
    with Logger(len(scores), MetricsCsv(folder / "metrics.csv", range(len(scores)))) as logger:
        for step in (100, 200):
            logger.log("train", step, 1.0, {"loss": np.float64(scores) * 2})
            logger.log("eval", step, 1.0, {"eval_return": np.float64(scores) - 200 + step})
    return folder


@pytest.fixture
def runs(tmp_path):
    return [
        make_run(tmp_path / "plain", [1.0, 2.0, 3.0, 4.0]),
        make_run(tmp_path / "double", [5.0, 6.0, 3.0, np.nan], learning_rate=3e-4),
    ]


def test_table_has_scores_and_chances(runs, tmp_path, capsys):
    compare.main([*map(str, runs), "--out", str(tmp_path / "x.png")])
    header, plain, double, *rest = capsys.readouterr().out.splitlines()
    assert header.split() == ["run", "env", "seeds", "IQM", "95", "%", "interval", "P(better", "than", "plain)"]
    low, high = stats.interval([1.0, 2.0, 3.0, 4.0])
    assert plain.split() == ["plain", "bellmax/catch", "4", "2.5", f"[{low:.4g},", f"{high:.4g}]", "-"]
    assert double.split()[:6] == ["double", "bellmax/catch", "3", "of", "4", "4.667"]
    chance, ends = stats.probability_of_improvement([5.0, 6.0, 3.0], [1.0, 2.0, 3.0, 4.0])
    assert double.endswith(f"{chance:.2f} [{ends[0]:.2f}, {ends[1]:.2f}]")
    assert rest == [
        "note: double: 1 of 4 seeds have no finite score and are left out",
        "flag agent.learning_rate: -, 0.0003",
        f"plot: {tmp_path / 'x.png'}",
    ]
    assert (tmp_path / "x.png").stat().st_size > 10_000


def test_figures_of_others_are_drawn_beside(runs, tmp_path):
    text = "theirs, λ = 1=100:1.5,200:-2e1"
    ((label, (steps, scores)),) = comparison.figures([text]).items()
    assert label == "theirs, λ = 1" and steps.tolist() == [100, 200] and scores.tolist() == [1.5, -20]
    plain, beside = tmp_path / "plain.png", tmp_path / "beside.png"
    compare.main([str(runs[0]), "--out", str(plain)])
    compare.main([str(runs[0]), "--published", text, "--out", str(beside)])
    assert plain.read_bytes() != beside.read_bytes()


def test_other_tasks_and_lengths_are_remarked(runs, tmp_path, capsys):
    other = make_run(tmp_path / "other", [1.0], env="gymnax/CartPole-v1", steps=500)
    compare.main([str(runs[0]), str(other), "--metric", "loss", "--out", str(tmp_path / "x.png")])
    output = capsys.readouterr().out
    assert "note: the runs are of different tasks: bellmax/catch, gymnax/CartPole-v1" in output
    assert "note: the runs are of different numbers of environment steps per seed: 200, 500" in output
    assert " 5 " in output.splitlines()[1]  # the IQM of the losses 2, 4, 6, 8


def test_labels_leave_out_what_is_common():
    assert comparison.labels(["a/x", "a/y"]) == ["x", "y"]
    assert comparison.labels(["a/x", "b/x"]) == ["a/x", "b/x"]
    assert comparison.labels(["a/x"]) == ["x"]
    with pytest.raises(ValueError, match="given twice"):
        comparison.labels(["a/x", "a/../a/x"])


def instead(path, make):
    path.unlink()
    make(path)


def summarised(folder, **changes):
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_what_a_stranger_wrote_is_shown_as_text(runs, tmp_path, capsys):
    """No terminal escapes, no mathtext, nothing very long."""
    summarised(runs[1], env="\x1b[31m$\\frac{$" + "x" * 5000)
    config = json.loads((runs[1] / "config.json").read_text())
    config["flags"]["agent"] |= {"\x1b]0;title\x07": "\x1b[2J", "many": [1] * 10_000}
    (runs[1] / "config.json").write_text(json.dumps(config))
    strange = runs[1].rename(tmp_path / "_$\\frac{$\x1b[31m")
    compare.main([str(runs[0]), str(strange), "--out", str(tmp_path / "x.png")])
    shown = capsys.readouterr()
    assert "\x1b" not in shown.out and "\x07" not in shown.out and shown.err == ""
    assert "\\x1b[31m$\\frac{$xxx" in shown.out and "flag agent.\\x1b]0;title\\x07: -, \\x1b[2J" in shown.out
    assert max(map(len, shown.out.splitlines())) < 400
    assert (tmp_path / "x.png").stat().st_size > 10_000


def without(name):
    return lambda folder: (folder / name).unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("metrics.csv"), "cannot read metrics.csv"),
        (without("config.json"), "cannot read config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "holds no JSON object"),
        (lambda folder: (folder / "summary.json").write_text("{}"), "summary.json has no experiment, env, env_steps"),
        (lambda folder: (folder / "metrics.csv").write_text("a,b\n"), "not a metrics.csv"),
        (lambda folder: (folder / "metrics.csv").write_bytes(b"\0" * 99), "not a metrics.csv"),
        (lambda folder: instead(folder / "metrics.csv", Path.mkdir), "cannot read metrics.csv (Is a folder)"),
        (lambda folder: instead(folder / "config.json", Path.mkdir), "cannot read config.json (Is a folder)"),
        (
            lambda folder: instead(folder / "summary.json", os.mkfifo),
            "cannot read summary.json (Is a pipe or a device)",
        ),
        (lambda folder: (folder / "config.json").write_bytes(b"\xff"), "config.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text("[" * 100_000), "config.json is not JSON"),
        (lambda folder: (folder / "config.json").write_text('{"flags": [1]}'), "has [1] as flags; must be an object"),
        (lambda folder: summarised(folder, env=3), "summary.json has 3 as env; must be text"),
        (lambda folder: summarised(folder, env_steps="x"), "summary.json has x as env_steps; must be a whole number"),
        (lambda folder: summarised(folder, env_steps=True), "has True as env_steps; must be a whole number"),
    ],
)
def test_bad_folders_end_it_with_one_line(runs, spoil, message, capsys):
    spoil(runs[1])
    with pytest.raises(SystemExit) as end:
        compare.main([*map(str, runs)])
    printed = capsys.readouterr()
    assert end.value.code == 2
    assert message in printed.err and str(runs[1]) in printed.err
    assert printed.err.count("\n") == 1 and printed.out == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{}", "--metric", "x"], "metric 'x': not in metrics.csv"),
        (["{}", "--metric", "episode_return"], "reports no episode_return"),
        (["{}", "--out", "/nowhere/x.png"], "--out /nowhere/x.png: cannot be written (No such file or directory)"),
        (["{}", "--published", "theirs=100:1,200"], "--published theirs=100:1,200: must be LABEL=STEPS:SCORE"),
        (["{}", "--published", "100:1"], "--published 100:1: must be LABEL=STEPS:SCORE"),
        (["/nowhere"], "/nowhere: no such run folder"),
        ([], "no run folders given"),
    ],
)
def test_bad_flags_end_it_with_one_line(runs, arguments, message, capsys):
    with pytest.raises(SystemExit) as end:
        compare.main([argument.format(runs[0]) for argument in arguments])
    printed = capsys.readouterr().err
    assert end.value.code == 2
    assert message in printed and printed.count("\n") == 1


def test_help_is_fast_and_imports_nothing_heavy():
    began = time.monotonic()
    command = [sys.executable, "-m", "experiments.compare", "--help"]
    assert "Run folders" in subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert time.monotonic() - began < 10  # a second or so on a machine at rest
    heavy = "jax", "matplotlib", "orbax", "tensorboardX", "pandas", "tqdm", "scipy"
    modules = "run.checkpoint", "reports.sinks", "reports.plots", "reports.stats", "compare"
    code = (
        f"import sys, {', '.join(f'experiments.{m}' for m in modules)}; print([m for m in {heavy} if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True).stdout == "[]\n"
