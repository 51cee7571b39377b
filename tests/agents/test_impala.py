"""IMPALA on stale actors: what acts is what was, V-trace bears it, and without the correction it is worse."""

from functools import cache

import chex
import jax
import numpy as np
import pytest

import replay
from agents import keys, optimisers
from agents.impala import impala
from agents.lagged import lagged
from envs.cartpole import cartpole
from envs.catch import catch
from experiments.drivers import Parts
from experiments.loops import Schedule, in_graph
from tests.agents.learning import learned
from tests.agents.listing import actor_critic, impala_parts


def test_it_acts_as_it_would_have_so_many_updates_ago() -> None:
    env, lag = catch(), 3
    parts = impala_parts(env.spec, lag=lag)
    loop = in_graph(env, *parts, num_envs=2, iterations=1)
    run, step = jax.jit(loop.init)(keys.key(0)), jax.jit(loop.step)
    learner = [run.agent.params]
    for k in range(8):
        chex.assert_trees_all_equal(loop.actor(run), learner[max(0, k - lag)])
        run, _ = step(run)
        learner.append(run.agent.params)


def test_no_lag_is_the_agent_itself_and_a_negative_one_is_refused() -> None:
    agent = impala_parts(catch().spec, lag=0).agent
    assert lagged(agent, 0) is agent
    with pytest.raises(ValueError, match="lag: -1"):
        lagged(agent, -1)


@cache
def balances(correct: bool) -> np.ndarray:
    """Greedy return on CartPole of five seeds after 320,000 steps with actors 16 updates behind."""
    env = cartpole(time_limit=500)
    agent = impala(actor_critic(env.spec), optimisers.adam(1e-3, 0.5), lag=16, lambda_=0.95, correct=correct)
    return learned(env, Parts(agent, replay.on_policy(20), Schedule(20)), 1000, lanes=16, seeds=5, episodes=32)


@pytest.mark.slow
def test_vtrace_bears_a_lag_of_sixteen_and_learning_without_it_does_not() -> None:
    right, wrong = balances(True), balances(False)
    assert right.mean() > wrong.mean() + 50, (right, wrong)
