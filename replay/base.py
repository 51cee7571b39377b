"""Replays as four pure functions. On-policy and offline learning are replays too."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax

from agents.base import Info, Key, Sample, Step
from replay.ring import Index, Ring


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

    whole: bool = False
    """Whether windows are what was added, whole: then of what agents remember only the first row's is made and kept."""


Relabel = Callable[[Step, Key], Step]
"""A stateless map over sampled windows: `(steps[T+1, N], key) -> steps[T'+1, N]`."""


class Beyond(NamedTuple):
    """A map over sampled windows that also reads rows outside them."""

    relabel: Callable[[Ring, Index, Step, Key], Step]
    """`(ring, index, steps[T+1, N], key) -> steps[T'+1, N]`: the storage and where in it each window begins."""


def mapped(replay: Replay, *relabels: Relabel | Beyond) -> Replay:
    """A replay whose samples pass through `relabels`, in order: n-step returns, hindsight goals, augmentation.

    A `Beyond` is handed the storage too, and comes before relabels that leave out rows.

    Raises:
      ValueError: from `sample`, if there is a `Beyond` and the replay stores no ring of rows.
    """

    def sample(state: Any, key: Key) -> Sample:
        k_sample, *keys = jax.random.split(key, 1 + len(relabels))
        drawn = replay.sample(state, k_sample)
        steps = drawn.steps
        for relabel, k in zip(relabels, keys, strict=True):
            if isinstance(relabel, Beyond):
                steps = relabel.relabel(_ring_of(state), drawn.index, steps, k)
            else:
                steps = relabel(steps, k)
        return drawn._replace(steps=steps)

    return replay._replace(sample=sample)


def _ring_of(state: Any) -> Ring:
    found = state if isinstance(state, Ring) else getattr(state, "ring", None)
    if not isinstance(found, Ring):
        raise ValueError(
            f"a relabelling looks beyond its windows, but the replay keeps {type(state).__name__}, no ring"
        )
    return found
