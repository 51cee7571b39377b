"""Replays as four pure functions. On-policy and offline learning are replays too."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import FIRST, Array, Key, TimeStep, Tree
from replay.ring import Index, Ring


class Step(NamedTuple):
    """One stored row: where the agent was, what it did, and whatever `act` wants `update` to see.

    Replays whose windows begin wherever they like keep every row's carry; where the window is what was just played,
    only the first row's is made and kept, `[1, N, ...]`: a memory of many rows is large.
    """

    timestep: TimeStep
    action: Tree
    extras: Any = ()
    carry: Any = ()
    """The recurrent memory that the row began with; `()` for agents that store none."""


class Sample(NamedTuple):
    """What a replay hands to `Agent.update`: windows `steps[T+1, N]`, where they lie, and how much each counts."""

    steps: Step
    index: Any = ()
    weight: Any = 1.0  # [N] importance weights, or 1


class Info(NamedTuple):
    """What an update reports."""

    metrics: Mapping[str, Array]  # scalars
    priority: Any = None  # [N], for prioritised replay
    rewrite: Any = None  # extras[T+1, N] to store back; replays of what was played do, windows of one use are gone


def opening(steps: Step) -> Step:
    """A window that keeps the carry of its first row alone."""
    return steps._replace(carry=jax.tree.map(lambda x: x[:1], steps.carry))


def valid(steps: Step) -> Array:
    """Which of the T transitions lie within one episode.

    Args:
      steps: a window `[T+1, ...]`.

    Returns:
      Boolean `[T, ...]`; False where the transition leads into a FIRST row.
    """
    return steps.timestep.step_type[1:] != FIRST


def over_window(each: Array, steps: Step) -> Array:
    """The mean over the transitions of each window that lie within one episode, `[T, N] -> [N]`; 0 where none does."""
    real = valid(steps)
    return jnp.sum(each * real, axis=0) / jnp.maximum(jnp.sum(real, axis=0), 1)


class Replay(NamedTuple):
    """Storage between acting and learning.

    `add` is handed the T rows of an unroll. A replay with `wants_next_row` is handed T+1: the last is a peek at the row
    that the next unroll opens with, so that on-policy learners can bootstrap from what `act` says there.
    """

    init: Callable[..., Any]
    """`(step[B], groups=1) -> ReplayState`: sized from one row of B lanes, which are in so many groups."""

    add: Callable[..., Any]
    """`(ReplayState, steps[T, B], group=0, priority=None) -> ReplayState`; `[T+1, B]` if `wants_next_row`. With groups
    the lanes are those of the one named, and B is theirs. `priority` `[n]` is that of the windows that become complete,
    as `every` lists them; an entry that is negative or not finite, and None, say nothing."""

    sample: Callable[[Any, Key], Sample]
    """`(ReplayState, key) -> Sample` with `steps[T+1, N]`."""

    feedback: Callable[[Any, Any, Info], Any]
    """`(ReplayState, index, Info) -> ReplayState`: priorities, refreshed extras."""

    minimum: int = 1
    """Rows per lane that must have been added before `sample` may be called."""

    wants_next_row: bool = False
    """Whether `add` wants the peeked row."""

    first_carry_only: bool = False
    """Whether windows are what was added, whole: then only the first row's carry is made and kept."""

    serves_data: bool = False
    """Whether its state has a place for the arrays of a dataset, `data`, which drivers fill (`replay.recorded`)."""

    played: Callable[[int], Any] | None = None
    """`(rows held) -> Replay`: the same windows of what is played, where a dataset alone is served."""
    grouped: bool = False
    """Whether lanes may be in groups, each of which adds rows of its own."""

    pack: Callable[[Step], Step] | None = None
    """`(steps[T, B]) -> steps[T, B]`: rows as they are stored, which `add` takes as well: what `add` would drop of them
    need not be shipped. None where rows are stored as they are."""

    every: Callable[[Step], Sample] | None = None
    """`(steps[minimum - 1 + T, B]) -> Sample`: all windows that become complete when the last T of these rows are
    added, as `sample` would hand them out, N = T B / stride of them, lanes next to each other. So whoever acted can say
    with what priority they enter. None where windows are not cut from rows, or are made of rows outside them."""


Relabel = Callable[[Step, Key], Step]
"""A stateless map over sampled windows: `(steps[T+1, N], key) -> steps[T'+1, N]`."""


class RingRelabel(NamedTuple):
    """A map over sampled windows that also reads rows outside them."""

    relabel: Callable[[Ring, Index, Step, Key], Step]
    """`(ring, index, steps[T+1, N], key) -> steps[T'+1, N]`: the storage and where in it each window begins."""


def mapped(replay: Replay, *relabels: Relabel | RingRelabel) -> Replay:
    """A replay whose samples pass through `relabels`, in order: n-step returns, hindsight goals, augmentation.

    A `RingRelabel` is handed the storage too, and comes before relabels that leave out rows. It knows of no groups.

    Raises:
      ValueError: from `sample`, if there is a `RingRelabel` and the replay stores no ring of rows.
    """

    def sample(state: Any, key: Key) -> Sample:
        k_sample, *keys = jax.random.split(key, 1 + len(relabels))
        drawn = replay.sample(state, k_sample)
        steps = drawn.steps
        for relabel, k in zip(relabels, keys, strict=True):
            if isinstance(relabel, RingRelabel):
                steps = relabel.relabel(_ring_of(state), _place(drawn.index), steps, k)
            else:
                steps = relabel(steps, k)
        return drawn._replace(steps=steps)

    def every(rows: Step) -> Sample:
        assert replay.every is not None
        windows = replay.every(rows)
        steps = windows.steps
        for i, relabel in enumerate(relabels):
            assert not isinstance(relabel, RingRelabel)
            steps = relabel(steps, jax.random.key(i))
        return windows._replace(steps=steps)

    played = replay.played
    beyond = any(isinstance(relabel, RingRelabel) for relabel in relabels)
    possible = replay.every is not None and not beyond
    return replay._replace(
        sample=sample,
        every=every if possible else None,
        grouped=replay.grouped and not beyond,
        played=(lambda capacity: mapped(played(capacity), *relabels)) if played else None,
    )


def _place(index: Any) -> Index:
    """Where windows begin; those of a dataset, whose rows are one lane, say it by the row alone."""
    return index if isinstance(index, Index) else Index(index, jnp.zeros_like(index))


def _ring_of(state: Any) -> Ring:
    found = state if isinstance(state, Ring) else getattr(state, "ring", None)
    if not isinstance(found, Ring):
        raise ValueError(
            f"a relabelling looks beyond its windows, but the replay keeps {type(state).__name__}, no ring"
        )
    return found
