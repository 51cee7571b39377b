"""A dataset that grows while it is learned from: the rows that were labelled, all of them, drawn uniformly.

It is the aggregate of DAgger (Ross, Gordon and Bagnell, AISTATS 2011), kept in the state of a run.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import LAST, MID, Array, Key
from replay import windows
from replay.base import Info, Replay, Sample, Step


class State(NamedTuple):
    """The rows `[capacity, ...]`, of which the first `held` are in use."""

    rows: Step
    held: Array  # int32


def aggregate(capacity: int, batch_size: int) -> Replay:
    """Keeps rows whose extras say `asked` (bool `[T, B]`), with `label` of their extras as their action.

    A row that ends an episode is not kept, since no action is taken from it. Nothing is overwritten: once it is full,
    what is added is dropped. Samples are windows `[2, N]` of a row and a copy of it that no episode ends between, for
    learners that look at no more than a row; `extras` is `{"held": int32 [2, N]}`, the rows that are held. While there
    are none, weights are 0.

    Args:
      capacity: rows that can be held.
      batch_size: N.

    Raises:
      ValueError: an argument is out of range.
    """
    windows.check(capacity, batch_size=batch_size)

    def init(step: Step) -> State:
        row = labelled(step)
        return State(jax.tree.map(lambda x: jnp.zeros((capacity, *x.shape[1:]), x.dtype), row), jnp.int32(0))

    def add(state: State, steps: Step) -> State:
        asked = (steps.extras["asked"] & (steps.timestep.step_type != LAST)).reshape(-1)
        at = jnp.where(asked, state.held + jnp.cumsum(asked) - 1, capacity)
        flat = jax.tree.map(lambda x: x.reshape(asked.size, *x.shape[2:]), labelled(steps))
        rows = jax.tree.map(lambda xs, x: xs.at[at].set(x, mode="drop"), state.rows, flat)
        return State(rows, jnp.minimum(state.held + jnp.sum(asked), capacity).astype(jnp.int32))

    def sample(state: State, key: Key) -> Sample:
        at = jax.random.randint(key, (batch_size,), 0, jnp.maximum(state.held, 1))
        row = jax.tree.map(lambda x: x[at], state.rows)
        steps = jax.tree.map(lambda x: jnp.stack([x, x]), row)
        kinds = jnp.full((2, batch_size), MID, jnp.int8)
        held = jnp.broadcast_to(state.held, (2, batch_size))
        steps = steps._replace(timestep=steps.timestep._replace(step_type=kinds), extras={"held": held})
        return Sample(steps, (), jnp.broadcast_to((state.held > 0).astype(jnp.float32), (batch_size,)))

    def feedback(state: State, index: Any, info: Info) -> State:
        del index, info
        return state

    return Replay(init, add, sample, feedback)


def labelled(steps: Step) -> Step:
    """Rows whose action is their label."""
    return steps._replace(action=steps.extras["label"], extras=(), carry=())
