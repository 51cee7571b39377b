"""Hierarchical Q-learning with hindsight (HierQ): the tabular form of the hierarchical actor-critic.

Levy, Konidaris, Platt and Saenko, "Learning multi-level hierarchies with hindsight", ICLR 2019, section 4 and algorithm
2. The upper level's actions are cells; the lower level walks to them for at most H steps. Either counts its own steps:
-1 for each, so values are minus a number of steps.

    every step, for every goal g:     q_lo(s, a, g) ← -1 + [s' ≠ g] max_a' q_lo(s', a', g),   within [-H, 0]
    every step, for the last H cells: q_hi(s'', s') ← -1 + [s' not the end] max_b q_hi(s', b)
    tested and missed b:              q_hi(s, b) ← -|S| - 1

where s'' is a cell from which s' was reached within H steps, as if it had been asked for there: the upper level learns
as if the lower one could already walk (hindsight action transitions). Where b was a test, the lower level does not
explore, and what it then misses costs the most that there is (subgoal testing). In the paper that is -H, because values
are cut there; our upper level's reach to -|S|, and -H would be a reward. With `levels=1` this is Q-learning for the
task's goal alone.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, select, valid
from agents.dqn import epsilon_greedy
from envs import parallel


class Tables(NamedTuple):
    """Action values."""

    low: Array  # [S, A, S]; with one level [S, A, 1], of the task's goal
    high: Array  # [S, S], of the one goal that the task has; with one level not used


class State(NamedTuple):
    """What is learned."""

    params: Tables


class Carry(NamedTuple):
    """Of the attempt under way, `[B]`."""

    subgoal: Array
    start: Array  # cell
    steps: Array
    test: Array
    trail: Array  # [B, H], the last cells of the episode, up to the one of now; -1 before it began


def hierq(
    cells: int,
    actions: int,
    *,
    horizon: int = 10,
    levels: int = 2,
    rate: float | Array = 0.5,
    epsilon: float | Array = 0.1,
    high_epsilon: float | Array = 0.2,
    testing: float | Array = 0.1,
    initial: float | None = None,
) -> Agent:
    """The agent; it learns from whole unrolls, `replay.on_policy`, a row after another.

    Args:
      cells: S, of which observations, achieved and desired goals are numbers; the desired goal is always the same.
      actions: A.
      horizon: H, steps of an attempt.
      levels: 2, or 1 for Q-learning without a hierarchy.
      rate: α of all updates.
      epsilon: probability of a random step.
      high_epsilon: probability of a random subgoal, out of all cells.
      testing: probability that a subgoal is a test, 0.3 in HAC; tests are not shown to help (docs/results/hac.md).
      initial: of the lower level's values; by default -H with two levels (what was never seen is out of reach), and 0
        with one, which explores best.

    Raises:
      ValueError: another number of levels, or no step in an attempt.
    """
    if levels not in (1, 2):
        raise ValueError(f"levels is {levels}; allowed: 1 or 2")
    if horizon < 1:
        raise ValueError(f"horizon is {horizon}; it must be at least 1")
    two = levels == 2
    floor = -float(horizon) if two else -jnp.inf
    start_at = initial if initial is not None else (floor if two else 0.0)
    worst = -float(cells)  # attempts: a bound on those that the upper level can need
    never = -1e6  # a cell that was never reached from here is no choice

    def init(key: Key, timestep: TimeStep) -> State:
        low = jnp.full((cells, actions, cells if two else 1), start_at)
        return State(Tables(low, jnp.full((cells, cells) if two else (1, 1), never)))

    def begin(batch: int) -> Carry:
        nothing = jnp.zeros(batch, jnp.int32)
        return Carry(nothing, nothing, nothing, jnp.zeros(batch, bool), jnp.full((batch, horizon), -1))

    def greedy(key: Key, q: Array, epsilon: Array | float) -> Array:
        """ε-greedy, ties broken at random."""
        k_tie, k_choice = jax.random.split(key)
        best = q == jnp.max(q, axis=-1, keepdims=True)
        tie = jnp.where(best, jax.random.uniform(k_tie, q.shape), -1.0)
        return epsilon_greedy(k_choice, tie, jnp.asarray(epsilon, jnp.float32))

    def over(cell: Array, carry: Carry) -> Array:
        """Whether the attempt that led here has ended."""
        return (cell == carry.subgoal) | (carry.steps >= horizon)

    def act(actor: Tables, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Carry, Any]:
        k_high, k_test, k_low = jax.random.split(key, 3)
        cell, goal = timestep.observation["observation"], timestep.observation["desired_goal"]
        trail = jnp.where(timestep.first()[:, None], -1, carry.trail)
        trail = jnp.concatenate([trail[:, 1:], cell[:, None]], axis=1)
        if two:
            new = timestep.first() | over(cell, carry)
            subgoal = greedy(k_high, actor.high[cell], high_epsilon if explore else 0.0)
            test = jax.random.uniform(k_test, cell.shape) < testing
        else:
            new, subgoal, test = timestep.first(), goal, jnp.zeros(cell.shape, bool)
        fresh = Carry(subgoal, cell, jnp.zeros_like(cell), test, trail)
        now = select(new, fresh, carry._replace(trail=trail))
        column = now.subgoal if two else jnp.zeros_like(cell)
        values = jnp.take_along_axis(actor.low[cell], column[:, None, None], axis=2)[..., 0]
        noise = jnp.where(now.test, 0.0, epsilon)[:, None] if explore else jnp.zeros((cell.size, 1))
        action = jax.vmap(lambda k, q, e: greedy(k, q[None], e)[0])(jax.random.split(k_low, cell.size), values, noise)
        return action, now._replace(steps=now.steps + 1), {"attempt": now}

    def learn(tables: Tables, row: tuple) -> tuple[Tables, Array]:
        """One transition of one lane."""
        cell, action, after, goal, attempt, counts, last = row
        low, high = tables
        goals = jnp.arange(cells) if two else goal[None]
        best = jnp.where(goals == after, 0.0, jnp.max(low[after], axis=0))
        error = jnp.maximum(-1 + best, floor) - low[cell, action]
        low = low.at[cell, action].add(jnp.where(counts, rate * error, 0.0))
        if not two:
            return Tables(low, high), jnp.where(counts, jnp.abs(error[0]), 0.0)
        ended = counts & (over(after, attempt._replace(steps=attempt.steps + 1)) | last)
        value = -1 + jnp.where(after == goal, 0.0, jnp.maximum(jnp.max(high[after]), worst))
        old = high[attempt.trail, after]
        # The first value takes the place of "never".
        new = jnp.where(old <= never, value, old + rate * (value - old))
        known = counts & (attempt.trail >= 0) & (attempt.trail != after)
        high = high.at[jnp.where(known, attempt.trail, cells), after].set(new, mode="drop")
        asked = high[attempt.start, attempt.subgoal]
        missed = ended & attempt.test & (after != attempt.subgoal) & (asked > never) & ~last
        high = high.at[attempt.start, attempt.subgoal].add(jnp.where(missed, rate * (worst - 1 - asked), 0.0))
        return Tables(low, high), jnp.where(counts, jnp.abs(error[goal]), 0.0)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        steps = sample.steps
        seen = steps.timestep.observation
        transitions = (
            seen["observation"][:-1],
            steps.action[:-1],
            seen["achieved_goal"][1:],
            seen["desired_goal"][:-1],
            jax.tree.map(lambda x: x[:-1], steps.extras["attempt"]),
            valid(steps),
            steps.timestep.last()[1:],
        )
        rows = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), transitions)
        tables, errors = jax.lax.scan(learn, state.params, rows)
        cell, action, _, goal, *_ = transitions
        real, values = valid(steps), tables.low[cell, action, goal if two else jnp.zeros_like(goal)]
        terms = {"td_error": errors.reshape(real.shape), "q_mean": values}
        metrics = {name: parallel.masked_mean(x, real) for name, x in terms.items()}
        fixed = {"epsilon": epsilon, "high_epsilon": high_epsilon, "learning_rate": rate}
        metrics |= {name: jnp.asarray(x, jnp.float32) for name, x in fixed.items()}
        return State(tables), Info({"loss": jnp.mean(errors), **metrics})

    return Agent(init, lambda state: state.params, begin, act, update)
