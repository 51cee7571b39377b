"""Prioritised replay with demonstrations beside the agent's own transitions, which never overwrite them.

Hester et al., "Deep Q-learning from demonstrations", AAAI 2018; Vecerik et al., arXiv:1707.08817. Both parts are drawn
from by one distribution, P(i) = p_i^α / Σ_k p_k^α over all windows of both, where a bonus decides how often what is
learned well is seen again: p_i = |δ_i| + ε_own, or |δ_i| + ε_demonstration.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import FIRST, Array, Key, select
from replay import prioritised as priorities
from replay import sum_tree, windows
from replay.base import Info, Replay, Sample, Step


class State(NamedTuple):
    """A prioritised replay of the agent's own rows, and one of the demonstrations."""

    own: priorities.State
    kept: priorities.State


class Index(NamedTuple):
    """Where the windows of a sample begin in each part, and of which part they are, bool `[N]`."""

    own: Any
    kept: Any
    demonstrated: Array


def with_demonstrations(
    rows: Step,
    capacity: int,
    batch_size: int,
    length: int = 1,
    *,
    alpha: float | Array = 0.4,
    beta: float | Array | Callable[[Array], Any] = 0.6,
    own_bonus: float | Array = 1e-3,
    demonstration_bonus: float | Array = 1.0,
    permanent: bool = True,
) -> Replay:
    """The replay; each window counts by its first transition alone, for `n_step` and `agents.common.demonstrations`.

    `Sample.steps.extras` is `{"demonstrated": bool [length + 1, N]}`; what acting adds of its own is not kept. `sample`
    can be called before anything was added.

    Args:
      rows: of demonstrations, `[M, ...]` in order of time, whole episodes, as in `replay.Dataset.rows`.
      capacity: the agent's own rows that are held.
      batch_size: windows per sample, N.
      length: transitions per window.
      alpha: α.
      beta: exponent of the importance weights, or a schedule of it over samples.
      own_bonus: ε_own.
      demonstration_bonus: ε_demonstration.
      permanent: if not, demonstrations are what the ring of own rows holds at first, and are overwritten.

    Raises:
      ValueError: there are no rows, or an argument is out of range; `feedback` is given an `Info.rewrite`.
    """
    if not len(rows.timestep.step_type):
        raise ValueError("rows: there are none; give an episode or more")
    shared: dict[str, Any] = {"alpha": alpha, "beta": beta, "single": True}
    demonstrations = _followed(_marked(rows, True), length)
    held = len(demonstrations.timestep.step_type)
    own = priorities.prioritised(capacity, batch_size, length, epsilon=own_bonus, **shared)
    kept = priorities.prioritised(held, batch_size, length, epsilon=demonstration_bonus, **shared)

    def init(step: Step) -> State:
        own_state = own.init(_marked(step, False))
        lane = jax.tree.map(lambda x: x[:, None], demonstrations)
        kept_state = kept.init(jax.tree.map(lambda x: x[0], lane))
        if permanent:
            return State(own_state, kept.add(kept_state, lane))
        lanes = own_state.ring.lanes
        newest = jax.tree.map(lambda x: jnp.repeat(x, lanes, axis=1)[-own_state.ring.length :], lane)
        return State(own.add(own_state, newest), kept_state)

    def add(state: State, steps: Step) -> State:
        return state._replace(own=own.add(state.own, _marked(steps, False)))

    def sample(state: State, key: Key) -> Sample:
        totals = [sum_tree.total(part.tree) for part in state]
        u = (jnp.arange(batch_size) + jax.random.uniform(key, (batch_size,))) / batch_size * (totals[0] + totals[1])
        demonstrated = (u < totals[1]) | (totals[0] == 0)
        masses = (jnp.maximum(u - totals[1], 0.0), jnp.minimum(u, totals[1]))
        read = [_read(part, mass, length) for part, mass in zip(state, masses, strict=True)]
        (own_steps, own_index, own_p), (kept_steps, kept_index, kept_p) = read
        every = jnp.broadcast_to(demonstrated[None], (length + 1, batch_size))
        probability = jnp.where(demonstrated, kept_p, own_p) / jnp.maximum(totals[0] + totals[1], priorities.SMALLEST)
        rate = beta(state.own.learnt) if callable(beta) else beta
        index = Index(own_index, kept_index, demonstrated)
        return Sample(select(every, kept_steps, own_steps), index, priorities.weights(probability, rate))

    def feedback(state: State, index: Index, info: Info) -> State:
        if info.rewrite is not None:
            raise ValueError("Info.rewrite is given, and demonstrations are not rewritten: it must be None")
        if info.priority is None:
            return State(own.feedback(state.own, index.own, info), state.kept)
        # An entry that is negative leaves the priority as it is.
        only = lambda mine: info._replace(priority=jnp.where(mine, info.priority, -1.0))  # noqa: E731
        of_own = own.feedback(state.own, index.own, only(~index.demonstrated))
        return State(of_own, kept.feedback(state.kept, index.kept, only(index.demonstrated)))

    return Replay(init, add, sample, feedback, minimum=0)


def _marked(steps: Step, demonstrated: bool) -> Step:
    """Rows that say whether they are demonstrations, and nothing else beyond their fields."""
    kinds = jnp.asarray(steps.timestep.step_type)
    bare = jax.tree.map(jnp.asarray, steps._replace(extras=(), carry=()))
    return bare._replace(extras={"demonstrated": jnp.full(kinds.shape, demonstrated)})


def _followed(rows: Step, more: int) -> Step:
    """Rows `[M, ...]` with so many FIRST rows after them, so that windows can begin at all of them."""
    tail = jax.tree.map(lambda x: jnp.repeat(x[:1], more, axis=0), rows)
    tail = tail._replace(timestep=tail.timestep._replace(step_type=jnp.full(more, FIRST, jnp.int8)))
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y.astype(x.dtype)]), rows, tail)


def _read(part: priorities.State, mass: Array, length: int) -> tuple[Step, Any, Array]:
    """The windows at points of a part's cumulative sum: steps, where they lie, and their leaves."""
    leaf = sum_tree.find(part.tree, mass)
    lanes = part.ring.lanes
    age = (leaf // lanes - part.ring.head + part.ring.fill) % part.ring.length
    steps, index = windows.read(part.ring, age, leaf % lanes, length, 1)
    return steps, index, sum_tree.get(part.tree, leaf)
