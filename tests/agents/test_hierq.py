"""HierQ against Q-learning on a map of 416 cells, corner to corner, and its parts one by one."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.hierq import Carry, State, hierq
from envs import keys
from envs.tasks.four_rooms import four_rooms
from experiments.drivers import contract, in_graph


@cache
def trial(levels: int, chunk: int, chunks: int, scale: int = 2) -> Any:
    """`key -> bool [chunks]`: after which chunks of steps greedy play reaches the goal; one compiled function."""
    env = four_rooms("corner", "corner", scale=scale, time_limit=1_000)
    agent = hierq(env.spec.observation["observation"].num, 4, levels=levels)
    loop = in_graph.loop(
        env, agent, replay.on_policy(1), contract.Schedule(1), num_envs=1, iterations=chunk, eval_episodes=1
    )

    def body(run: Any, key: Any) -> Any:
        run, _ = loop.step(run)
        return run, loop.evaluate(loop.actor(run), key)["eval_success"][0] > 0

    return jax.jit(lambda key: jax.lax.scan(body, loop.init(key), jax.random.split(key, chunks))[1])


def steps_to_solve(levels: int, chunk: int, chunks: int, seed: int) -> int:
    """Environment steps after which the goal is reached five chunks in a row; all that there are, if never."""
    solved = np.asarray(trial(levels, chunk, chunks)(keys.key(seed)))
    runs = [i for i in range(chunks - 4) if solved[i : i + 5].all()]
    return (runs[0] + 1 if runs else chunks) * chunk


@pytest.mark.slow
def test_the_hierarchy_needs_a_fifth_of_the_steps():
    hierarchical = [steps_to_solve(2, 500, 120, seed) for seed in range(5)]
    flat = [steps_to_solve(1, 4_000, 40, seed) for seed in range(2)]
    assert np.mean(hierarchical) <= 0.2 * np.mean(flat), (hierarchical, flat)


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
