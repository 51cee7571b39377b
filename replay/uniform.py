"""Uniform experience replay (Lin 1992; Mnih et al. 2015) of transitions, n-step windows and sequences."""

from functools import partial
from typing import Any

from envs.base import Key
from replay import ring, windows
from replay.base import Info, Replay, Sample, Step
from replay.ring import Ring


def uniform(capacity: int, batch_size: int, length: int = 1, frames: int = 1) -> Replay:
    """A ring of the last `capacity` rows, all lanes together, sampled uniformly with replacement.

    A window is `length + 1` consecutive rows of one lane. Windows may span the end of an episode; `agents.base.valid`
    tells losses which transitions join two episodes. `Sample.index` is a `ring.Index`, weights are 1, and `feedback`
    stores what `Info.rewrite` says in the rows' extras.

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
    windows.check(capacity, batch_size=batch_size, length=length, frames=frames)

    def init(step: Step, groups: int = 1) -> Ring:
        return windows.empty(step, capacity, length, frames, groups=groups)

    def add(state: Ring, steps: Step, group: Any = 0, priority: Any = None) -> Ring:
        del priority
        return windows.write(state, steps, frames, group)

    def sample(state: Ring, key: Key) -> Sample:
        age, lane = ring.draw(state, key, batch_size, length, before=frames - 1)
        return Sample(*windows.read(state, age, lane, length, frames))

    def feedback(state: Ring, index: Any, info: Info) -> Ring:
        return state if info.rewrite is None else windows.rewritten(state, index, info.rewrite)

    every = partial(windows.every, length=length)
    pack = partial(windows.pack, frames=frames) if frames > 1 else None
    return Replay(init, add, sample, feedback, minimum=length + 1, grouped=True, pack=pack, every=every)
