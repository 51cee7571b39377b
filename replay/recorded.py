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
from replay import ring
from replay.base import Info, Replay, Sample, Step
from replay.dataset import Dataset, ranked
from replay.uniform import uniform


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

    @property
    def ring(self) -> ring.Ring:
        """The rows of the dataset as a ring of one lane, for maps that look beyond their windows."""
        return ring.full(jax.tree.map(lambda x: x[:, None], self.data.rows))


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
        start = any_rows(data, key, batch_size, among)
        time = start[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None]
        if length == 1:
            return Sample(read_rows(data, time), start)
        end = data.begins[data.episode[start] + 1] - 1
        steps = read_rows(data, jnp.minimum(time, end[None]))
        return Sample(_after_end(steps, time > end[None]), start)

    return _serving(sample)._replace(played=lambda capacity: uniform(capacity, batch_size, length))


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
        start = any_rows(data, key, batch_size, among)
        number = data.episode[start]
        count = jnp.minimum(data.begins[number + 1] - 1 - start, length)
        place = jnp.arange(length, dtype=jnp.int32)[:, None] - (length - count)[None]
        at = start[None] + jnp.maximum(place, 0)
        extras = {"mask": place >= 0, "time": at - data.begins[number][None], "to_go": data.to_go[at]}
        return Sample(read_rows(data, at)._replace(extras=extras), start)

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


def any_rows(data: Arrays, key: Key, num: int, among: Any = None) -> Array:
    """Rows that have a successor, drawn uniformly, int32 `[num]`; of so many of the best alone, where that is given."""
    total = jnp.asarray(len(data.opens) if among is None else among).astype(jnp.uint32)
    # One word per draw, half of what randint takes; the probabilities differ by a fraction of M / 2^32.
    drawn = jax.random.bits(key, (num,), jnp.uint32) % total
    return data.opens[drawn.astype(jnp.int32)]


def read_rows(data: Arrays, at: Array) -> Step:
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


def with_data(replay: Replay, share: float) -> Replay:
    """A replay of what is played, part of whose samples are of a dataset (RLPD: Ball et al., ICML 2023, section 4.1).

    The part is drawn as the replay itself draws, from the dataset's rows in the place of its own, and passes through
    the same maps, such as n-step returns; windows that cross an episode's end are masked as there. The replay's own
    windows come first.

    Args:
      replay: one whose state is a `ring.Ring` (`uniform`, and maps over it).
      share: of a sample's windows, rounded to a whole number of them; 0.5 is RLPD's.
    """

    def sample(state: Lent, key: Key) -> Sample:
        k_own, k_data = jax.random.split(key)
        played = replay.sample(state.own, k_own)
        leaves = [x[:, None] for x in jax.tree.leaves(state.data.rows)]
        # In the structure of the replay's own rows: an agent's extras may be an empty dict.
        rows = jax.tree.unflatten(jax.tree.structure(state.own.rows), leaves)
        kept = replay.sample(ring.full(rows), k_data)
        windows = played.steps.timestep.reward.shape[1]
        given = round(share * windows)
        join = lambda x, y: jnp.concatenate([x[:, : windows - given], y[:, :given]], axis=1)  # noqa: E731
        return played._replace(steps=jax.tree.map(join, played.steps, kept.steps))

    return replay._replace(
        init=lambda step: Lent(replay.init(step), ()),
        add=lambda state, steps: state._replace(own=replay.add(state.own, steps)),
        sample=sample,
        feedback=lambda state, index, info: state._replace(own=replay.feedback(state.own, index, info)),
        serves_data=True,
        grouped=False,
        pack=None,
        every=None,
    )


def check_beside(stored: Any, rows: Step) -> None:
    """Refuses a dataset whose rows are not like those that a replay stores.

    Args:
      stored: the replay's own state, or its shapes.
      rows: of the dataset, or their shapes.

    Raises:
      ValueError: the replay keeps no plain ring of rows, or rows have more in them than a dataset has.
    """
    if not isinstance(stored, ring.Ring):
        raise ValueError("a replay that draws uniformly is needed beside it, and this run has none")
    here, there = _described(stored.rows), _described(rows)
    if here.keys() != there.keys():
        raise ValueError(f"the rows of this run's replay have {', '.join(here)}, and a dataset {', '.join(there)}")
    for name, kind in here.items():
        if kind != there[name]:
            raise ValueError(f"{name} in the rows of this run's replay is {kind}, and in the dataset {there[name]}")


def _described(rows: Step) -> dict[str, str]:
    """Every leaf of rows, and what an entry of it is."""
    leaves = jax.tree_util.tree_leaves_with_path(rows)
    name = lambda path: jax.tree_util.keystr(path, simple=True, separator="/")  # noqa: E731
    return {name(path): f"{jnp.dtype(x.dtype).name}[{','.join(map(str, x.shape[1:]))}]" for path, x in leaves}
