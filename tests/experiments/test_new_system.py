"""A new system is an agent, a command, a claim with its page and an entry in the contract's list, nothing else."""

import os
import shutil
import subprocess
import sys

import pytest

from experiments.list import MARKS, readme_table
from tests.experiments.running import ROOT

CLAIM = """
system = "newcomer"
title = "The newcomer on catch"
says = "The newcomer scores -1 or more, as everyone does."
experiment = "newcomer"
flags = "--env bellmax/catch --num-envs 4 --steps 2048 --agent.hidden 16 --quiet"
seeds = [1000, 1001]
code = ["agents/newcomer.py"]
gate = { at_least = -1.0, over = "every" }
"""
SMALL = ["--env", "bellmax/catch", "--num-envs", "4", "--steps", "2048", "--agent.hidden", "16", "--quiet"]


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository with A2C once more, under another name."""
    path = tmp_path_factory.mktemp("copy") / "bellmax"
    kept = ("agents", "envs", "networks", "replay", "experiments", "tests", "docs")
    for name in kept:
        shutil.copytree(ROOT / name, path / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, path)
    agent = (path / "agents/a2c.py").read_text().replace("def a2c(", "def newcomer(")
    (path / "agents/newcomer.py").write_text(agent)
    command = (path / "experiments/a2c.py").read_text()
    command = command.replace("from agents.a2c import a2c", "from agents.newcomer import newcomer as a2c")
    command = command.replace('Experiment("a2c"', 'Experiment("newcomer"').replace("Train A2C", "Train the newcomer")
    (path / "experiments/newcomer.py").write_text(command)
    (path / "docs/results/newcomer.md").write_text("# The newcomer\n\n<!-- evidence -->\n<!-- /evidence -->\n")
    (path / "docs/results/claims/newcomer_catch.toml").write_text(CLAIM)
    listing = path / "tests/agents/listing.py"
    entry = '    "newcomer": Entry(newcomer_parts),\n'
    made = "\n\ndef newcomer_parts(spec, **overrides):\n    return a2c_parts(spec, **overrides)\n\n\nWHOLE = "
    listing.write_text(
        listing.read_text().replace("\nWHOLE = ", made, 1).replace("AGENTS = {\n", "AGENTS = {\n" + entry, 1)
    )
    return path


def typed(copy, *words):
    """What a command prints in the copy."""
    variables = os.environ | {"PYTHONPATH": str(copy)}
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=copy, env=variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_it_is_listed_and_has_its_help_and_its_line_in_the_readme(copy):
    assert "python -m experiments.newcomer     Train the newcomer" in typed(copy, "experiments.list", "experiments")
    assert "newcomer" in typed(copy, "experiments.list", "agents")
    assert "Train the newcomer" in typed(copy, "experiments.newcomer", "--help")
    typed(copy, "experiments.list", "readme")
    row = next(line for line in (copy / "README.md").read_text().splitlines() if "experiments/newcomer.py" in line)
    assert "[`newcomer`](agents/newcomer.py)" in row and "[page](docs/results/newcomer.md)" in row


def test_it_trains_resumes_is_evaluated_and_compared(copy):
    typed(copy, "experiments.newcomer", *SMALL, "--out", "run")
    typed(copy, "experiments.newcomer", "--resume", "run", "--steps", "4096")
    assert "newcomer on bellmax/catch" in typed(copy, "experiments.evaluate", "run", "--episodes", "8")
    assert "run" in typed(copy, "experiments.compare", "run", "--out", "compare.png")


def test_its_claim_is_run_recorded_and_checked(copy):
    typed(copy, "experiments.evidence", "run", "newcomer_catch")
    page = (copy / "docs/results/newcomer.md").read_text()
    assert "every seed ≥ -1 | met" in page and "plots/newcomer_catch.png" in page
    assert "agree with their records and pages" in typed(copy, "experiments.evidence", "check")


def test_it_passes_the_tests_of_all_systems(copy):
    contracts = ("tests/agents/test_contract.py", "tests/agents/test_all_systems.py")
    files = (*contracts, "tests/experiments/test_ranges.py", "tests/test_layers.py")
    printed = typed(copy, "pytest", "-q", "-p", "no:cacheprovider", *files, "-k", "newcomer or test_layers")
    assert "newcomer" not in printed and " passed" in printed


def test_the_table_in_the_readme_is_what_the_code_says():
    inside = (ROOT / "README.md").read_text().partition(MARKS[0])[2].partition(MARKS[1])[0]
    assert inside.strip() == readme_table(), "run `python -m experiments.list readme`"
