"""The transitions from which the levels of a hierarchical actor-critic learn, found in a ring of plain rows."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import FIRST, LAST, Array, Goals, Key, TimeStep, Tree, select
from replay import ring
from replay.base import RingRelabel, Step
from replay.ring import Index, Ring


class Levels(NamedTuple):
    """What a hierarchy is about."""

    num: int
    """k, 1 or more."""
    horizon: int
    """H."""
    project: Callable[[Array], Array]
    """`observation[..., D] -> [..., d]`: the part of a state that subgoals are about."""
    threshold: Any
    """Numbers `[d]`: a subgoal is reached when no dimension is further away."""
    task: Goals
    """The task's goals."""
    limit: int
    """Longest episode."""

    def reached(self, state: Array, subgoal: Array) -> Array:
        """Whether states `[..., d]` reach subgoals, `[...]`."""
        bound = jnp.asarray(self.threshold, jnp.float32).reshape((1,) * (state.ndim - 1) + (-1,))
        return jnp.all(jnp.abs(state - subgoal) <= bound, axis=-1)


def subgoal_attempts(levels: Levels, goals: int = 3, actions: bool = True) -> RingRelabel:
    """Turns sampled rows into transitions of every level of `agents.hac`: a tuple of `steps[2, N]`, the lowest first.

    The lowest level learns from the sampled rows. Each level above draws as many of its own actions, every one that
    began in the ring as often as any other however long it lasted, as if it were one entry of a replay of that level.

    Args:
      levels: what the hierarchy is about.
      goals: hindsight goals for each action.
      actions: hindsight actions; without them a level learns from what it asked for, whatever came of it.
    """
    k, most = levels.num, [levels.horizon**i for i in range(levels.num)] + [levels.limit]

    def relabel(storage: Ring, index: Index, steps: Step, key: Key) -> Any:
        drawn = ring.age_of(storage, index.time)
        newest, held = storage.fill - 1, storage.length

        def row(tree: Tree, age: Array, lane: Array) -> Tree:
            return ring.read(storage, ring.position(storage, jnp.clip(age, 0, newest)), lane, tree)

        def begun(i: int) -> Array:
            """How many actions of level i began up to each row, int32 `[B * R]`: lane after lane, in age order."""
            age = ring.age_of(storage, jnp.arange(held, dtype=jnp.int32))[:, None]
            anew = storage.rows.extras["age"][i - 1].reshape(held, -1) == 0
            starts = anew & (storage.rows.timestep.step_type.reshape(held, -1) != LAST) & (age <= newest)
            in_order = jnp.roll(starts, storage.fill - storage.head, axis=0)
            return jnp.cumsum(in_order.T.reshape(-1), dtype=jnp.int32)

        def nth(begun: Array, n: Array) -> Array:
            """Where in `begun` action n began, counted from 0."""
            return jnp.searchsorted(begun, n, side="right").astype(jnp.int32)

        def pick(key: Key, low: Array, high: Array) -> Array:
            """Uniform integers in [low, high)."""
            u = jax.random.uniform(key, drawn.shape)
            return jnp.minimum(low + (u * (high - low)).astype(jnp.int32), high - 1)

        def start_of(i: int, age: Array, lane: Array) -> Array:
            """The row in which the action of level i that is under way at row `age` began."""
            return age if i == 0 else age - row(storage.rows.extras["age"][i - 1], age, lane)

        def end_of(i: int, start: Array, lane: Array) -> Array:
            """The row in which the action of level i that began in row `start` ended; level k is the whole episode."""
            if i == 0:
                return start + 1
            ahead = start[None] + jnp.arange(1, most[i] + 1, dtype=jnp.int32)[:, None]
            at = ring.position(storage, jnp.clip(ahead, 0, newest))
            kind = ring.read(storage, at, lane[None], storage.rows.timestep.step_type)
            over = (kind == LAST) | (kind == FIRST) | (ahead >= newest)
            if i < k:
                over |= ring.read(storage, at, lane[None], storage.rows.extras["age"][i - 1]) == 0
                return start + 1 + jnp.argmax(over, axis=0).astype(jnp.int32)
            end = start + 1 + jnp.argmax(over, axis=0).astype(jnp.int32)
            return end - (row(storage.rows.timestep.step_type, end, lane) == FIRST)  # an episode that broke off

        def attempt(i: int, age: Array, lane: Array) -> tuple[Array, Array]:
            """First and last row of the attempt of level i at row `age`, which is an action of level i + 1."""
            if i < k - 1:
                start = start_of(i + 1, age, lane)
                return start, end_of(i + 1, start, lane)
            back = age[None] - jnp.arange(levels.limit, dtype=jnp.int32)[:, None]
            at = ring.position(storage, jnp.clip(back, 0, newest))
            kind = ring.read(storage, at, lane[None], storage.rows.timestep.step_type)
            before = jnp.cumprod(((kind != FIRST) & (back > 0)).astype(jnp.int32), axis=0)
            start = age - jnp.sum(before, axis=0)
            return start, end_of(k, start, lane)

        def of_level(i: int) -> Step:
            k_kind, k_row, k_last, k_start = jax.random.split(jax.random.fold_in(key, i), 4)
            start, lane = drawn, index.lane
            if i > 0:
                counts = begun(i)
                at = jnp.clip(nth(counts, pick(k_start, jnp.int32(0), counts[-1])), 0, counts.size - 1)
                start, lane = at % held, at // held
            end = end_of(i, start, lane)
            before: Step = row(storage.rows, start, lane)
            after: Step = row(storage.rows, end, lane)
            top = i == k - 1
            state = levels.project(after.timestep.observation["observation"])
            achieved = after.timestep.observation["achieved_goal"] if top else state
            goal = before.timestep.observation["desired_goal"] if top else before.extras["subgoal"][i]
            hits = levels.task.reached if top else levels.reached
            action, tests = before.action, jnp.zeros(start.shape, bool)
            if i > 0:
                action = before.extras["subgoal"][i - 1]
                missed = ~levels.reached(state, action)
                higher = [levels.reached(state, g) for g in before.extras["subgoal"][i:]]
                told = after.timestep.observation
                higher.append(levels.task.reached(told["achieved_goal"], told["desired_goal"]))
                spent = missed & ~jnp.any(jnp.stack(higher), axis=0) & (after.timestep.step_type != LAST)
                tests = before.extras["test"][i - 1] & spent
            # One, `goals` and one: which of the three kinds?
            total = 1 + goals + tests
            u = jax.random.uniform(k_kind, start.shape) * total
            as_goal, as_test = (u >= 1) & (u < 1 + goals), u >= 1 + goals
            if i > 0 and actions:
                action = select(missed & ~as_test, state, action)
            # A goal that was reached in the same attempt: the last one always among them.
            first, last = attempt(i, start, lane)
            if i == 0:
                other = pick(k_row, first, last) + 1
            else:  # one of its actions, each as likely; the first ones may have been overwritten
                low = counts[lane * held + jnp.clip(first, 0, start)] - 1
                high = counts[lane * held + jnp.clip(last - 1, start, newest)]
                began = nth(counts, pick(k_row, low, high)) - lane * held
                other = jnp.minimum(end_of(i, began, lane), last)
            other = jnp.where(jax.random.uniform(k_last, start.shape) < 1 / max(goals, 1), last, other)
            later = row(storage.rows.timestep.observation, other, lane)
            new = later["achieved_goal"] if top else levels.project(later["observation"])
            goal = select(as_goal, new, goal)
            done = hits(achieved, goal) | as_test
            paid = jnp.where(as_test, -float(levels.horizon), jnp.where(done, 0.0, -1.0))
            whole = (start >= 0) & (end <= newest) & (after.timestep.step_type != FIRST)
            if i > 0:  # the newest row ends nothing by being the newest
                whole &= before.extras["age"][i - 1] == 0
                whole &= (after.timestep.step_type == LAST) | (after.extras["age"][i - 1] == 0)
            pair = lambda x, y: jnp.stack([x, y])  # noqa: E731
            observation = {
                "observation": pair(
                    before.timestep.observation["observation"], after.timestep.observation["observation"]
                ),
                "desired_goal": pair(goal, goal),
            }
            kind = jnp.where(whole, after.timestep.step_type, FIRST).astype(jnp.int8)
            timestep = TimeStep(
                pair(before.timestep.step_type, kind),
                pair(jnp.zeros_like(paid), paid),
                pair(jnp.ones_like(paid), jnp.where(done, 0.0, 1.0)),
                observation,
            )
            return Step(timestep, jax.tree.map(lambda x: pair(x, x), action))

        return tuple(of_level(i) for i in range(k))

    return RingRelabel(relabel)
