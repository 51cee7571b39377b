"""A config.json that was edited or damaged: one line that names the file, the flag, its value and what is allowed."""

import json
import math
from dataclasses import dataclass, field
from typing import Literal

import pytest

from experiments.run import flags, ranges
from tests.experiments.test_flags import refused, stored


@dataclass(frozen=True)
class Inner:
    rate: ranges.Positive = 1e-3
    most: ranges.Limit = 1.0
    hidden: tuple[ranges.Count, ...] = (8,)
    scale: ranges.Positive | None = None


@dataclass(frozen=True)
class Outer:
    count: ranges.Count = 1
    on: bool = False
    name: str = ""
    words: tuple[str, ...] = ()
    how: Literal["one", "two"] = "one"
    agent: Inner = field(default_factory=Inner)


BAD = {
    "count": (["3", None, True, 1.0, [1], {}], "must be a whole number"),
    "on": (["true", None, 0, 1, []], "must be true or false"),
    "name": ([3, None, True, ["x"], {}], "must be text"),
    "words": (["x", None, 3, [3], [["x"]], [None]], "must be a list, each text"),
    "how": (["three", None, 1, True, ["one"]], "must be one of one, two"),
    "agent": (["x", None, 3, [], True], "must be an object of flags"),
    "agent.rate": (["3", None, True, [1.0], 10**400, {}], "must be a number"),
    "agent.most": (["3", True, [1.0]], "must be a number, or null for no limit"),
    "agent.hidden": (["8", 8, None, [8.0], [True], ["8"], [[8]]], "must be a list, each a whole number"),
    "agent.scale": (["1", True, [1.0]], "must be a number or null"),
    "agent.nothing": ([1, "x", None], "there is no such flag"),
    "cuont": ([1], "there is no such flag; closest: count"),
}
GOOD = {
    "agent.rate": ([1, 0.5], lambda x: float(x)),
    "agent.most": ([None, 2], lambda x: math.inf if x is None else float(x)),
    "agent.hidden": ([[], [3, 4]], tuple),
    "agent.scale": ([None, 2.0], lambda x: x),
    "words": ([["a", "b"]], tuple),
    "how": (["two"], str),
}


def placed(name, value):
    outer, _, inner = name.rpartition(".")
    return {outer: {inner: value}} if outer else {name: value}


@pytest.mark.parametrize("name", BAD)
def test_values_that_are_not_of_their_flag(tmp_path, name):
    values, told = BAD[name]
    for value in values:
        content = {"experiment": "x", "flags": placed(name, value)}
        (tmp_path / "config.json").write_text(json.dumps(content))
        with pytest.raises(ValueError, match=r"must|there is no") as error:
            flags.load(Outer, tmp_path)
        line = str(error.value)
        assert line.startswith(f"{tmp_path}/config.json: {flags.flag(name)} ") and told in line, line
        assert "\n" not in line and len(line) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("name", GOOD)
def test_values_as_json_holds_them(name):
    values, meant = GOOD[name]
    for value in values:
        assert flags.flat(flags.rebuild(Outer, placed(name, value)))[name] == meant(value)


def test_numbers_out_of_range_name_the_file(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "x", "flags": {"count": 0}}))
    with pytest.raises(ValueError, match=r"config.json: --count 0: must be at least 1$"):
        flags.load(Outer, tmp_path)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"experiment": 3}, "config.json: experiment is 3; must be the name of an experiment"),
        ({"experiment": "\x1b[31m" + "x" * 500}, "config.json: experiment is \\x1b[31mxxx"),
        ({"flags": []}, "config.json: flags is []; must be an object"),
        ({"flags": 3}, "config.json: flags is 3; must be an object"),
        ({"starts": [3]}, "config.json: starts is [3]; must be a list of objects"),
        ({"file": 3}, "config.json: file is 3; must be null or the name of a file"),
    ],
)
def test_content_of_another_kind(tmp_path, changes, told):
    (tmp_path / "config.json").write_text(json.dumps({"experiment": "x", "flags": {}} | changes))
    with pytest.raises(ValueError, match="must be") as error:
        flags.contents(tmp_path)
    line = str(error.value)
    assert told in line and "\n" not in line and "\x1b" not in line and len(line) < len(str(tmp_path)) + 200


@pytest.mark.parametrize("content", [b"\xff\xfe", b"[" * 100_000, b"", b"null", b'{"experiment": "x"}'])
def test_what_is_no_config_at_all(tmp_path, content):
    (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"is not a run folder: no readable config.json in it") as error:
        flags.contents(tmp_path)
    assert "\n" not in str(error.value) and len(str(error.value)) < len(str(tmp_path)) + 300


def test_command_refuses_an_edited_config(tmp_path):
    folder = stored("a2c", tmp_path / "run", seeds="2")
    told = refused("a2c", "--resume", folder)
    assert told == f'error: {folder}/config.json: --seeds "2": must be a whole number'


@pytest.mark.parametrize("name", ["run", "list", "evaluate", "parts", "flags", "__main__", "../x"])
def test_an_experiment_that_is_none(tmp_path, name):
    folder = stored("a2c", tmp_path / "run")
    content = json.loads((folder / "config.json").read_text()) | {"experiment": name}
    (folder / "config.json").write_text(json.dumps(content))
    told = refused("evaluate", folder)
    assert "declares no `experiment`" in told or "which is not here" in told
