"""CartPole: what DQN and PQN reach, and what DQN loses without its target network or its replay. Minutes, by hand."""

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
def best(without: str) -> np.ndarray:
    """Return of the best of ten checkpoints, `[seeds]`, after 100,000 steps without something."""
    returns, _ = trained("dqn", "bellmax/cartpole", 100_000, evaluations=10, **PLAIN, **WITHOUT[without])
    return returns.max(axis=0)
