"""CartPole and MountainCar: what DQN and PQN reach, and what they lose without a part. Minutes each, run by hand."""

from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.agents.learning import trained

WITHOUT: dict[str, dict[str, Any]] = {
    "nothing": {},
    "the target network": {"target_rate": 1.0},
    "the replay": {"buffer_size": 128},  # of 16 lanes: the last eight steps of each
}


@cache
def dqn(without: str) -> np.ndarray:
    """Returns on MountainCar after 80,000 steps without something, `[seeds]`."""
    settings = {"updates": 8, "epsilon_end": 0.05, "epsilon_steps": 24_000, **WITHOUT[without]}
    return trained("dqn", "gymnax/MountainCar-v0", 80_000, evaluations=4, **settings)[0][-1]


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
    whole, part = dqn("nothing"), dqn(without)
    assert np.median(whole) > -115, whole
    assert np.median(part) < np.median(whole) - 10, (whole, part)
