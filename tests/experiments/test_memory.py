"""Sizes that cannot fit into memory are refused in one line, before anything is compiled."""

from pathlib import Path
from typing import Any

import jax
import pytest

from experiments import dqn
from experiments.drivers import devices
from experiments.run import memory
from tests.experiments.running import CATCH, call

HUGE = [
    ("dqn", "--seeds 1000000000", "--seeds 1000000000, --num-envs 16"),
    ("dqn", "--seeds 1000000", "--seeds 1000000, --agent.buffer-size 100000"),
    ("a2c", "--num-envs 2000000000 --steps 1000000000000", "--num-envs 2000000000"),
    ("dqn", "--agent.buffer-size 2000000000 --seeds 1000", "--seeds 1000, --agent.buffer-size 2000000000"),
    ("dqn", "--agent.buffer-size 2000000000 --agent.batch-size 2000000000 --seeds 1000", "--seeds 1000, --agent."),
    ("ppo", "--agent.hidden 2000000000 2000000000", "--agent.hidden 2000000000 2000000000"),
    ("ppo", "--agent.unroll 2000000000 --steps 1000000000000", "--num-envs 8, --agent.unroll 2000000000"),
    ("cem", "--agent.population 2000000000 --seeds 100", "--seeds 100, --agent.population 2000000000"),
    ("dqn", "--eval-episodes 2000000000 --seeds 100", "--seeds 100, --eval-episodes 2000000000"),
    ("ppo", "--env envpool/CartPole-v1 --num-envs 2000000000 --seeds 100", "--seeds 100, --num-envs 2000000000"),
]


@pytest.mark.parametrize(("command", "words", "told"), HUGE)
def test_what_cannot_fit_is_refused_in_one_line(command: str, words: str, told: str, tmp_path: Path) -> None:
    env = [] if "--env " in words else CATCH
    outcome = call(command, *env, *words.split(), "--out", tmp_path / "run")
    assert outcome.code == 2
    (line,) = outcome.err.splitlines()
    assert line.startswith(f"error: {told}")
    assert "would take at least" in line and " of memory (of one run: " in line
    assert line.endswith(f"but the machine has {memory.in_words(memory.physical() or 0)}")
    assert not (tmp_path / "run").exists()


def test_what_is_seen_is_the_state_and_not_a_guess(tmp_path: Path, monkeypatch: Any) -> None:
    config = ("--seeds", "4", "--agent.buffer-size", "1000000", "--steps", "5000")
    # A million rows of a frame of 12 floats, an action, a reward, a discount, a step type and so on.
    monkeypatch.setattr(memory, "physical", lambda: 4 * 60_000_000)
    refused = call("dqn", *CATCH, *config, "--out", tmp_path / "run")
    assert refused.err.startswith("error: --seeds 4, --agent.buffer-size 1000000: would take at least 2")
    assert refused.err.rstrip().endswith("but the machine has 240.0 MB")


def test_where_memory_cannot_be_read_nothing_is_refused(monkeypatch: Any) -> None:
    config = dqn.Flags(seeds=3)
    needs = {"agent": 10**18, "environments": 5, "replay": 7, "batch": 1}
    lay = devices.layout(3, devices=jax.devices()[:1])
    with pytest.raises(ValueError, match=r"^--seeds 3, --agent\.hidden 128 128.*: would take at least 3,000\.0 PB"):
        memory.check(config, 3, needs, lay)
    monkeypatch.setattr(memory, "physical", lambda: None)
    memory.check(config, 3, needs, lay)


def test_a_gpu_is_asked_for_its_own_memory() -> None:
    class Device:
        platform, device_kind = "gpu", "Fast"

        def __init__(self, *limit: int) -> None:
            self.memory_stats = lambda: {"bytes_limit": limit[0]}

    two = devices.Layout(4, (Device(10**9), Device(10**9)), 2, False)
    memory.fit("--seeds 4", 2 * 10**9, two)
    with pytest.raises(ValueError, match=r"^--seeds 4: would take at least 1\.5 GB .*, but the device \(Fast\) "):
        memory.fit("--seeds 4", 3 * 10**9, two)
    memory.fit("--seeds 4", 3 * 10**9, devices.Layout(4, (Device(),), 4, False))


def test_the_limit_of_a_container_counts(tmp_path: Path, monkeypatch: Any) -> None:
    whole = memory.physical()
    (tmp_path / "max").write_text("123456\n")
    (tmp_path / "none").write_text("max\n")
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "none"), str(tmp_path / "missing")))
    assert whole is None or (memory.physical() or 0) >= whole
    monkeypatch.setattr(memory, "LIMITS", (str(tmp_path / "none"), str(tmp_path / "max")))
    assert memory.physical() == 123456


@pytest.mark.parametrize("flag", ["--model-transitions", "--model-batch"])
def test_models_that_cannot_fit_are_refused(flag: str, tmp_path: Path) -> None:
    refused = call("i2a", flag, "2000000000", "--out", tmp_path / "run")
    assert refused.code == 2 and refused.err.count("\n") == 1
    assert refused.err.startswith(f"error: {flag} 2000000000: would take at least ")
    assert not (tmp_path / "run").exists()


def test_episodes_that_cannot_fit_are_refused(finished: Any) -> None:
    refused = call("evaluate", finished("ppo").folder, "--episodes", "2000000000")
    assert refused.code == 2
    assert refused.err.startswith("error: --episodes 2000000000: would take at least ")
