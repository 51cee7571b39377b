"""The types every part of bellmax speaks: `TimeStep`, `Step`, `Sample`, `Info` and `Agent`.

Time runs along the leading axis, streams ("lanes") along the second: a window of experience is `Step[T+1, B]`, T
transitions of B lanes. Row t holds the observation x_t, the reward r_t and the discount γ_t that arrived *with* x_t,
and the action taken *from* x_t; so the transition t-1 -> t reads its reward and discount from row t.

Episodes end the way dm_env's do. Every episode is FIRST, MID, ..., MID, LAST; the row after a LAST is the FIRST of the
next episode and ignores the action. A terminated episode ends in LAST with discount 0; a truncated one (time limit)
ends in LAST with discount 1 and its true final observation, so bootstrapping from it is right. `valid` masks the
transitions that join two episodes.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

Array: TypeAlias = jax.Array
Key: TypeAlias = jax.Array
Tree: TypeAlias = Any

FIRST, MID, LAST = 0, 1, 2


class TimeStep(NamedTuple):
    """What an environment returns; each field is batched alike, `[]`, `[B]` or `[T, B]`."""

    step_type: Array  # int8: FIRST, MID or LAST
    reward: Array  # float32; 0 at FIRST
    discount: Array  # float32; 0 only at termination (or life loss, where asked for), never at truncation
    observation: Tree

    def first(self) -> Array:
        """Boolean, shaped as `step_type`: this row opens an episode."""
        return self.step_type == FIRST

    def last(self) -> Array:
        """Boolean, shaped as `step_type`: this row closes an episode."""
        return self.step_type == LAST


class Step(NamedTuple):
    """One stored row: where the agent was, what it did, and whatever `act` wants `update` to see."""

    timestep: TimeStep
    action: Tree
    extras: Any = ()


class Sample(NamedTuple):
    """What a replay hands to `Agent.update`: windows `steps[T+1, N]`, where they lie, and how much each counts."""

    steps: Step
    index: Any = ()
    weight: Any = 1.0  # [N] importance weights, or 1


class Info(NamedTuple):
    """What an update reports."""

    metrics: Mapping[str, Array]  # scalars
    priority: Any = None  # [N], for prioritised replay
    rewrite: Any = None  # extras[T+1, N] to store back, for replays that refresh what they hold


class Agent(NamedTuple):
    """Five pure functions. The same object runs in graph, on the host driver, over many seeds and many devices."""

    init: Callable[[Key, TimeStep], Any]
    """`(key, timestep[B]) -> State`: parameters, targets, optimiser, statistics, counters."""

    actor: Callable[[Any], Any]
    """`(State) -> Actor`: only what acting needs."""

    begin: Callable[[int], Any]
    """`(B) -> Carry`: memory of B fresh streams; `()` if the agent has none."""

    act: Callable[..., tuple[Tree, Any, Any]]
    """`(Actor, key, Carry, timestep[B], explore) -> (action[B], Carry, extras)`. `explore` is a Python bool. An agent
    with memory resets it itself where `timestep.first()`."""

    update: Callable[[Any, Key, Sample], tuple[Any, Info]]
    """`(State, key, Sample) -> (State, Info)`: one learning step on windows `[T+1, N]`. The action and extras of the
    last row were computed but need not have been taken; agents use its observation and extras only."""


def valid(steps: Step) -> Array:
    """Which of the T transitions lie within one episode.

    Args:
      steps: a window `[T+1, ...]`.

    Returns:
      Boolean `[T, ...]`; False where the transition leads into a FIRST row.
    """
    return steps.timestep.step_type[1:] != FIRST


def over_window(each: Array, steps: Step) -> Array:
    """The mean over the transitions of each window that lie within one episode, `[T, N] -> [N]`; 0 where none does."""
    real = valid(steps)
    return jnp.sum(each * real, axis=0) / jnp.maximum(jnp.sum(real, axis=0), 1)


def batch_of(tree: Tree) -> int:
    """The leading size of a non-empty tree of arrays."""
    return jax.tree.leaves(tree)[0].shape[0]


def select(where: Array, on_true: Tree, on_false: Tree) -> Tree:
    """`jnp.where` over trees; `where` has the leading axes of the leaves and is broadcast over the rest."""

    def pick(a: Array, b: Array) -> Array:
        return jnp.where(jnp.reshape(where, where.shape + (1,) * (a.ndim - where.ndim)), a, b)

    return jax.tree.map(pick, on_true, on_false)
