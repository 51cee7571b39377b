"""Fresh rollouts and replayed windows in one sample."""

from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Key
from replay.base import Info, Replay, Sample, Step, opening


def fresh_and_replayed(fresh: Replay, past: Replay) -> Replay:
    """Samples whose first lanes are those of `fresh` and whose others are those of `past`, for agents that tell apart.

    Both are given every row; windows must be equally long.

    Args:
      fresh: typically `on_policy`.
      past: typically `uniform` over windows; wants no peek. `Sample.index` and feedback are its own.

    Raises:
      ValueError: `past` wants a peek.
    """
    if past.wants_next_row:
        raise ValueError("past: a replay that wants to peek cannot stand beside another")

    def init(step: Step, groups: int = 1) -> tuple[Any, Any]:
        return fresh.init(step, groups), past.init(step, groups)

    def add(state: tuple[Any, Any], steps: Step, group: Any = 0, priority: Any = None) -> tuple[Any, Any]:
        rows = jax.tree.map(lambda x: x[:-1], steps) if fresh.wants_next_row else steps
        return fresh.add(state[0], steps, group), past.add(state[1], rows, group, priority)

    def sample(state: tuple[Any, Any], key: Key) -> Sample:
        k_fresh, k_past = jax.random.split(key)
        new, old = fresh.sample(state[0], k_fresh), past.sample(state[1], k_past)
        both = (
            opening(new.steps),
            opening(old.steps),
        )  # some replays keep no carry but the first row's
        return Sample(jax.tree.map(lambda x, y: jnp.concatenate([x, y], axis=1), *both), old.index)

    def feedback(state: tuple[Any, Any], index: Any, info: Info) -> tuple[Any, Any]:
        return state[0], past.feedback(state[1], index, info)

    return Replay(init, add, sample, feedback, max(fresh.minimum, past.minimum), fresh.wants_next_row)
