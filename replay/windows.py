"""What replays of windows share: a ring of rows that keeps every image once, and the windows that are cut from it."""

from typing import Any

import jax
import jax.numpy as jnp

from envs.base import FIRST, Array, batch_of
from replay import ring
from replay.base import Sample, Step
from replay.ring import Index, Ring


def check(capacity: int, **sizes: int) -> None:
    """Refuses a capacity or sizes that are out of range.

    Raises:
      ValueError: naming the argument.
    """
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed")
    if not 1 <= capacity < 2**31:
        raise ValueError(f"capacity is {capacity}; it must be in [1, 2^31)")


def empty(step: Step, capacity: int, length: int, frames: int, stride: int = 1, groups: int = 1) -> Ring:
    """A ring for the rows of lanes like `step[B]`, `capacity // B` of each, rounded down to a multiple of `stride`.

    Raises:
      ValueError: there is no room for a window, or no image to take `frames` apart, or lanes do not make `groups`.
    """
    lanes = batch_of(step)
    rows = capacity // lanes // stride * stride
    needed = -(-(length + frames + stride - 1) // stride) * stride
    if rows < needed:
        sizes = f"length = {length} with frames = {frames}" + (f" and stride = {stride}" if stride > 1 else "")
        raise ValueError(
            f"capacity is {capacity}, {rows} rows for each of {lanes} lanes; {sizes} needs at least {needed * lanes}"
        )
    if frames > 1:
        _check_images(step, frames)
    return ring.empty(_newest(step, frames, leading=1), rows, groups)


def write(state: Ring, steps: Step, frames: int, group: Any = 0) -> Ring:
    """Appends rows `steps[T, B]` of a group, packed or not; see `ring.write`."""
    held, seen = state.rows.timestep.observation, steps.timestep.observation
    whole = [x.shape[2:] != y.shape[1:] for x, y in zip(jax.tree.leaves(seen), jax.tree.leaves(held), strict=True)]
    return ring.write(state, _newest(steps, frames, leading=2) if any(whole) else steps, group)


def pack(steps: Step, frames: int) -> Step:
    """Rows `steps[T, B]` without what a replay drops of them: of a stack of frames the newest is left."""
    return _newest(steps, frames, leading=2)


def every(steps: Step, length: int, stride: int = 1) -> Sample:
    """All windows that become complete with the last T rows of `steps[length + T, B]`; see `Replay.every`.

    Raises:
      ValueError: T is no multiple of `stride`.
    """
    new = steps.timestep.step_type.shape[0] - length
    if new < 1 or new % stride:
        raise ValueError(f"{new} rows are added at a time; windows begin at every {stride}th, which must divide them")
    # Rows are added `new` at a time, so that their last ends a stride, and `length` rows before it the first is.
    begin = length % stride + jnp.arange(0, new, stride, dtype=jnp.int32)
    rows = begin[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None]
    return Sample(jax.tree.map(lambda x: jnp.asarray(x)[rows].reshape(length + 1, -1, *x.shape[2:]), steps))


def read(state: Ring, age: Array, lane: Array, length: int, frames: int) -> tuple[Step, Index]:
    """The windows that begin at rows `age` (in age order) of `lane`, both `[N]`: steps `[length + 1, N]` and where."""
    time = ring.position(state, age[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None], lane[None])
    steps = ring.read(state, time, lane[None]) if frames == 1 else _stacked(state, age, time, lane, frames)
    return steps, Index(time[0], lane)


def _is_image(x: Array, leading: int) -> bool:
    return x.ndim == leading + 3


def _check_images(step: Step, frames: int) -> None:
    images = [x for x in jax.tree.leaves(step.timestep.observation) if _is_image(x, 1)]
    if not images or any(x.shape[-1] % frames for x in images):
        raise ValueError(
            f"frames is {frames}, but the images among the observations are {[x.shape[1:] for x in images]}; "
            f"there must be one, and each of shape [H, W, {frames} * c]"
        )


def _newest(steps: Step, frames: int, leading: int) -> Step:
    """Keeps the newest frame of every image; leaves have `leading` axes before those of one observation."""

    def newest(x: Array) -> Array:
        return x[..., -(x.shape[-1] // frames) :] if frames > 1 and _is_image(x, leading) else x

    observation = jax.tree.map(newest, steps.timestep.observation)
    return steps._replace(timestep=steps.timestep._replace(observation=observation))


def _stacked(state: Ring, age: Array, time: Array, lane: Array, frames: int) -> Step:
    """Windows with their frame stacks rebuilt.

    Args:
      state: the ring.
      age: first row of each window in age order, `[N]`.
      time: positions of the rows, `[T + 1, N]`.
      lane: `[N]`.
      frames: k.
    """
    rows = state.rows.timestep
    # Rows -(k - 1), ..., T relative to the start. For each, the earliest row whose frame it may show: the FIRST of its
    # episode, the oldest row ever written, or the earliest that a stack can reach.
    row = jnp.arange(1 - frames, time.shape[0], dtype=jnp.int32)[:, None]
    step_type = ring.read(state, ring.position(state, age[None] + row, lane[None]), lane[None], rows.step_type)
    opened = jax.lax.cummax(jnp.where(step_type == FIRST, row, 1 - frames), axis=0)
    earliest = jnp.maximum(opened, -age[None])[frames - 1 :]
    shown = row[frames - 1 :, :, None] + jnp.arange(1 - frames, 1, dtype=jnp.int32)[None, None]
    shown_age = age[None, :, None] + jnp.maximum(shown, earliest[..., None])  # [T + 1, N, k]
    shown_at = ring.position(state, shown_age, lane[None, :, None])

    def take(x: Array) -> Array:
        if not _is_image(x, 1):
            return ring.read(state, time, lane[None], x)
        x = jnp.moveaxis(ring.read(state, shown_at, lane[None, :, None], x), 2, -2)  # [T + 1, N, H, W, k, c]
        return jnp.reshape(x, (*x.shape[:-2], -1))

    bare = state.rows._replace(timestep=rows._replace(observation=()))
    steps = ring.read(state, time, lane[None], bare)
    return steps._replace(timestep=steps.timestep._replace(observation=jax.tree.map(take, rows.observation)))


def rewritten(state: Ring, index: Index, extras: Any) -> Ring:
    """The ring with other extras in the rows of windows: what an update found out anew about them (`Info.rewrite`).

    Where windows share a row, either's may be what is kept. Windows that an earlier `write` has overwritten since they
    were read are none of this function's business: drivers learn from what they have just sampled.

    Args:
      state: the ring.
      index: where the windows begin, `[N]`.
      extras: of their rows, as stored, `[length + 1, N, ...]`.
    """
    length = len(jax.tree.leaves(extras)[0])
    age = ring.age_of(state, index.time, index.lane)
    time = ring.position(state, age[None] + jnp.arange(length, dtype=jnp.int32)[:, None], index.lane[None])
    at = (time * state.lanes + index.lane[None]).reshape(-1)

    def put(x: Array, y: Array) -> Array:
        return x.at[at].set(y.reshape((-1, *x.shape[1:])).astype(x.dtype), mode="promise_in_bounds")

    rows = state.rows._replace(extras=jax.tree.map(put, state.rows.extras, extras))
    return Ring(rows, state.head, state.fill, state.lanes, state.groups)
