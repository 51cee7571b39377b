"""Replays as four pure functions. On-policy and offline learning are replays too."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from agents.base import Info, Key, Sample, Step


class Replay(NamedTuple):
    """Storage between acting and learning.

    `add` is handed T+1 rows per chunk of T environment steps: the last row is a *peek* at the step that the next chunk
    opens with. It lets on-policy learners bootstrap from what `act` says there; replays that keep rows drop it, because
    it comes again.
    """

    init: Callable[[Step], Any]
    """`(step[B]) -> ReplayState`: sized from one row of B lanes."""

    add: Callable[[Any, Step], Any]
    """`(ReplayState, steps[T+1, B]) -> ReplayState`."""

    sample: Callable[[Any, Key], Sample]
    """`(ReplayState, key) -> Sample` with `steps[T+1, N]`."""

    feedback: Callable[[Any, Any, Info], Any]
    """`(ReplayState, index, Info) -> ReplayState`: priorities, refreshed extras."""

    minimum: int = 1
    """Rows per lane that must have been added before `sample` may be called."""


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
