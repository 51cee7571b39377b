"""A loss that actor-critics have beside that of the reward, such as what they learn from teachers."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from agents.base import Array


class Lesson(NamedTuple):
    """What is learned beside the reward."""

    loss: Callable[[Any, Any], Array]
    """`(distribution [T, N], extras [T, N]) -> [T, N]`, of rows and of what acting wrote into them."""
    reward: float | Array = 1.0
    """Factor of the policy gradient's loss; 0 learns from the lesson alone."""


def terms(lesson: Lesson | None, policy: Any, extras: Any) -> dict[str, Array]:
    """The lesson's loss by its name, `[T, N]`; nothing without a lesson.

    Args:
      lesson: what is learned.
      policy: distributions `[T, N]`.
      extras: of the same rows, or of one row more at the end.
    """
    if lesson is None:
        return {}
    rows = jax.tree.leaves(policy)[0].shape[0]
    return {"lesson_loss": lesson.loss(policy, jax.tree.map(lambda x: x[:rows], extras))}


def total(lesson: Lesson | None, means: Mapping[str, Array]) -> Array:
    """What the policy descends, of the means of the terms: its own loss, and the lesson's if there is one."""
    if lesson is None:
        return means["policy_loss"]
    return lesson.reward * means["policy_loss"] + means["lesson_loss"]
