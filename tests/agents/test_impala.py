"""IMPALA on stale actors: what acts is what was. That V-trace bears them is a claim, impala_correction."""

import chex
import jax
import pytest

from agents.common.lagged import lagged
from envs import keys
from envs.tasks.catch import catch
from experiments.drivers import in_graph
from tests.agents.listing import impala_parts


def test_it_acts_as_it_would_have_so_many_updates_ago() -> None:
    env, lag = catch(), 3
    parts = impala_parts(env.spec, lag=lag)
    loop = in_graph.loop(env, *parts, num_envs=2, iterations=1)
    run, step = jax.jit(loop.init)(keys.key(0)), jax.jit(loop.step)
    learner = [run.agent.params]
    for k in range(8):
        actor = loop.actor(run)
        chex.assert_trees_all_equal(actor.past, learner[max(0, k - lag)])
        chex.assert_trees_all_equal(actor.now, learner[k])
        run, _ = step(run)
        learner.append(run.agent.params)


def test_no_lag_is_the_agent_itself_and_a_negative_one_is_refused() -> None:
    agent = impala_parts(catch().spec, lag=0).agent
    assert lagged(agent, 0) is agent
    with pytest.raises(ValueError, match="lag: -1"):
        lagged(agent, -1)
