"""IMPALA on stale actors: what acts is what was, V-trace bears it, and without the correction it is worse."""

import chex
import jax
import pytest

from agents.common.lagged import lagged
from envs import keys
from envs.tasks.catch import catch
from experiments.drivers import in_graph
from tests.agents.learning import trained
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


@pytest.mark.slow
def test_vtrace_bears_a_lag_of_sixteen_and_learning_without_it_does_not() -> None:
    """Returns of `--preset cartpole`: actors 16 updates behind, five seeds, four times in half a million steps."""
    right, wrong = (
        trained("impala", "gymnax/CartPole-v1", 500_000, evaluations=4, lag=16, correct=correct)[0]
        for correct in (True, False)
    )
    assert right[1:].mean() > wrong[1:].mean() + 50, (right, wrong)
