"""Replays of a dataset. Its arrays are no part of them: the state has a place for them, which drivers fill.

Compiled into a function as constants, 100 MB of rows take seconds and are held once more; in the state they would be
written into every checkpoint and repeated for every seed. So a driver hands them to the compiled chunk as an argument
that all runs share, and puts them into the state's place only where `sample` is called.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import FIRST, Array, Key
from replay.base import Info, Replay, Sample, Step
from replay.dataset import Dataset, ranked


class Arrays(NamedTuple):
    """A dataset as `sample` reads it: E episodes, N rows, M of which have a successor."""

    rows: Step
    """Leaves `[N, ...]`."""
    opens: Array
    """int32 `[M]`: the rows that have a successor, those of the episode of the greatest return first."""
    episode: Array
    """int32 `[N]`: the episode of every row."""
    begins: Array
    """int32 `[E + 1]`: the first row of every episode, and N."""
    to_go: Array
    """float32 `[N]`: the undiscounted sum of the episode's rewards that arrive after the row."""


class Lent(NamedTuple):
    """The state of a replay that serves a dataset."""

    own: Any
    """What the replay stores besides; () if nothing."""
    data: Any
    """`Arrays` where a driver has put them, else ()."""


def arrays(dataset: Dataset) -> Arrays:
    """A dataset's rows, and what finds windows in them: `Arrays` of numpy arrays."""
    begins, rows = dataset.begins, dataset.rows
    lengths = np.diff(begins)
    episode = np.repeat(np.arange(dataset.episodes, dtype=np.int32), lengths)
    order = ranked(dataset.returns())
    shift = begins[order] - np.concatenate([[0], np.cumsum(lengths[order] - 1)[:-1]])
    opens = np.arange(dataset.transitions) + np.repeat(shift, lengths[order] - 1)
    summed = np.cumsum(rows.timestep.reward, dtype=np.float64)
    to_go = (summed[begins[1:] - 1][episode] - summed).astype(np.float32)
    places: Any = (opens.astype(np.int32), episode, begins.astype(np.int32), to_go)
    return Arrays(rows, *places)


def lend(replay: Replay, state: Any, data: Any) -> Any:
    """The state of a replay with a dataset's arrays in their place, if it serves one; with () they are taken out."""
    return state._replace(data=data) if replay.serves_data else state


def recorded(batch_size: int, length: int = 1, among: Any = None) -> Replay:
    """Windows of a dataset, drawn uniformly with replacement from the rows that have a successor.

    A window goes no further than its episode: the rows after its LAST are FIRST, so that `agents.base.valid` leaves
    out what leads into them, as `n_step` does. `Sample.index` is the first row, int32 `[N]`; `add` and `feedback` do
    nothing.

    Args:
      batch_size: windows per sample, N.
      length: transitions per window, T: `sample` gives `steps[T + 1, N]`.
      among: draw from so many transitions of the best episodes (`Facts.top`); by default from all.

    Raises:
      ValueError: an argument is out of range.
    """
    _check(batch_size, length)

    def sample(state: Lent, key: Key) -> Sample:
        data = state.data
        start = _draw(data, key, batch_size, among)
        time = start[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None]
        if length == 1:
            return Sample(_read(data, time), start)
        end = data.begins[data.episode[start] + 1] - 1
        steps = _read(data, jnp.minimum(time, end[None]))
        return Sample(_after_end(steps, time > end[None]), start)

    return _serving(sample)


def contexts(batch_size: int, length: int, among: Any = None) -> Replay:
    """Rows of an episode that follow each other, as many as there are up to `length`, padded on the left.

    The first is drawn uniformly from the rows that have a successor, so that episodes are drawn by their length, and
    a context ends at the episode's last action. `steps[length, N]` have these extras, each `[length, N]`:

      mask   bool, the row is one of the episode and no padding, which repeats the first row
      time   int32, which row of its episode it is, counted from 0
      to_go  float32, the undiscounted rewards that arrive after the row

    Args:
      batch_size: contexts per sample, N.
      length: rows in a context.
      among: as for `recorded`.

    Raises:
      ValueError: an argument is out of range.
    """
    _check(batch_size, length)

    def sample(state: Lent, key: Key) -> Sample:
        data = state.data
        start = _draw(data, key, batch_size, among)
        number = data.episode[start]
        count = jnp.minimum(data.begins[number + 1] - 1 - start, length)
        place = jnp.arange(length, dtype=jnp.int32)[:, None] - (length - count)[None]
        at = start[None] + jnp.maximum(place, 0)
        extras = {"mask": place >= 0, "time": at - data.begins[number][None], "to_go": data.to_go[at]}
        return Sample(_read(data, at)._replace(extras=extras), start)

    return _serving(sample)


def _check(batch_size: int, length: int) -> None:
    for name, value in (("batch_size", batch_size), ("length", length)):
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed")


def _serving(sample: Any) -> Replay:
    """A replay that stores nothing of its own."""

    def add(state: Lent, steps: Step) -> Lent:
        del steps
        return state

    def feedback(state: Lent, index: Any, info: Info) -> Lent:
        del index, info
        return state

    return Replay(lambda step: Lent((), ()), add, sample, feedback, minimum=0, serves_data=True)


def _draw(data: Arrays, key: Key, num: int, among: Any) -> Array:
    """Rows that have a successor, int32 `[num]`."""
    total = jnp.asarray(len(data.opens) if among is None else among).astype(jnp.uint32)
    # One word per draw, half of what randint takes; the probabilities differ by a fraction of M / 2^32.
    drawn = jax.random.bits(key, (num,), jnp.uint32) % total
    return data.opens[drawn.astype(jnp.int32)]


def _read(data: Arrays, at: Array) -> Step:
    """Rows, leaves `at.shape + [...]`."""
    take = lambda x: x.at[at].get(mode="promise_in_bounds", wrap_negative_indices=False)  # noqa: E731
    return jax.tree.map(take, data.rows)


def _after_end(steps: Step, past: Array) -> Step:
    """The steps, whose rows after the end of their episode are FIRST."""
    arrived = steps.timestep
    changed = arrived._replace(
        step_type=jnp.where(past, jnp.int8(FIRST), arrived.step_type),
        reward=jnp.where(past, 0.0, arrived.reward),
        discount=jnp.where(past, 1.0, arrived.discount),
    )
    return steps._replace(timestep=changed)
