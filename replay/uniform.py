"""Uniform experience replay (Lin 1992; Mnih et al. 2015) of transitions, n-step windows and sequences."""

from typing import Any

import jax
import jax.numpy as jnp

from agents.base import FIRST, Array, Info, Key, Sample, Step, batch_of
from replay import ring
from replay.base import Replay
from replay.ring import Index, Ring


def uniform(capacity: int, batch_size: int, length: int = 1, frames: int = 1) -> Replay:
    """A ring of the last `capacity` rows, all lanes together, sampled uniformly with replacement.

    A window is `length + 1` consecutive rows of one lane. Windows may span the end of an episode; `agents.base.valid`
    tells losses which transitions join two episodes. `Sample.index` is a `ring.Index`, weights are 1, and `feedback`
    does nothing.

    With `frames = k > 1`, images are kept once. An image is an observation leaf of rank 3 per lane, `[H, W, k * c]`,
    and holds the last k frames of c channels, oldest first. Only its newest frame is stored, `[H, W, c]` and of the
    same dtype, and the stack is rebuilt when sampled: before its first frame, an episode repeats it. Leaves of other
    ranks, and extras, are stored as they are. Once the ring is full, no window begins in its k - 1 oldest rows, whose
    stacks may be incomplete.

    Args:
      capacity: rows held; each of B lanes gets `capacity // B`.
      batch_size: windows per sample, N.
      length: transitions per window, T: `sample` gives `steps[T + 1, N]`.
      frames: frames in a stacked image; 1 stores images as they come.

    Raises:
      ValueError: if an argument is out of range; from `init`, if the capacity per lane is less than `length + frames`,
        or if no image has a multiple of `frames` channels; from `add`, if a chunk is longer than the ring.
    """
    for name, value in (("batch_size", batch_size), ("length", length), ("frames", frames)):
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed")
    if not 1 <= capacity < 2**31:
        raise ValueError(f"capacity is {capacity}; it must be in [1, 2^31)")

    def init(step: Step) -> Ring:
        lanes = batch_of(step)
        if capacity // lanes < length + frames:
            raise ValueError(
                f"capacity is {capacity}, {capacity // lanes} rows for each of {lanes} lanes; "
                f"length = {length} with frames = {frames} needs at least {(length + frames) * lanes}"
            )
        if frames > 1:
            _check_images(step, frames)
        return ring.empty(_newest(step, frames, leading=1), capacity // lanes)

    def add(state: Ring, steps: Step) -> Ring:
        return ring.write(state, _newest(steps, frames, leading=2))

    def sample(state: Ring, key: Key) -> Sample:
        age, lane = ring.draw(state, key, batch_size, length, before=frames - 1)
        time = ring.position(state, age[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None])
        steps = ring.gather(state.rows, time, lane[None]) if frames == 1 else _stacked(state, age, time, lane, frames)
        return Sample(steps, Index(time[0], lane))

    def feedback(state: Ring, index: Any, info: Info) -> Ring:
        del index, info
        return state

    return Replay(init, add, sample, feedback, minimum=length + 1)


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
    step_type = ring.gather(rows.step_type, ring.position(state, age[None] + row), lane[None])
    opened = jax.lax.cummax(jnp.where(step_type == FIRST, row, 1 - frames), axis=0)
    earliest = jnp.maximum(opened, -age[None])[frames - 1 :]
    shown = row[frames - 1 :, :, None] + jnp.arange(1 - frames, 1, dtype=jnp.int32)[None, None]
    shown_at = ring.position(state, age[None, :, None] + jnp.maximum(shown, earliest[..., None]))  # [T + 1, N, k]

    def take(x: Array) -> Array:
        if not _is_image(x, 2):
            return ring.gather(x, time, lane[None])
        x = jnp.moveaxis(ring.gather(x, shown_at, lane[None, :, None]), 2, -2)  # [T + 1, N, H, W, k, c]
        return jnp.reshape(x, (*x.shape[:-2], -1))

    bare = state.rows._replace(timestep=rows._replace(observation=()))
    steps = ring.gather(bare, time, lane[None])
    return steps._replace(timestep=steps.timestep._replace(observation=jax.tree.map(take, rows.observation)))
