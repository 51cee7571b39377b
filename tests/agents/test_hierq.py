"""The parts of HierQ one by one; what it learns on a map is a claim of docs/results/hac.md."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.hierq import Carry, State, hierq
from envs import keys


def attempt(subgoal, start, steps, test, *trail):
    return Carry(subgoal, start, steps, test, np.array([-1] * (5 - len(trail)) + list(trail)))


def transition(cell, action, after, attempt, kind=MID, goal=9):
    seen = [{"observation": x, "achieved_goal": x, "desired_goal": goal} for x in (cell, after)]
    observation = jax.tree.map(lambda *xs: jnp.array(xs, jnp.int32)[:, None], *seen)
    timestep = TimeStep(jnp.array([[FIRST], [kind]], jnp.int8), jnp.zeros((2, 1)), jnp.ones((2, 1)), observation)
    rows = jax.tree.map(lambda x: jnp.array([[x], [x]]), attempt)
    return Sample(Step(timestep, jnp.full((2, 1), action), {"attempt": rows}))


def test_every_goal_learns_from_every_step():
    agent = hierq(10, 4, horizon=5, rate=1.0)
    state = agent.init(keys.key(0), None)
    update = jax.jit(agent.update)
    now = attempt(7, 2, 0, False, 3)
    state, _ = update(state, keys.key(0), transition(3, 1, 4, now))
    low = np.asarray(state.params.low)
    assert low[3, 1, 4] == -1 and (np.delete(low[3, 1], 4) == -5).all()
    state, _ = update(state, keys.key(0), transition(2, 0, 3, now))
    low = np.asarray(state.params.low)
    assert low[2, 0, 3] == -1 and low[2, 0, 4] == -2


def test_what_was_reached_is_taken_for_what_was_asked_from_every_cell_of_the_trail():
    agent = hierq(10, 4, horizon=5, rate=1.0)
    update = jax.jit(agent.update)
    state, _ = update(agent.init(keys.key(0), None), keys.key(0), transition(8, 1, 9, attempt(7, 4, 1, False, 4, 8)))
    high = np.asarray(state.params.high)
    assert high[4, 9] == high[8, 9] == -1 and (high > -1e5).sum() == 2  # 9 is the end
    state, _ = update(state, keys.key(0), transition(3, 1, 8, attempt(7, 2, 4, False, 2, 8, 3)))
    high = np.asarray(state.params.high)
    assert high[2, 8] == high[3, 8] == -2 and (high > -1e5).sum() == 4, "a cell does not lead to itself"


def test_missed_tests_are_paid_for():
    agent = hierq(10, 4, horizon=5, rate=1.0)
    update = jax.jit(agent.update)
    tables = agent.init(keys.key(0), None).params
    state = State(tables._replace(high=tables.high.at[2, 4].set(-2.0)))
    for steps, test, expected in ((4, False, -2), (4, True, -11), (0, True, -2)):  # ten cells
        after, _ = update(state, keys.key(0), transition(5, 1, 6, attempt(4, 2, steps, test, 5)))
        assert np.asarray(after.params.high)[2, 4] == expected


def test_the_trail_is_that_of_the_episode():
    agent = hierq(10, 4, horizon=3)
    actor, carry = agent.actor(agent.init(keys.key(0), None)), agent.begin(1)
    act = jax.jit(agent.act, static_argnums=4)
    trails = []
    for cell, kind in ((3, FIRST), (4, MID), (5, MID), (6, MID), (1, FIRST)):
        seen = {"observation": jnp.array([cell]), "desired_goal": jnp.array([9])}
        row = TimeStep(jnp.array([kind], jnp.int8), jnp.zeros(1), jnp.ones(1), seen)
        _, carry, _ = act(actor, keys.key(1), carry, row, True)
        trails.append(carry.trail[0].tolist())
    assert trails == [[-1, -1, 3], [-1, 3, 4], [3, 4, 5], [4, 5, 6], [-1, -1, 1]]


def test_bad_arguments():
    with pytest.raises(ValueError, match="levels is 3; allowed: 1 or 2"):
        hierq(10, 4, levels=3)
    with pytest.raises(ValueError, match="horizon is 0"):
        hierq(10, 4, horizon=0)
