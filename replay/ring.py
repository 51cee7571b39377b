"""The storage that replays share: a ring of rows over time, one column per lane.

R rows of B lanes lie in leaves `[R * B, ...]`, the lanes of a row next to each other; all lanes advance together. (In
leaves `[R, B, ...]` a single lane is an axis of size 1 amid the others, around which XLA:CPU lays out the ring anew
with every write: a copy of all of it.) A row is named by its *position* in [0, R), which never changes while the row is
held, or by its *age order*: 0 is the oldest row held, `fill - 1` the newest. A window of `length` transitions is
`length + 1` rows of one lane, consecutive in age order, so it cannot cross the write head.

Lanes may be in G groups of equally many, each of which advances on its own: a group per actor that brings rows when it
has some. Then `head` and `fill` are `[G]`, and which group a row is of is told by its lane.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.struct import dataclass, field

from envs.base import Array, Key, Tree


@dataclass
class Ring:
    """Rows and where the next one goes."""

    rows: Tree  # [R * B, ...]
    head: Array  # int32 in [0, R), position of the next write; [G] with groups
    fill: Array  # int32 in [0, R], rows held per lane; [G] with groups
    lanes: int = field(pytree_node=False)  # B, of all groups
    groups: int = field(pytree_node=False, default=1)  # G

    @property
    def length(self) -> int:
        """R."""
        return len(jax.tree.leaves(self.rows)[0]) // self.lanes


class Index(NamedTuple):
    """Where the windows of a sample begin: position and lane of their first row, both int32 [N]."""

    time: Array
    lane: Array


def empty(row: Tree, length: int, groups: int = 1) -> Ring:
    """A ring of `length` rows, sized from one row `[B, ...]`, its lanes in so many groups.

    Raises:
      ValueError: the lanes do not divide into the groups.
    """
    lanes = len(jax.tree.leaves(row)[0])
    if groups < 1 or lanes % groups:
        raise ValueError(f"groups is {groups}; it must be a divisor of the {lanes} lanes")
    rows = jax.tree.map(lambda x: jnp.zeros((length * lanes, *x.shape[1:]), x.dtype), row)
    each = () if groups == 1 else (groups,)
    return Ring(rows, jnp.zeros(each, jnp.int32), jnp.zeros(each, jnp.int32), lanes, groups)


def full(rows: Tree) -> Ring:
    """A ring that holds rows `[R, B, ...]`, the first of them the oldest."""
    held, lanes = jax.tree.leaves(rows)[0].shape[:2]
    rows = jax.tree.map(lambda x: jnp.reshape(x, (held * lanes, *x.shape[2:])), rows)
    return Ring(rows, jnp.int32(0), jnp.int32(held), lanes)


def write(ring: Ring, rows: Tree, group: Array | int = 0) -> Ring:
    """Appends rows `[T, B / G, ...]` of a group, over its oldest ones once the ring is full.

    Raises:
      ValueError: if T exceeds the ring, or the number of lanes is another.
    """
    held, (new, new_lanes) = ring.length, jax.tree.leaves(rows)[0].shape[:2]
    groups, lanes = ring.groups, ring.lanes // ring.groups
    if new > held or new_lanes != lanes:
        raise ValueError(
            f"rows [T, B] = [{new}, {new_lanes}] do not fit the replay's ring [{held}, {lanes}]: T <= {held}"
        )
    head, fill = (ring.head, ring.fill) if groups == 1 else (ring.head[group], ring.fill[group])
    at, parts = (head + jnp.arange(new, dtype=jnp.int32)) % held, held * groups
    at = at if groups == 1 else at * groups + group
    # XLA:CPU turns a scatter of one row into a slice update and fuses that into every use of the ring, each with a copy
    # of the whole ring. A second row, out of bounds and dropped, keeps it a scatter.
    at = jnp.append(at, parts) if new == 1 else at

    def put(x: Array, y: Array) -> Array:
        flat, y = jnp.reshape(x, (parts, x.size // parts)), jnp.reshape(y, (new, y.size // new))
        y = jnp.concatenate([y, y]) if new == 1 else y
        # A scatter and not dynamic_update_slice: as fast for one seed, and 8 times faster for frames of vmapped seeds.
        return jnp.reshape(flat.at[at].set(y, mode="drop", unique_indices=True), x.shape)

    rows = jax.tree.map(put, ring.rows, rows)
    head, fill = (head + new) % held, jnp.minimum(fill + new, held)
    if groups > 1:
        head, fill = ring.head.at[group].set(head), ring.fill.at[group].set(fill)
    return Ring(rows, head, fill, ring.lanes, groups)


def alone(ring: Ring, group: Array | int) -> tuple[Ring, Array]:
    """The ring as one group sees it, with head and fill of its own, and its lanes `[B / G]`."""
    lane = jnp.arange(ring.lanes // ring.groups, dtype=jnp.int32)
    if ring.groups == 1:
        return ring, lane
    return Ring(ring.rows, ring.head[group], ring.fill[group], ring.lanes), group * lane.size + lane


def position(ring: Ring, age: Array, lane: Array | None = None) -> Array:
    """Positions of rows given in age order; any integer shape, and `lane` of the same rank where there are groups.

    Raises:
      ValueError: there are groups, and the lane is not told.
    """
    head, fill = own(ring, lane)
    return (head - fill + age) % ring.length


def age_of(ring: Ring, time: Array, lane: Array | None = None) -> Array:
    """The inverse of `position`."""
    head, fill = own(ring, lane)
    return (time - head + fill) % ring.length


def own(ring: Ring, lane: Array | None) -> tuple[Array, Array]:
    """Head and fill of the group that each lane is of, shaped as `lane`; scalars if there is one group.

    Raises:
      ValueError: there are groups, and the lane is not told.
    """
    if ring.groups == 1:
        return ring.head, ring.fill
    if lane is None:
        raise ValueError(f"the ring has {ring.groups} groups: where a row lies depends on its lane")
    group = lane // (ring.lanes // ring.groups)
    return ring.head[group], ring.fill[group]


def starts(ring: Ring, length: int, before: int = 0) -> tuple[Array, Array]:
    """Which rows may open a window of `length` transitions.

    Args:
      ring: the storage.
      length: transitions in a window.
      before: rows ahead of the window that are read too. Until the ring is full nothing has been overwritten, so that
        windows may then begin at the very first row.

    Returns:
      `(first, count)`, int32 scalars, `[G]` with groups: the rows `first, ..., first + count - 1` in age order. `count`
      is at most 0 while there is no such window.
    """
    first = jnp.where(ring.fill == ring.length, before, 0).astype(jnp.int32)
    return first, ring.fill - length - first


def draw(ring: Ring, key: Key, num: int, length: int, before: int = 0) -> tuple[Array, Array]:
    """Uniform random starts, with replacement, over all lanes and `starts(ring, length, before)`.

    Returns:
      `(age, lane)`, both int32 `[num]`. If there is no window, they are in bounds and mean nothing.
    """
    first, count = starts(ring, length, before)
    if ring.groups > 1:
        return _draw_of_groups(ring, key, num, first, jnp.maximum(count, 0))
    # One word per draw, half of what randint takes; the probabilities differ by a fraction of count * B / 2^32.
    total = jnp.maximum(count, 1).astype(jnp.uint32) * ring.lanes
    drawn = (jax.random.bits(key, (num,), jnp.uint32) % total).astype(jnp.int32)
    return first + drawn // ring.lanes, drawn % ring.lanes


def _draw_of_groups(ring: Ring, key: Key, num: int, first: Array, count: Array) -> tuple[Array, Array]:
    """`draw`, each window of all groups being as likely as any other; `first` and `count` are `[G]`."""
    lanes = ring.lanes // ring.groups
    ends = jnp.cumsum(count * lanes)
    total = jnp.maximum(ends[-1], 1).astype(jnp.uint32)
    drawn = (jax.random.bits(key, (num,), jnp.uint32) % total).astype(jnp.int32)
    group = jnp.minimum(jnp.searchsorted(ends, drawn, side="right"), ring.groups - 1).astype(jnp.int32)
    rest = drawn - (ends - count * lanes)[group]
    return first[group] + rest // lanes, group * lanes + rest % lanes


def read(ring: Ring, time: Array, lane: Array, of: Tree = None) -> Tree:
    """Rows at given positions.

    Args:
      ring: the storage.
      time: positions in [0, R), any shape.
      lane: lanes in [0, B), broadcastable to `time` with the same rank.
      of: a part of `ring.rows`, if not all of it is wanted.

    Returns:
      Leaves `time.shape + [...]`.
    """
    at = time * ring.lanes + lane

    def take(x: Array) -> Array:
        return x.at[at].get(mode="promise_in_bounds", wrap_negative_indices=False)

    return jax.tree.map(take, ring.rows if of is None else of)
