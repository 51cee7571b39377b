"""Windows that begin where something began, for agents who decide once in several steps."""

import jax.numpy as jnp

from envs.base import Key
from replay import ring
from replay.base import RingRelabel, Step
from replay.ring import Index, Ring


def segments(length: int) -> RingRelabel:
    """Moves windows back to the row that opened their segment, `steps[T+1, N] -> steps[length+1, N]`.

    `extras["phase"]` of a row counts the rows since its segment began. Since a draw is uniform over rows, longer
    segments are drawn more often, each of their rows alike. A segment may be cut short by the end of its episode. Where
    its first row is overwritten, or the window is not complete yet, the window is one of other rows and says phase 1 in
    its first, for learners to mask.

    Args:
      length: transitions in a window.

    Raises:
      ValueError: length < 1; when called, rows without a phase.
    """
    if length < 1:
        raise ValueError(f"length is {length}; at least 1 is needed")

    def relabel(storage: Ring, index: Index, steps: Step, key: Key) -> Step:
        del key
        if not isinstance(steps.extras, dict) or "phase" not in steps.extras:
            raise ValueError("segments need rows with extras['phase'], of an agent who decides once in several steps")
        age = ring.age_of(storage, index.time)
        start = age - steps.extras["phase"][0]
        latest = storage.fill - 1 - length
        whole = (start >= 0) & (start <= latest)
        start = jnp.where(whole, start, jnp.clip(age, 0, jnp.maximum(latest, 0)))
        span = jnp.arange(length + 1, dtype=jnp.int32)[:, None]
        moved = ring.read(storage, ring.position(storage, start[None] + span), index.lane[None])
        phase = moved.extras["phase"]
        phase = phase.at[0].set(jnp.where(whole, phase[0], 1))
        return moved._replace(extras={**moved.extras, "phase": phase})

    return RingRelabel(relabel)
