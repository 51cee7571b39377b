"""The replay of on-policy learners: the last chunk, whole and in order."""

from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Key
from replay.base import Info, Replay, Sample, Step, opening


def on_policy(unroll: int) -> Replay:
    """Hands out exactly what was added last, the peek row included: `steps[unroll + 1, B]`, weight 1.

    Of the carry, if there is one, only the first row's is kept, `[1, B, ...]`. With groups, each `add` replaces the
    lanes of one.

    Args:
      unroll: environment steps per chunk; every `add` brings `unroll + 1` rows.

    Raises:
      ValueError: if `unroll` is less than 1; from `init`, if lanes do not make the groups; from `add`, if the chunk has
        another length.
    """
    if unroll < 1:
        raise ValueError(f"unroll is {unroll}; at least 1 is needed")

    def init(step: Step, groups: int = 1) -> Step:
        lanes = step.timestep.step_type.shape[0]
        if groups < 1 or lanes % groups:
            raise ValueError(f"groups is {groups}; it must be a divisor of the {lanes} lanes")
        return opening(jax.tree.map(lambda x: jnp.zeros((unroll + 1, *x.shape), x.dtype), step))

    def add(state: Step, steps: Step, group: Any = 0, priority: Any = None) -> Step:
        del priority
        rows = steps.timestep.step_type.shape[0]
        if rows != unroll + 1:
            raise ValueError(f"the chunk has {rows} rows; unroll = {unroll} takes {unroll + 1}")
        lanes, whole = steps.timestep.step_type.shape[1], state.timestep.step_type.shape[1]
        if lanes == whole:
            return opening(steps)
        put = lambda x, y: jax.lax.dynamic_update_slice_in_dim(x, y, group * lanes, 1)  # noqa: E731
        return jax.tree.map(put, state, opening(steps))

    def sample(state: Step, key: Key) -> Sample:
        del key
        return Sample(state)

    def feedback(state: Step, index: Any, info: Info) -> Step:
        del index, info
        return state

    return Replay(init, add, sample, feedback, minimum=unroll, wants_next_row=True, first_carry_only=True, grouped=True)
