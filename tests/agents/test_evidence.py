"""Commands of the evidence pages, on classic control and with missing observations, to the returns wanted of them."""

from typing import Any, NamedTuple

import numpy as np
import pytest

from tests.experiments.running import evaluations, succeed


class Figure(NamedTuple):
    """What a command is to reach: the best checkpoint of so many of its five seeds, by a step, has such a return."""

    experiment: str
    flags: str
    least: float
    seeds: int = 5
    by: float = np.inf


FIGURES = {
    "A2C, CartPole": Figure("a2c", "--preset cartpole --eval-every 50000", 475),
    "VPG, CartPole": Figure("vpg", "--env gymnax/CartPole-v1 --steps 300000 --agent.unroll 32", 475),
    "PPO, CartPole": Figure("ppo", "--preset cartpole --eval-every 10000", 475),
    "PPO, Acrobot": Figure("ppo", "--preset acrobot --eval-every 100000", -85),
    "TRPO, CartPole": Figure("trpo", "--preset cartpole", 475),
    "TRPO, Pendulum": Figure("trpo", "--preset pendulum", -200),
    "IMPALA, CartPole, a lag of 16": Figure("impala", "--preset cartpole", 475),
    "ACKTR, CartPole": Figure("acktr", "--env gymnax/CartPole-v1 --steps 250000 --eval-every 10000", 475, by=60_000),
    "DQN, CartPole": Figure(
        "dqn",
        "--env bellmax/cartpole --steps 100000 --eval-every 10000 --agent.batch-size 64 --agent.epsilon-steps 20000",
        475,
        4,
    ),
    "C51, CartPole": Figure(
        "c51",
        "--env bellmax/cartpole --steps 100000 --eval-every 10000 --agent.anneal --agent.batch-size 64 "
        "--agent.hidden 64 64",
        475,
    ),
    "C51, Acrobot": Figure(
        "c51",
        "--env gymnax/Acrobot-v1 --steps 100000 --eval-every 10000 --agent.anneal --agent.batch-size 64 "
        "--agent.hidden 64 64 --agent.learning-rate 1e-3",
        -86.7,
    ),
    "QR-DQN, MountainCar": Figure(
        "qr_dqn",
        "--env gymnax/MountainCar-v0 --steps 120000 --eval-every 20000 --agent.anneal --agent.batch-size 64 "
        "--agent.updates 8 --agent.hidden 64 64 --agent.quantiles 16",
        -106,
    ),
    "R2D2, CartPole without velocities": Figure(
        "r2d2", "--env bellmax/cartpole-no-velocity --steps 200000 --eval-every 20000", 475, 4
    ),
    "R2D2, flickering catch": Figure(
        "r2d2", "--env bellmax/flickering-catch --steps 100000 --eval-every 20000", 0.8, 4
    ),
}


def returns(folder: Any, experiment: str, *flags: Any, by: float = np.inf) -> np.ndarray:
    """Evaluated returns of five seeds up to a step, `[points, seeds]`."""
    succeed(experiment, *flags, "--seeds", 5, "--eval-episodes", 100, "--quiet", "--out", folder)
    found, steps = evaluations(folder)
    return found[np.array(steps) <= by]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIGURES)
def test_the_figure_is_reached(name: str, tmp_path: Any) -> None:
    experiment, flags, least, seeds, by = FIGURES[name]
    best = returns(tmp_path / "run", experiment, *flags.split(), by=by).max(axis=0)
    assert (best >= least).sum() >= seeds, best


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "steps", "most"), [("cartpole-no-velocity", 100_000, 200), ("flickering-catch", 100_000, 0.8)]
)
def test_r2d2_does_not_reach_it_without_memory(task: str, steps: int, most: float, tmp_path: Any) -> None:
    flags = ["--env", f"bellmax/{task}", "--steps", steps, "--eval-every", 20_000, "--agent.memory", "none"]
    best = returns(tmp_path / "run", "r2d2", *flags).max(axis=0)
    assert (best < most).all(), best


@pytest.mark.slow
def test_rainbow_needs_its_n_step_targets(tmp_path: Any) -> None:
    """Of its six parts the one whose loss is apart from the whole on five seeds; the others are on its page."""
    flags = ["--env", "bellmax/cartpole", "--steps", 60_000, "--eval-every", 20_000, "--agent.anneal"]
    flags += ["--agent.hidden", 64, 64, "--agent.batch-size", 32]
    whole = returns(tmp_path / "whole", "rainbow", *flags)[-1]
    part = returns(tmp_path / "part", "rainbow", *flags, "--agent.n-step", 1)[-1]
    assert np.median(part) < np.median(whole) - 100, (whole, part)
