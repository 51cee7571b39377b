"""Agents around agents: what the inner one sees is normalised, clipped or rewritten; it does not know.

Statistics live in the wrapper's state and change only after an update, so that what was acted on is learned from with
the same scale. Over several devices they are merged exactly.
"""

from agents.common.wrappers.of_actions import centred_actions, check_bounds, unit_actions
from agents.common.wrappers.of_observations import (
    as_floats,
    normalise_by,
    normalise_observations,
    passes,
    recall,
    recalled,
    seeing,
    standardised,
    untold,
)
from agents.common.wrappers.of_rewards import clip_rewards, normalise_rewards, rewards

__all__ = [
    "as_floats",
    "centred_actions",
    "check_bounds",
    "clip_rewards",
    "normalise_by",
    "normalise_observations",
    "normalise_rewards",
    "passes",
    "recall",
    "recalled",
    "rewards",
    "seeing",
    "standardised",
    "unit_actions",
    "untold",
]
