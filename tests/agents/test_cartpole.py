"""MountainCar: what DQN loses without a part. Minutes each, run by hand."""

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


@pytest.mark.slow
@pytest.mark.parametrize("without", ["the target network", "the replay"])
def test_dqn_learns_less_without(without: str) -> None:
    whole, part = dqn("nothing"), dqn(without)
    assert np.median(whole) > -115, whole
    assert np.median(part) < np.median(whole) - 10, (whole, part)
