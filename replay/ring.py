"""The storage that replays share: a ring of rows over time, one column per lane.

R rows of B lanes lie in leaves `[R * B, ...]`, the lanes of a row next to each other; all lanes advance together. (In
leaves `[R, B, ...]` a single lane is an axis of size 1 amid the others, around which XLA:CPU lays out the ring anew
with every write: a copy of all of it.) A row is named by its *position* in [0, R), which never changes while the row is
held, or by its *age order*: 0 is the oldest row held, `fill - 1` the newest. A window of `length` transitions is
`length + 1` rows of one lane, consecutive in age order, so it cannot cross the write head.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax.struct import dataclass, field

from envs.base import Array, Key, Tree

# XLA:CPU turns a scatter of one row into a slice update and fuses that into every use of the ring, each with a copy of
# the whole ring. Where a row or a ring has so many bytes, a second row, out of bounds and dropped, keeps it a scatter.
# (TD3 on MuJoCo, a ring of a million rows of 11 numbers, on one core: 42 steps/s without, 134 with it.)
BULKY_ROW, BULKY_RING = 2**12, 2**20


@dataclass
class Ring:
    """Rows and where the next one goes."""

    rows: Tree  # [R * B, ...]
    head: Array  # int32 in [0, R), position of the next write
    fill: Array  # int32 in [0, R], rows held per lane
    lanes: int = field(pytree_node=False)  # B

    @property
    def length(self) -> int:
        """R."""
        return len(jax.tree.leaves(self.rows)[0]) // self.lanes


class Index(NamedTuple):
    """Where the windows of a sample begin: position and lane of their first row, both int32 [N]."""

    time: Array
    lane: Array


def empty(row: Tree, length: int) -> Ring:
    """A ring of `length` rows, sized from one row `[B, ...]`."""
    lanes = len(jax.tree.leaves(row)[0])
    rows = jax.tree.map(lambda x: jnp.zeros((length * lanes, *x.shape[1:]), x.dtype), row)
    return Ring(rows, jnp.zeros((), jnp.int32), jnp.zeros((), jnp.int32), lanes)


def full(rows: Tree) -> Ring:
    """A ring that holds rows `[R, B, ...]`, the first of them the oldest."""
    held, lanes = jax.tree.leaves(rows)[0].shape[:2]
    rows = jax.tree.map(lambda x: jnp.reshape(x, (held * lanes, *x.shape[2:])), rows)
    return Ring(rows, jnp.int32(0), jnp.int32(held), lanes)


def write(ring: Ring, rows: Tree) -> Ring:
    """Appends rows `[T, B, ...]`, over the oldest ones once the ring is full.

    Raises:
      ValueError: if T exceeds the ring, or the number of lanes is another.
    """
    held, (new, new_lanes) = ring.length, jax.tree.leaves(rows)[0].shape[:2]
    if new > held or new_lanes != ring.lanes:
        raise ValueError(
            f"rows [T, B] = [{new}, {new_lanes}] do not fit the replay's ring [{held}, {ring.lanes}]: T <= {held}"
        )
    at = (ring.head + jnp.arange(new, dtype=jnp.int32)) % held

    def put(x: Array, y: Array) -> Array:
        where, byte = at, x.dtype.itemsize
        flat, y = jnp.reshape(x, (held, x.size // held)), jnp.reshape(y, (new, y.size // new))
        if new == 1 and (y.size * byte >= BULKY_ROW or x.size * byte >= BULKY_RING):
            where, y = jnp.append(at, held), jnp.concatenate([y, y])
        # A scatter and not dynamic_update_slice: as fast for one seed, and 8 times faster for frames of vmapped seeds.
        return jnp.reshape(flat.at[where].set(y, mode="drop", unique_indices=True), x.shape)

    rows = jax.tree.map(put, ring.rows, rows)
    return Ring(rows, (ring.head + new) % held, jnp.minimum(ring.fill + new, held), ring.lanes)


def position(ring: Ring, age: Array) -> Array:
    """Positions of rows given in age order; any integer shape."""
    return (ring.head - ring.fill + age) % ring.length


def age_of(ring: Ring, time: Array) -> Array:
    """The inverse of `position`."""
    return (time - ring.head + ring.fill) % ring.length


def starts(ring: Ring, length: int, before: int = 0) -> tuple[Array, Array]:
    """Which rows may open a window of `length` transitions.

    Args:
      ring: the storage.
      length: transitions in a window.
      before: rows ahead of the window that are read too. Until the ring is full nothing has been overwritten, so that
        windows may then begin at the very first row.

    Returns:
      `(first, count)`, int32 scalars: the rows `first, ..., first + count - 1` in age order. `count` is at most 0 while
      there is no such window.
    """
    first = jnp.where(ring.fill == ring.length, before, 0).astype(jnp.int32)
    return first, ring.fill - length - first


def draw(ring: Ring, key: Key, num: int, length: int, before: int = 0) -> tuple[Array, Array]:
    """Uniform random starts, with replacement, over all lanes and `starts(ring, length, before)`.

    Returns:
      `(age, lane)`, both int32 `[num]`. If there is no window, they are in bounds and mean nothing.
    """
    first, count = starts(ring, length, before)
    # One word per draw, half of what randint takes; the probabilities differ by a fraction of count * B / 2^32.
    total = jnp.maximum(count, 1).astype(jnp.uint32) * ring.lanes
    drawn = (jax.random.bits(key, (num,), jnp.uint32) % total).astype(jnp.int32)
    return first + drawn // ring.lanes, drawn % ring.lanes


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
