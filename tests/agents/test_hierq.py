"""HierQ against Q-learning on a map of 416 cells, corner to corner, and its parts one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents import keys
from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.hierq import Carry, hierq
from envs.four_rooms import four_rooms
from experiments import loops


def steps_to_solve(levels: int, chunk: int, most: int, seed: int = 0, scale: int = 2, **options) -> int:
    """Environment steps until greedy play reaches the goal after five chunks in a row."""
    env = four_rooms("corner", "corner", scale=scale, time_limit=1_000)
    cells = env.spec.observation["observation"].num
    agent = hierq(cells, 4, levels=levels, **options)
    loop = loops.in_graph(
        env, agent, replay.on_policy(1), loops.Schedule(1), num_envs=1, iterations=chunk, eval_episodes=1
    )
    step = jax.jit(loop.step, donate_argnums=0)
    evaluate = jax.jit(loop.evaluate)
    run, solved = jax.jit(loop.init)(keys.key(seed)), 0
    for i in range(1, most // chunk + 1):
        run, _ = step(run)
        result = evaluate(loop.actor(run), keys.key(i))
        solved = solved + 1 if result["eval_success"].mean() == 1 else 0
        if solved == 5:
            return (i - 4) * chunk
    return most


def test_the_hierarchy_needs_a_fifth_of_the_steps():
    hierarchical = [steps_to_solve(2, 500, 30_000, seed) for seed in range(2)]
    flat = [steps_to_solve(1, 4_000, 200_000, seed) for seed in range(2)]
    assert np.mean(hierarchical) <= np.mean(flat) / 5, (hierarchical, flat)


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
    attempt = Carry(7, 2, 0, False)
    state, _ = update(state, keys.key(0), transition(3, 1, 4, attempt))
    low = np.asarray(state.params.low)
    assert low[3, 1, 4] == -1 and (np.delete(low[3, 1], 4) == -5).all()
    state, _ = update(state, keys.key(0), transition(2, 0, 3, attempt))
    low = np.asarray(state.params.low)
    assert low[2, 0, 3] == -1 and low[2, 0, 4] == -2


def test_what_was_reached_is_taken_for_what_was_asked_and_tests_are_paid_for():
    agent = hierq(10, 4, horizon=5, rate=1.0)
    update = jax.jit(agent.update)
    state = agent.init(keys.key(0), None)
    state, _ = update(state, keys.key(0), transition(3, 1, 4, Carry(7, 2, 3, False)))
    assert (np.asarray(state.params.high) < -1e5).all(), "the attempt goes on"
    state, _ = update(state, keys.key(0), transition(8, 1, 9, Carry(7, 4, 4, False)))
    high = np.asarray(state.params.high)
    assert high[4, 9] == -1 and high[4, 7] < -1e5
    state, _ = update(state, keys.key(0), transition(3, 1, 4, Carry(7, 2, 4, False)))
    assert np.asarray(state.params.high)[2, 4] == -2
    for test, expected in ((False, -2), (True, -5)):
        after, _ = update(state, keys.key(0), transition(5, 1, 6, Carry(4, 2, 4, test)))
        assert np.asarray(after.params.high)[2, 4] == expected


def test_bad_arguments():
    with pytest.raises(ValueError, match="levels is 3; allowed: 1 or 2"):
        hierq(10, 4, levels=3)
    with pytest.raises(ValueError, match="horizon is 0"):
        hierq(10, 4, horizon=0)
