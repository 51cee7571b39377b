"""The code on the pages of the documentation runs, in the order of the pages and in one folder.

A block with a title is a file; other blocks of Python are run one after the other, those of a page in one module, and
in blocks of `bash` every line is a command. Blocks of other languages, such as `sh` and `text`, are only read.
"""

import contextlib
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

from experiments.list import systems, tools
from tests.experiments.running import ROOT, call

DOCS = ROOT / "docs"
PAGES = ["index.md", *sorted(f"{f}/{path.name}" for f in ("concepts", "how-to") for path in (DOCS / f).glob("*.md"))]
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


class Block(NamedTuple):
    """Code on a page."""

    language: str
    title: str
    text: str


def blocks(page: str) -> list[Block]:
    return [Block(*found) for found in FENCE.findall((DOCS / page).read_text())]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The reader's folder, in which the first page trains the run that others look at."""
    path, modules = tmp_path_factory.mktemp("reader"), set(sys.modules)
    with contextlib.chdir(path):
        sys.path.insert(0, str(path))
        run_page("index.md", path)
        yield path
        sys.path.remove(str(path))
    for name in set(sys.modules) - modules:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(path)):
            del sys.modules[name]


def run_page(page: str, folder: Path) -> None:
    """Writes the files of a page and runs its other blocks."""
    names = {"__name__": page}
    for block in blocks(page):
        if block.title:
            (folder / block.title).write_text(block.text)
        elif block.language == "python":
            exec(compile(block.text, str(DOCS / page), "exec"), names)
        elif block.language == "bash":
            for line in block.text.replace("\\\n", " ").splitlines():
                run_line(line)


def run_line(line: str) -> None:
    """Runs a command in this process, without its progress bar."""
    python, *words = shlex.split(line, comments=True)
    assert python == "python", line
    if words[0] == "-m":
        name, words = words[1].removeprefix("experiments."), words[2:]
        outcome = call(name, *words, *(["--quiet"] if name in systems() else []))
        assert outcome.code == 0, (line, outcome.err)
    else:
        import_module(Path(words[0]).stem).main([*words[1:], "--quiet"])


def test_every_page_is_found():
    assert len(PAGES) == 1 + 7 + 13
    assert len([page for page in PAGES if any(block.language in ("python", "bash") for block in blocks(page))]) == 19


@pytest.mark.parametrize("page", PAGES[1:])
def test_the_code_of_a_page_runs(page: str, folder: Path) -> None:
    run_page(page, folder)


def test_the_first_page_s_run_is_there(folder: Path) -> None:
    assert (folder / "runs/catch/summary.json").exists()


def refusals() -> list[tuple[str, str]]:
    """The commands of the page of errors, and what each says."""
    said = [block.text.rstrip("\n").partition("\n") for block in blocks("faq.md") if block.language == "console"]
    return [(line.removeprefix("$ python -m experiments."), told) for line, _, told in said]


@pytest.mark.parametrize(("line", "told"), refusals(), ids=[line for line, _ in refusals()])
def test_a_refusal_is_quoted_as_it_is(line: str, told: str, folder: Path) -> None:
    outcome = call(*shlex.split(line))
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert re.fullmatch(".*".join(map(re.escape, told.split("…"))), outcome.err.rstrip("\n")), outcome.err


def test_other_messages_are_in_the_code():
    code = "".join(path.read_text() for room in ("envs", "experiments") for path in (ROOT / room).rglob("*.py"))
    quoted = [block.text for block in blocks("faq.md") if block.language == "text"]
    pieces = [piece.strip() for text in quoted for piece in text.split("…") if piece.strip()]
    assert len(quoted) >= 9 and len(refusals()) >= 18
    assert [piece for piece in pieces if piece not in code] == []


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """No broken link or anchor, no page that nothing leads to, no name of the reference that is not found."""
    words = ["-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    variables = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        [sys.executable, *words], cwd=ROOT, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for page in ("index", "faq", "results/dqn", "contributing", "notebooks/start", "reference/agents/losses/returns"):
        assert (tmp_path / "site" / f"{page}.html").exists()
    for name in (*systems(), *tools()):
        assert (tmp_path / "site" / "commands" / f"{name}.html").exists()
    # Comments behind fields are their documentation.
    assert (
        "<p>steps after which an episode is truncated, if there is such a limit</p>"
        in (tmp_path / "site" / "reference" / "envs" / "base.html").read_text()
    )


def test_folded_commands_are_the_same_to_a_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))
    folding = import_module("folding")
    long = (
        "python -m experiments.a2c --env bellmax/catch --seeds 2 --steps 20000 --agent.learning-rate 3e-3 --out runs/x"
    )
    text = folding.folded(f"```bash\n{long}\nls\n```\n{long}\n")
    folded = text.partition("\nls")[0].removeprefix("```bash\n")
    assert folded.count("\n") == 1 and max(map(len, folded.split("\n"))) <= folding.WIDTH
    assert shlex.split(folded.replace("\\\n", " ")) == shlex.split(long)
    assert text.endswith(f"\nls\n```\n{long}\n")
    assert folding.fold(f"{long}   # a comment") == f"{long}   # a comment"
