"""What a teacher of subgoals is asked after an episode, and what that costs (Le et al., ICML 2018).

An episode is recorded while it is played. When it has ended the teacher is asked, by one of three rules:

    guided      of a failed episode: which subgoals were right, and of segments with the right subgoal that did not
                reach it, which actions were right
    segments    of a failed episode: which subgoals and which actions were right, throughout
    everything  the same of every episode

An answer is paid for once: a subgoal once for each situation of the episode in which one was chosen, an action for each
step but the first of a segment, which the answer about its subgoal covers.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import FIRST, LAST, Array
from envs.base import Subgoals

Rule = Literal["guided", "segments", "everything"]


class Record(NamedTuple):
    """The episode under way in one lane, `[L]` rows of which the first `length` are in use."""

    high: tuple[Array, ...]  # numbers of each situation, for the choice of a subgoal, finest first
    low: tuple[Array, ...]  # and of an action towards the subgoal that was chosen
    right: Array  # the teacher's subgoal
    label: Array  # the teacher's action
    decided: Array  # bool: a subgoal was chosen here
    correct: Array  # bool: it was chosen here, and is the teacher's
    reached: Array  # bool: the step from here reached the subgoal
    taught: Array  # bool scalar: the teacher plays the episode
    length: Array  # int32 scalar


class Asked(NamedTuple):
    """What the teacher was asked when an episode ended, `[L]` each; all False in rows before that."""

    high: Array  # bool: for the right subgoal
    low: Array  # bool: for the right action
    cost_high: Array  # int32 scalar, answers paid for
    cost_low: Array
    inspections: Array  # int32 scalar: episodes and segments of which only success was told


def blank(subgoals: Subgoals, rows: int) -> Record:
    """A record of no rows, of one lane.

    Args:
      subgoals: of the task.
      rows: L, the most that an episode has.
    """
    zeros, no = jnp.zeros(rows, jnp.int32), jnp.zeros(rows, bool)
    high, low = (tuple(zeros for _ in keys.sizes) for keys in (subgoals.high, subgoals.low))
    return Record(high, low, zeros, zeros, no, no, no, jnp.bool_(False), jnp.int32(0))


def noted(record: Record, subgoals: Subgoals, corrected: bool, before: Any, extras: Any, after: Any) -> Record:
    """The record with one transition more, of one lane.

    Args:
      record: so far.
      subgoals: of the task.
      corrected: whether the teacher's actions are those towards its own subgoal, whichever was chosen.
      before: TimeStep of the row that is left.
      extras: of the agent there: `subgoal`, `decided`, `taught`.
      after: TimeStep of the row that is entered; one that opens an episode adds nothing.
    """
    seen, goal = before.observation, extras["subgoal"]
    right = subgoals.right(seen)
    at = jnp.where(before.step_type == FIRST, 0, jnp.minimum(record.length, record.right.size - 1))
    _, reached = subgoals.outcome(seen, goal, after.observation)
    row = {
        "high": subgoals.high.of(seen),
        "low": subgoals.low.of(seen, goal),
        "right": right,
        "label": subgoals.action(seen, right if corrected else goal),
        "decided": extras["decided"],
        "correct": extras["decided"] & (goal == right),
        "reached": reached,
    }
    written = {name: jax.tree.map(lambda xs, x: xs.at[at].set(x), getattr(record, name), row[name]) for name in row}
    whole = Record(**written, taught=extras["taught"], length=at + 1)
    return jax.tree.map(lambda new, old: jnp.where(after.step_type == FIRST, old, new), whole, record)


def asked(record: Record, subgoals: Subgoals, rule: Rule, options: bool, after: Any) -> Asked:
    """What the teacher is asked now, of one lane; nothing unless the episode has ended.

    Args:
      record: with the transition that leads into `after`.
      subgoals: of the task.
      rule: by which it is asked. Of an episode that the teacher itself played, everything is learned.
      options: whether it teaches actions too.
      after: TimeStep of the row that was entered.
    """
    rows = record.right.size
    held = (jnp.arange(rows) < record.length) & (after.step_type == LAST)
    solved = subgoals.solved(after.observation)
    throughout = record.taught | (rule == "everything")
    asks = held & (throughout | ~solved)
    segment = jnp.maximum(jnp.cumsum(record.decided & held) - 1, 0)
    of_segment = lambda flags: jnp.zeros(rows, bool).at[segment].max(flags & held)[segment]  # noqa: E731
    right, reached = of_segment(record.correct), of_segment(record.reached)
    low = asks & (throughout | (right & ~reached) | (rule == "segments")) & options
    divided = subgoals.num > 1
    high = asks & record.decided & _new(record.high[0], record.decided & held) & divided
    looked = (~throughout & (after.step_type == LAST)).astype(jnp.int32)
    parts = jnp.sum(asks & record.correct) * looked * (rule == "guided") * divided
    paid = low & ~record.decided if divided else low
    count = lambda flags: jnp.sum(flags).astype(jnp.int32)  # noqa: E731
    return Asked(high, low, count(high), count(paid), (looked + parts).astype(jnp.int32))


def _new(keys: Array, counts: Array) -> Array:
    """Whether no earlier one of the rows that count has the same key, bool `[L]`."""
    same = (keys[:, None] == keys[None]) & counts[None]
    return ~jnp.any(same & (jnp.arange(keys.size)[:, None] > jnp.arange(keys.size)[None]), axis=1)
