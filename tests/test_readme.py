"""What README.md tells a user to type works, in the order in which it stands."""

import re
import subprocess
import sys

import pytest

from experiments.list import systems
from tests.experiments.running import ROOT

TEXT = (ROOT / "README.md").read_text()
BLOCK = TEXT.partition("## What a user types")[2].partition("```bash\n")[2].partition("```")[0]
COMMANDS = [line.partition("#")[0].split() for line in BLOCK.splitlines() if line.strip()]
FEWER = ["--seeds", "2", "--steps", "5000", "--eval-episodes", "4", "--quiet"]
RESUMED = ["--steps", "6000", "--quiet"]


def test_commands_of_the_readme_exist():
    assert len(COMMANDS) >= 8
    named = {words[2].removeprefix("experiments.") for words in COMMANDS}
    assert {"dqn", "evaluate", "compare", "list"} < named
    assert named - set(systems()) == {"evaluate", "compare", "list"}


@pytest.mark.slow
def test_commands_of_the_readme_work_in_order(tmp_path):
    for words in COMMANDS:
        typed = [sys.executable, *words[1:]]
        if words[2].removeprefix("experiments.") in systems():
            typed += RESUMED if "--resume" in words else FEWER
            typed = [word for word in typed if word != "200000" and word != "300000"]
            typed = re.sub(r"--steps (?=--)", "", " ".join(typed)).split()
        done = subprocess.run(
            typed, cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (" ".join(typed), done.stderr[-1000:])
    assert (tmp_path / "z.gif").exists() and (tmp_path / "compare.png").exists()


@pytest.mark.slow
def test_the_python_of_the_readme_works(tmp_path):
    code = TEXT.partition("```python\n")[2].partition("```")[0].replace("100_000", "4_000")
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
