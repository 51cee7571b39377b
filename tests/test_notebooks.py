"""The notebooks run as they are, without a warning, and what is committed shows what their text says."""

import base64
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from notebooks import execute
from tests.thorough import plain_flags

NAMES = execute.names()
LARGEST = 100_000  # bytes of a figure
LONG = {"advantages", "distributions", "dreams", "goals", "imagination", "memory", "meta"}  # minutes each
LONG |= {"curiosity", "instructions", "losses", "offline", "seeds"}  # half a minute to a minute each
MISSING = re.compile("Module.* has no attribute|Unexpected keyword|Missing positional|is not defined|Cannot find")


def committed(name: str) -> nbformat.NotebookNode:
    return nbformat.read(execute.HERE / f"{name}.ipynb", as_version=4)


def outputs(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def images(notebook: nbformat.NotebookNode) -> list[bytes]:
    found = [output.get("data", {}).get("image/png") for output in outputs(notebook)]
    return [base64.b64decode(png) for png in found if png]


def test_which_there_are():
    first = ["advantages", "curiosity", "distributions", "dreams", "goals", "imagination", "instructions", "losses"]
    assert [*first, "memory", "meta", "offline", "options", "rewards", "seeds", "start"] == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_pair_is_in_sync(name):
    text, notebook = execute.read(name), committed(name)
    assert [(c.id, c.cell_type, c.source) for c in notebook.cells] == [
        (c.id, c.cell_type, c.source) for c in text.cells
    ]
    nbformat.validate(notebook)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_committed_is_executed_and_clean(name):
    notebook = committed(name)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert sum("plt.show()" in cell.source for cell in code) == len(images(notebook)) > 0
    assert all(len(png) < LARGEST for png in images(notebook))
    assert not [o for o in outputs(notebook) if o.output_type == "error" or o.get("name") == "stderr"]
    for output in outputs(notebook):
        output.get("data", {}).pop("image/png", None)
    whole = nbformat.writes(notebook)
    for path in ("/home/", "/Users/", "site-packages", ".venv", str(Path.home()), str(execute.HERE.parent)):
        assert path not in whole


def missing(folder: Path, sources: dict[str, str]) -> list[str]:
    """What mypy says of names and arguments that do not exist, in code by name."""
    for name, source in sources.items():
        (folder / f"{name}_notebook.py").write_text(source)
    words = [sys.executable, "-m", "mypy", *map(str, sorted(folder.glob("*_notebook.py")))]
    done = subprocess.run(words, cwd=execute.HERE.parent, capture_output=True, text=True, check=False)
    assert done.stderr == "" and "Found" in done.stdout
    return [line for line in done.stdout.splitlines() if MISSING.search(line)]


def test_names_and_arguments_exist(tmp_path):
    """In every notebook, also in those that are executed by `make slow` only."""
    text = {name: "\n\n".join(c.source for c in execute.read(name).cells if c.cell_type == "code") for name in NAMES}
    lines = ["from agents import bc, nobody", "optimiser = bc.nothing_of_it", "bc.bc(wrong=optimiser)", "nothing()"]
    found = missing(tmp_path, text | {"wrong": "\n".join(lines)})
    told = [line.partition(": ")[0].rpartition("/")[2] for line in found]
    assert sorted(set(told)) == [f"wrong_notebook.py:{n}" for n in (1, 2, 3, 4)]


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in NAMES])
def test_the_text_executes(name, monkeypatch):
    monkeypatch.setenv("JAX_NUMPY_RANK_PROMOTION", "raise")
    monkeypatch.setenv("XLA_FLAGS", plain_flags())
    monkeypatch.delenv("MPLBACKEND", raising=False)  # some simulator sets it, and kernels then draw nothing
    fresh, before = execute.execute(name), committed(name)
    assert [o.output_type for o in outputs(fresh)] == [o.output_type for o in outputs(before)]
    assert len(images(fresh)) == len(images(before))
