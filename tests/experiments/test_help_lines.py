"""Every flag of every command has a line of help that is understood without the lines beside it."""

import dataclasses
import re
from importlib import import_module
from typing import Any

import pytest

from experiments import benchmark, collect, compare, tune
from experiments.list import systems
from experiments.run import evaluation
from tests.experiments.test_commands import told

KINDS: dict[str, Any] = {name: import_module(f"experiments.{name}").Flags for name in systems()}
KINDS |= {f"{name} --agent": type(kind().agent) for name, kind in KINDS.items()}
KINDS |= {
    "evaluate": evaluation.Flags,
    "compare": compare.Config,
    "benchmark": benchmark.Config,
    "collect": collect.Config,
    "tune": tune.Config,
}
LEANS = re.compile(r"(Its?|Their|The (same|highest|lowest|first|last)|Likewise|Of|These|Those|That|This|With(out)?) ")
"""How a line begins that leans on the line before it."""
WITHIN = re.compile(
    r"\b(that (model|noise|agent|run|push)|those sums|these distributions|each of them|of either|the one above|"
    r"such a step)\b"
)
"""What within a line points at the line before it."""
LEAST = 4
"""Words of a line."""


@pytest.mark.parametrize("name", KINDS)
def test_every_line_of_help_stands_alone(name: str) -> None:
    lines = told(KINDS[name])
    fields = {field.name for field in dataclasses.fields(KINDS[name])} - {"agent"}
    assert lines.keys() == fields and len(fields) >= 4
    for field, line in lines.items():
        assert re.match(r"[A-Z]", line), (field, line)
        assert line.endswith("."), (field, line)
        assert len(line.split()) >= LEAST, (field, line)
        assert not LEANS.match(line), (field, line)
        assert not WITHIN.search(line), (field, line)


def test_no_flag_is_switched_off_by_a_double_negation() -> None:
    names = [field.name for kind in KINDS.values() for field in dataclasses.fields(kind) if field.type is bool]
    assert len(names) > 100
    assert not [name for name in names if name.startswith("no_")]


@pytest.mark.parametrize("name", systems())
def test_groups_of_flags_are_headed_by_words(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        import_module(f"experiments.{name}").main(["--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    assert "Flags of the agent" in printed and "type: ignore" not in printed
