"""Runs that several tests look at, each trained once."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.experiments import running
from tests.experiments.running import FLAGS, Forks, Outcome, succeed


class Run(NamedTuple):
    """A finished run."""

    folder: Path
    outcome: Outcome


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Run]:
    """`finished(experiment)`: its small run. Tests must leave its folder as it is."""

    parent = tmp_path_factory.mktemp("finished")

    @cache
    def train(experiment: str) -> Run:
        folder = parent / experiment
        return Run(folder, succeed(experiment, *FLAGS[experiment], "--out", folder))

    return train


@pytest.fixture
def forks() -> Iterator[Forks]:
    """Processes to kill."""
    process = running.Forks()
    yield process
    process.close()
