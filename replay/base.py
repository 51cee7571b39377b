"""Replays as four pure functions. On-policy and offline learning are replays too."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from agents.base import Info, Key, Sample, Step


class Replay(NamedTuple):
    """Storage between acting and learning.

    `add` is handed the T rows of an unroll. A replay with `peek` is handed T+1: the last is a peek at the row that the
    next unroll opens with, so that on-policy learners can bootstrap from what `act` says there.
    """

    init: Callable[[Step], Any]
    """`(step[B]) -> ReplayState`: sized from one row of B lanes."""

    add: Callable[[Any, Step], Any]
    """`(ReplayState, steps[T, B]) -> ReplayState`; `[T+1, B]` if `peek`."""

    sample: Callable[[Any, Key], Sample]
    """`(ReplayState, key) -> Sample` with `steps[T+1, N]`."""

    feedback: Callable[[Any, Any, Info], Any]
    """`(ReplayState, index, Info) -> ReplayState`: priorities, refreshed extras."""

    minimum: int = 1
    """Rows per lane that must have been added before `sample` may be called."""

    peek: bool = False
    """Whether `add` wants the peeked row."""


Relabel = Callable[[Step, Key], Step]
"""A stateless map over sampled windows: `(steps[T+1, N], key) -> steps[T'+1, N]`."""


def mapped(replay: Replay, *relabels: Relabel) -> Replay:
    """A replay whose samples pass through `relabels`, in order: n-step returns, hindsight goals, augmentation."""

    def sample(state: Any, key: Key) -> Sample:
        k_sample, *keys = jax.random.split(key, 1 + len(relabels))
        drawn = replay.sample(state, k_sample)
        steps = drawn.steps
        for relabel, k in zip(relabels, keys, strict=True):
            steps = relabel(steps, k)
        return drawn._replace(steps=steps)

    return replay._replace(sample=sample)
