"""Recorded episodes on the host: what they are, how they are checked, and what learners are told of them.

Rows lie in order of time, episode after episode, under the conventions of `envs.base`: FIRST, MID, ..., LAST; a row's
reward and discount arrived with its observation, and its action was taken from it. An episode that ended has a LAST of
discount 0, one that was cut has a LAST of discount 1, and either holds its final observation.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import jax
import numpy as np

from envs.base import FIRST, LAST, MID, Discrete, MultiDiscrete, Spec, Tree, host_rows
from replay.base import Step

PIECE = 2**16
"""Rows that are looked at together."""


class Dataset(NamedTuple):
    """Whole episodes, numpy arrays that cannot be written to; made by `of`, which checks them."""

    rows: Step
    """Leaves `[N, ...]`, without extras and carries."""
    begins: np.ndarray
    """int64 `[E + 1]`: the first row of every episode, and N."""
    env: str = ""
    """The task that the episodes are of, as suite/id; empty if it is not known."""
    env_options: tuple[str, ...] = ()
    """Options of the task, as name=value."""
    about: Mapping[str, Any] = MappingProxyType({})
    """How it was recorded: JSON values."""

    @property
    def episodes(self) -> int:
        """E."""
        return len(self.begins) - 1

    @property
    def transitions(self) -> int:
        """M = N - E: rows that have a successor."""
        return int(self.begins[-1]) - self.episodes

    @property
    def nbytes(self) -> int:
        """Of the rows."""
        return sum(x.nbytes for x in jax.tree.leaves(self.rows))

    @property
    def every(self) -> int:
        """The number of rows of an episode of which one was kept, see `thinned`; of sets that were joined, the most."""
        return _every(self.about)

    def episode(self, number: int) -> Step:
        """The rows of an episode."""
        begin, end = self.begins[number], self.begins[number + 1]
        return jax.tree.map(lambda x: x[begin:end], self.rows)

    def returns(self) -> np.ndarray:
        """The undiscounted return of every episode, float64 `[E]`."""
        return np.add.reduceat(np.asarray(self.rows.timestep.reward, np.float64), self.begins[:-1])


class Facts(NamedTuple):
    """What `check` and `make` of an experiment are told of a dataset: numbers, none of its rows."""

    episodes: int
    transitions: int
    longest: int
    """Transitions of the longest episode."""
    returns: np.ndarray
    """float64 `[E]`, the greatest first."""
    counts: np.ndarray
    """int64 `[E]`: transitions of the episodes of `returns` up to each."""
    mean: Tree
    """Of the observations that an action was taken from, float32; zeros for images."""
    std: Tree
    """Their standard deviation; ones for images."""

    def top(self, share: Any, by: str = "trajectories") -> Any:
        """How many transitions the best episodes have, the greatest return first; for `recorded(among=...)`.

        Args:
          share: of all, in (0, 1]; may be traced, and then the answer is.
          by: "trajectories" takes that share of the episodes, rounded up; "steps" takes whole episodes for as long as
            they have no more than that share of the transitions together, and one at least.

        Raises:
          ValueError: another `by`.
        """
        if by not in ("trajectories", "steps"):
            raise ValueError(f"by is {by!r}; allowed: trajectories, steps")
        traced = isinstance(share, jax.Array)
        np_or_jnp: Any = jax.numpy if traced else np
        counts = np_or_jnp.asarray(self.counts)
        if by == "trajectories":
            kept = np_or_jnp.ceil(share * len(self.counts) - 1e-5)
        else:
            kept = np_or_jnp.searchsorted(counts, share * self.transitions + 1e-3, side="right")
        among = counts[np_or_jnp.maximum(kept, 1).astype(np.int32) - 1]
        return among if traced else int(among)


def of(
    rows: Step,
    env: str = "",
    env_options: Sequence[str] = (),
    about: Mapping[str, Any] = MappingProxyType({}),
    named: str = "dataset",
) -> Dataset:
    """A dataset of rows `[N, ...]`, in order of time.

    Numbers are kept in 32 bits or fewer; extras and carries are left out.

    Args:
      rows: of whole episodes.
      env: the task, if it is known.
      env_options: its options.
      about: what else is known, JSON values.
      named: what errors call it, such as the file.

    Raises:
      ValueError: naming the episode and the field: leaves of other lengths, values that are no numbers or not finite,
        or an episode that does not begin with FIRST and end with LAST.
    """
    step_type, reward, discount, observation = rows.timestep
    fields = {"step_type": step_type, "reward": reward, "discount": discount}
    fields |= named_leaves("observation", observation) | named_leaves("action", rows.action)
    arrays = {name: _narrow(named, name, x) for name, x in fields.items()}
    length = len(arrays["step_type"])
    for name, x in arrays.items():
        if x.ndim < 1 or len(x) != length:
            raise ValueError(f"{named}: {name} has the shape {x.shape}; must begin with {length}, as step_type does")
    for name in ("step_type", "reward", "discount"):
        if arrays[name].ndim != 1:
            raise ValueError(f"{named}: {name} has the shape {arrays[name].shape}; must have one axis")
    begins = _episodes(named, arrays["step_type"])
    kinds = arrays["step_type"] = arrays["step_type"].astype(np.int8)
    for name, x in arrays.items():
        if x.dtype.kind == "f" and not np.isfinite(np.sum(x, dtype=np.float64)):
            _refuse(named, begins, name, ~np.isfinite(x.reshape(length, -1)).all(axis=1), "is not finite")
    discounts, rewards = arrays["discount"], arrays["reward"]
    wrong = np.where(kinds == LAST, (discounts != 0) & (discounts != 1), (discounts < 0) | (discounts > 1))
    told = "is {}; must be 0 where the episode ended and 1 where it was cut, and between them before"
    _refuse(named, begins, "discount", wrong, told, discounts)
    told = "is {} in the FIRST row; must be 0, since a reward arrives with the observation that it leads to"
    _refuse(named, begins, "reward", (kinds == FIRST) & (rewards != 0), told, rewards)
    for x in (*arrays.values(), begins):
        x.flags.writeable = False
    take = lambda prefix, tree: jax.tree.unflatten(  # noqa: E731
        jax.tree.structure(tree), [arrays[name] for name in named_leaves(prefix, tree)]
    )
    timestep = host_rows(kinds, rewards, discounts, take("observation", observation))
    return Dataset(Step(timestep, take("action", rows.action)), begins, env, tuple(env_options), dict(about))


def joined(episodes: Sequence[Step], **known: Any) -> Dataset:
    """A dataset of episodes, each rows `[T + 1, ...]`; for `known` see `of`."""
    bare = [each._replace(extras=(), carry=()) for each in episodes]
    return of(jax.tree.map(lambda *x: np.concatenate(x), *bare), **known)


def concatenated(sets: Sequence[Dataset], named: Sequence[str]) -> Dataset:
    """The episodes of several datasets of one task, one set after the other.

    Args:
      sets: at least one.
      named: what errors call each.

    Raises:
      ValueError: they are of different tasks, or their fields have other shapes or dtypes.
    """
    first = sets[0]
    if len(sets) == 1:
        return first

    def described(data: Dataset) -> dict[str, str]:
        fields = named_leaves("observation", data.rows.timestep.observation) | named_leaves("action", data.rows.action)
        return {name: f"{x.dtype}[{','.join(map(str, x.shape[1:]))}]" for name, x in fields.items()}

    for other, name in zip(sets[1:], named[1:], strict=True):
        for what, here, there in (
            ("task", (first.env, first.env_options), (other.env, other.env_options)),
            ("fields", described(first), described(other)),
        ):
            if here != there:
                raise ValueError(f"{name}: its {what} {there} differ from {here} of {named[0]}; must be the same")
    rows = jax.tree.map(lambda *x: np.concatenate(x), *(each.rows for each in sets))
    about = {"sets": [{"episodes": each.episodes, **each.about} for each in sets]}
    return of(rows, first.env, first.env_options, about)


def thinned(data: Dataset, every: int) -> Dataset:
    """Every so many rows of an episode, counted from its first, and its last, with the rewards between added up.

    What is left between two rows is no transition of the task: a set to imitate, not to learn values from.
    """
    lengths = np.diff(data.begins)
    place = np.arange(int(data.begins[-1])) - np.repeat(data.begins[:-1], lengths)
    kept = np.flatnonzero((place % every == 0) | (data.rows.timestep.step_type == LAST))
    since = np.concatenate([[0], kept[:-1] + 1])
    rows = jax.tree.map(lambda x: x[kept], data.rows)
    arrived = data.rows.timestep
    timestep = rows.timestep._replace(
        reward=np.add.reduceat(arrived.reward, since), discount=np.minimum.reduceat(arrived.discount, since)
    )
    return of(rows._replace(timestep=timestep), data.env, data.env_options, {**data.about, "every": every})


def _every(about: Mapping[str, Any]) -> int:
    """The same by what is known of a dataset, whose text may come from a file that others wrote."""
    own, sets = about.get("every", 1), about.get("sets", ())
    joined = [_every(each) for each in sets if isinstance(each, Mapping)] if isinstance(sets, Sequence) else []
    return max([own if isinstance(own, int) else 1, *joined])


def lanes(rows: Step, cut: bool = False) -> list[Step]:
    """The whole episodes of rows `[T, B, ...]`, lane after lane; what began before them is left out.

    Args:
      rows: of a replay or of a rollout.
      cut: whether an episode that is under way in the last row is kept as one that was cut there.
    """
    kinds = np.asarray(rows.timestep.step_type)
    found = []
    for lane in range(kinds.shape[1]):
        begin = None
        for t in range(len(kinds)):
            begin = t if kinds[t, lane] == FIRST else begin
            under_way = t == len(kinds) - 1 and cut and begin is not None and begin < t
            if begin is None or not (kinds[t, lane] == LAST or under_way):
                continue
            episode = jax.tree.map(lambda x, b=begin, t=t, lane=lane: np.array(np.asarray(x)[b : t + 1, lane]), rows)
            episode.timestep.step_type[-1] = LAST
            found.append(episode)
            begin = None
    return found


def named_leaves(name: str, tree: Tree) -> dict[str, Any]:
    """The leaves of a tree of dicts by name: `observation`, or `observation/position` and so on."""
    if isinstance(tree, Mapping):
        return {full: x for key in sorted(tree) for full, x in named_leaves(f"{name}/{key}", tree[key]).items()}
    return {name: tree}


def _narrow(named: str, name: str, x: Any) -> np.ndarray:
    """An array of numbers as it is kept: floats and whole numbers in 32 bits, bytes as they are."""
    x = np.asarray(x)
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{named}: {name} has the dtype {x.dtype}; must be numbers")
    if name in ("reward", "discount"):
        return np.array(x, np.float32, copy=False) if x.dtype == np.float32 else x.astype(np.float32)
    if x.dtype in (np.uint8, np.int8, np.int32, np.float32):
        return x.view()
    if x.dtype.kind == "f" or x.dtype.kind == "b":
        return x.astype(np.float32)
    narrow = np.iinfo(np.int32)
    if x.size and (x.max() > narrow.max or x.min() < narrow.min):
        raise ValueError(f"{named}: {name} has whole numbers from {x.min()} to {x.max()}; must fit into 32 bits")
    return x.astype(np.int32)


def _episodes(named: str, kinds: np.ndarray) -> np.ndarray:
    """Where episodes begin, and the number of rows.

    Raises:
      ValueError: naming the episode that does not begin or end.
    """
    if not len(kinds):
        raise ValueError(f"{named}: step_type has no rows; must hold an episode at least")
    known = np.isin(kinds, (FIRST, MID, LAST))
    if kinds.dtype.kind == "f" or not known.all():
        what = kinds[np.argmin(known)]
        raise ValueError(f"{named}: step_type {what} in row {np.argmin(known)}; allowed: {FIRST}, {MID}, {LAST} (int8)")
    if not (kinds == LAST).any():
        raise ValueError(f"{named}: step_type has no LAST row ({LAST}); every episode must have its end")
    first = kinds == FIRST
    begins = np.append(np.flatnonzero(first), len(kinds)).astype(np.int64)
    if begins[0] != 0:
        raise ValueError(f"{named}: episode 0: step_type begins with {kinds[0]}; must begin with FIRST ({FIRST})")
    ends = begins[1:] - 1
    unended = kinds[ends] != LAST
    if unended.any():
        number = int(np.argmax(unended))
        raise ValueError(
            f"{named}: episode {number}: step_type ends with {kinds[ends[number]]} in row {ends[number]}; "
            f"must end with LAST ({LAST})"
        )
    early = np.flatnonzero(kinds == LAST)
    if len(early) > len(ends):
        row = int(early[~np.isin(early, ends)][0])
        number = int(np.searchsorted(begins, row, side="right")) - 1
        raise ValueError(f"{named}: episode {number}: step_type goes on after LAST in row {row}; FIRST must follow it")
    return begins


def _refuse(named: str, begins: np.ndarray, name: str, wrong: np.ndarray, told: str, values: Any = None) -> None:
    """Raises a ValueError for the first row that is wrong, if any is."""
    if wrong.any():
        row = int(np.argmax(wrong))
        number = int(np.searchsorted(begins, row, side="right")) - 1
        where = f"{named}: episode {number}, row {row - begins[number]} of it"
        raise ValueError(f"{where}: {name} {told.format(values[row] if values is not None else '')}")


def fits(dataset: Dataset, spec: Spec, named: str = "dataset") -> None:
    """Refuses a dataset of another task.

    Raises:
      ValueError: its observations or actions have other shapes or dtypes than the task's, or actions that it has not.
    """
    spaces = named_leaves("observation", spec.observation) | named_leaves("action", spec.action)
    held = named_leaves("observation", dataset.rows.timestep.observation)
    held |= named_leaves("action", dataset.rows.action)
    task = f"must be as in {spec.name}"
    if spaces.keys() != held.keys():
        raise ValueError(f"{named}: has {', '.join(held)}; {task}, which has {', '.join(spaces)}")
    for name, space in spaces.items():
        x, dtype = held[name], np.dtype(space.dtype)
        if (
            x.shape[1:] != tuple(space.shape)
            or x.dtype.kind != dtype.kind
            or (dtype == np.uint8) != (x.dtype == np.uint8)
        ):
            raise ValueError(
                f"{named}: {name} is {x.dtype}[{','.join(map(str, x.shape[1:]))}]; {task}, "
                f"{dtype}[{','.join(map(str, space.shape))}]"
            )
    if isinstance(spec.action, Discrete | MultiDiscrete):
        nums = spec.action.num if isinstance(spec.action, Discrete) else spec.action.nums
        outside = (dataset.rows.action < 0) | (dataset.rows.action >= np.asarray(nums))
        wrong = outside.reshape(len(outside), -1).any(axis=1)
        _refuse(named, dataset.begins, "action", wrong, f"is {{}}; {task}, from 0 to below {nums}", dataset.rows.action)


def facts(dataset: Dataset) -> Facts:
    """What learners are told of a dataset."""
    returns, lengths = dataset.returns(), np.diff(dataset.begins) - 1
    order = ranked(returns)
    taken = dataset.rows.timestep.step_type != LAST

    def moments(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if x.dtype == np.uint8 and x.ndim > 2:
            return _no_moments(x.shape[1:])
        pieces = [slice(i, i + PIECE) for i in range(0, len(x), PIECE)]  # a copy of all would be as large as the set
        mean = sum(np.sum(x[at][taken[at]], axis=0, dtype=np.float64) for at in pieces) / dataset.transitions
        apart = sum(np.sum(np.square(x[at][taken[at]] - mean), axis=0) for at in pieces) / dataset.transitions
        return np.asarray(mean, np.float32), np.sqrt(apart).astype(np.float32)

    leaves, structure = jax.tree.flatten(dataset.rows.timestep.observation)
    means, stds = zip(*map(moments, leaves), strict=True)
    return Facts(
        dataset.episodes, dataset.transitions, int(lengths.max()), returns[order], np.cumsum(lengths[order]),
        jax.tree.unflatten(structure, means), jax.tree.unflatten(structure, stds),
    )  # fmt: skip


def ranked(returns: np.ndarray) -> np.ndarray:
    """Episodes by their return, the greatest first, and those with one return in order of time."""
    return np.argsort(-returns, kind="stable")


def unknown(spec: Spec) -> Facts:
    """Facts of the right shapes where there is no dataset, as when a policy that was learned from one is played."""
    is_space = lambda x: hasattr(x, "shape")  # noqa: E731
    pairs = lambda i: jax.tree.map(lambda space: _no_moments(space.shape)[i], spec.observation, is_leaf=is_space)  # noqa: E731
    return Facts(1, 1, 1, np.zeros(1), np.ones(1, np.int64), pairs(0), pairs(1))


def _no_moments(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    return np.zeros(shape, np.float32), np.ones(shape, np.float32)
