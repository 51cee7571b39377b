"""Offline learning as a replay: fixed arrays that acting never changes."""

from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Key
from replay import ring
from replay.base import Info, Replay, Sample, Step
from replay.ring import Index


def dataset(steps: Step, batch_size: int, length: int = 1) -> Replay:
    """Serves a log as `uniform` serves a ring: windows of one lane, drawn uniformly with replacement.

    The arrays are constants of whatever function is jitted around `sample`. So the state is empty, checkpoints do not
    repeat the data and vmapped seeds share it; `add` and `feedback` do nothing. Constants are compiled in (about 2 s
    per 100 MB); with `jax_use_simplified_jaxpr_constants` JAX passes them by reference instead.

    Args:
      steps: the log in order of time, leaves `[T, B, ...]`, B lanes (1 for a single stream), under the conventions of
        `agents.base`: rows are FIRST, MID, ..., LAST, FIRST, ... and a row's reward arrives with its observation.
      batch_size: windows per sample, N.
      length: transitions per window: `sample` gives `steps[length + 1, N]`.

    Raises:
      ValueError: if an argument is out of range, the log is shorter than a window, or its leaves disagree on `[T, B]`.
    """
    for name, value in (("batch_size", batch_size), ("length", length)):
        if value < 1:
            raise ValueError(f"{name} is {value}; at least 1 is needed")
    leading = {jnp.shape(x)[:2] for x in jax.tree.leaves(steps)}
    if len(leading) != 1 or len(next(iter(leading))) != 2:
        raise ValueError(f"steps has leaves that begin with {sorted(leading)}; all must begin with the same [T, B]")
    rows, lanes = next(iter(leading))
    if rows < length + 1 or lanes < 1:
        raise ValueError(f"steps has [T, B] = [{rows}, {lanes}]; length = {length} needs T >= {length + 1} and B >= 1")
    log = ring.full(jax.tree.map(jnp.asarray, steps))

    def init(step: Step, groups: int = 1) -> tuple[()]:
        del step, groups
        return ()

    def add(state: tuple[()], steps: Step, group: Any = 0, priority: Any = None) -> tuple[()]:
        del steps, group, priority
        return state

    def sample(state: tuple[()], key: Key) -> Sample:
        del state
        age, lane = ring.draw(log, key, batch_size, length)
        time = age[None] + jnp.arange(length + 1, dtype=jnp.int32)[:, None]
        return Sample(ring.read(log, time, lane[None]), Index(age, lane))

    def feedback(state: tuple[()], index: Any, info: Info) -> tuple[()]:
        del index, info
        return state

    return Replay(init, add, sample, feedback, minimum=0)
