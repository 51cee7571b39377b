"""Goals for recorded transitions, drawn from the rows of the data that they are in.

Park, Frans, Eysenbach and Levine, "OGBench: benchmarking offline goal-conditioned RL", ICLR 2025: the goal
of a transition is its own state, one that its episode comes to, or any of the data, in fixed proportions.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import FIRST, Array, Key
from replay.base import Replay, Sample, Step
from replay.recorded import Arrays, Lent, any_rows, read_rows

Rows = Callable[[Key, Arrays, Array], Array]
"""`(key, data, start int32 [N]) -> int32 [K, N]`: the rows of K goals of each transition that begins with a row."""


class Shares(NamedTuple):
    """What share of goals is what; the rest is any row of the data that has a successor."""

    current: float | Array = 0.0
    """Of the row that the transition begins with."""
    future: float | Array = 1.0
    """Of later rows of its episode."""


def last_of(data: Arrays, start: Array) -> Array:
    """The last row of the episodes that rows `[N]` are in, `[N]`."""
    return data.begins[data.episode[start] + 1] - 1


def ahead(key: Key, data: Arrays, start: Array, discount: float | Array | None = None) -> Array:
    """A later row of each row's episode, int32 `[N]`.

    Args:
      key: of the draws.
      data: the rows.
      start: rows that have a successor, int32 `[N]`.
      discount: γ, with which a row so many steps ahead is as likely as Geometric(1 - γ) has it, and what would lie
        after the episode's last row counts for that; None for all later rows alike.
    """
    count = last_of(data, start) - start
    u = jax.random.uniform(key, start.shape)
    if discount is None:
        return start + 1 + jnp.minimum((u * count).astype(jnp.int32), count - 1)
    steps = -jnp.log1p(-u) / jnp.maximum(-jnp.log(jnp.asarray(discount, jnp.float32)), 1e-30)
    return start + jnp.minimum(jnp.minimum(steps, 2.0**30).astype(jnp.int32) + 1, count)


def mixed(key: Key, data: Arrays, start: Array, shares: Shares, discount: float | Array | None = None) -> Array:
    """A goal of each row in those shares, int32 `[N]`; arguments as for `ahead`."""
    k_ahead, k_any, k_kind = jax.random.split(key, 3)
    kind = jax.random.uniform(k_kind, start.shape)
    later, anywhere = ahead(k_ahead, data, start, discount), any_rows(data, k_any, start.shape[0])
    return jnp.where(kind < shares.current, start, jnp.where(kind < shares.current + shares.future, later, anywhere))


def with_goals(memory: Replay, rows: Rows) -> Replay:
    """A replay of a dataset whose windows are followed by the rows of goals, `steps[T + 1 + K, N]`.

    Goals are whole rows, so that whatever is done to observations on the way to an agent is done to them as well. Each
    opens an episode of its own, so that no transition leads into it (`agents.base.valid`).

    Args:
      memory: `replay.recorded`.
      rows: which rows are the goals.
    """

    def sample(state: Lent, key: Key) -> Sample:
        k_sample, k_goals = jax.random.split(key)
        drawn = memory.sample(state, k_sample)
        goals = read_rows(state.data, rows(k_goals, state.data, drawn.index))
        opened = jnp.full_like(goals.timestep.step_type, FIRST)
        goals = goals._replace(timestep=goals.timestep._replace(step_type=opened))
        return drawn._replace(steps=jax.tree.map(lambda x, y: jnp.concatenate([x, y]), drawn.steps, goals))

    return memory._replace(sample=sample, played=None)


def towards(memory: Replay, rows: Rows) -> Replay:
    """A replay of a dataset whose windows are towards other goals than they were: those that one row of it achieves.

    Args:
      memory: `replay.recorded`, of a task with goals.
      rows: which rows, K = 1.
    """
    followed = with_goals(memory, rows)

    def sample(state: Lent, key: Key) -> Sample:
        drawn = followed.sample(state, key)
        steps: Step = jax.tree.map(lambda x: x[:-1], drawn.steps)
        seen = steps.timestep.observation
        goal = jax.tree.map(lambda x: x[-1:], drawn.steps.timestep.observation["achieved_goal"])
        desired = jax.tree.map(lambda new, old: jnp.broadcast_to(new, old.shape), goal, seen["desired_goal"])
        timestep = steps.timestep._replace(observation={**seen, "desired_goal": desired})
        return drawn._replace(steps=steps._replace(timestep=timestep))

    return memory._replace(sample=sample, played=None)
