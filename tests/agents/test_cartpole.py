"""CartPole: what DQN and PQN reach, and what they lose without a part. Minutes each, run by hand."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.agents.learning import trained

PLAIN: dict[str, Any] = {"layer_norm": False, "batch_size": 64, "epsilon_steps": 20_000}
WITHOUT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "the target network": {"target_rate": 1.0, "target_period": 1},
    "the replay": {"buffer_size": 64},  # of 16 lanes: the last window of each
}


@cache
def dqn(without: str) -> np.ndarray:
    """Returns of ten checkpoints, `[10, seeds]`, in 100,000 steps without something."""
    return trained("dqn", "bellmax/cartpole", 100_000, evaluations=10, **PLAIN, **WITHOUT[without])[0]


@cache
def pqn(layer_norm: bool) -> np.ndarray:
    """Returns of the best of five checkpoints in 150,000 steps, `[seeds]`."""
    return trained("pqn", "bellmax/cartpole", 150_000, evaluations=5, lanes=32, layer_norm=layer_norm)[0].max(axis=0)


@pytest.mark.slow
def test_pqn_reaches_475_and_without_layer_normalisation_does_so_on_fewer_seeds() -> None:
    assert (pqn(True) >= 475).all(), pqn(True)
    assert (pqn(False) >= 475).sum() <= 3, pqn(False)
    assert pqn(False).mean() < pqn(True).mean() - 40, pqn(False)


@pytest.mark.slow
@pytest.mark.parametrize("without", ["the target network", "the replay"])
def test_dqn_learns_less_without(without: str) -> None:
    """Area under the learning curve, by seeds: more than for either ablation."""
    whole, part = dqn("nothing").mean(axis=0), dqn(without).mean(axis=0)
    assert np.median(part) < 0.8 * np.median(whole), (whole, part)
