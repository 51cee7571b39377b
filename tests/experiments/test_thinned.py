"""Sets with rows left out, whose rows do not follow each other: only cloning learns from them."""

import dataclasses
from pathlib import Path

import pytest

import envs
import replay
from experiments import parts, run
from experiments.list import systems
from replay import dataset
from tests.experiments.running import call, succeed
from tests.experiments.words import flags_of, offline_systems
from tests.sets import drawn

ENV = "bellmax/catch"


def of(kind: type) -> list[str]:
    """The commands whose agents have flags of a kind."""
    return sorted(name for name in systems() if isinstance(flags_of(name)().agent, kind))


ACTING = sorted(name for name in systems() if issubclass(flags_of(name), run.Common))
ASKED = [
    *((name, "--dataset") for name in offline_systems() if not flags_of(name).clones),
    ("dqn", "--data"),
    *((name, "--agent.demonstrations") for name in of(parts.demonstrations.Learning)),
    *((name, "--agent.expert") for name in of(parts.experts.Shown)),
]


@pytest.fixture(scope="module")
def thin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a set, joined with one that has all rows."""
    whole = drawn(envs.make(ENV).spec, env=ENV)
    path = tmp_path_factory.mktemp("thin") / "thin.npz"
    replay.save(dataset.concatenated([whole, dataset.thinned(whole, 3)], ["a", "b"]), path)
    return path


def test_there_are_commands_of_every_kind() -> None:
    asked: dict[str, set[str]] = {}
    for name, flag in ASKED:
        asked.setdefault(flag, set()).add(name)
    assert {"iql", "awac", "cql", "td3_bc", "bcq", "bear", "edac", "mopo", "dt", "hiql"} <= asked["--dataset"]
    assert {"dqn", "sac", "td3"} <= {*ACTING} and "bc" not in asked["--dataset"]
    assert asked["--agent.demonstrations"] == {"dqfd", "ddpgfd"}
    assert asked["--agent.expert"] == {"gail", "airl", "maxent_irl"}


@pytest.mark.parametrize(("name", "flag"), ASKED)
def test_it_is_refused_where_one_row_must_follow_another(name: str, flag: str, thin: Path, tmp_path: Path) -> None:
    outcome = call(name, flag, thin, "--out", tmp_path / "run")
    assert outcome.code == 2, outcome
    assert outcome.err == (
        f"error: {flag} {thin}: has one row in 3 of its episodes (collect --every 3), from which experiments.bc alone "
        "can learn; must have all (--every 1)\n"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ACTING)
def test_no_command_that_acts_learns_from_it_beside(name: str, thin: Path) -> None:
    config = dataclasses.replace(flags_of(name)(), data=str(thin))
    with pytest.raises(ValueError, match=r"--data .*: has one row in 3 of its episodes"):
        run.data.held(config, envs.make(ENV).spec)


def test_it_is_imitated_and_joined(thin: Path, tmp_path: Path) -> None:
    words = ["--updates", 2, "--eval-episodes", 2, "--agent.hidden", 4, "--agent.batch-size", 4, "--quiet"]
    succeed("bc", "--dataset", thin, *words, "--out", tmp_path / "run")
    succeed("collect", "--episodes", 0, "--mix", thin, thin, "--out", tmp_path / "both.npz")
    assert replay.load(tmp_path / "both.npz").every == 3
