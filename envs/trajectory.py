"""Episodes that tasks make of themselves, as numpy arrays: what `replay.made` makes datasets of."""

from typing import NamedTuple

import numpy as np


class Trajectory(NamedTuple):
    """T steps and the T + 1 observations around them."""

    observation: np.ndarray  # [T + 1, ...]
    action: np.ndarray  # [T, ...]
    reward: np.ndarray  # [T]
    terminated: bool = True
    """Whether the episode ended there; else it was cut."""
