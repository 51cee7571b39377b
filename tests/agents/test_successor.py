"""The successor representation: exact values, what revalues and what does not, transfer, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Sample, Step
from agents.successor import State, successor
from envs import keys
from envs.tasks.dyna_maze import dyna_maze
from experiments import successor as command
from experiments.studies import revaluation

SEEDS = range(2)


def test_a_transition_by_hand():
    agent = successor(3, 2, learning_rate=0.5, reward_rate=0.5, discount=0.9)
    timestep = jax.vmap(dyna_maze().reset)(keys.key(np.arange(1)))[1]
    psi = jnp.zeros((3, 2, 3)).at[1, 1].set(jnp.array([0.0, 0.0, 1.0]))
    state = State(psi, jnp.array([0.0, 0.0, 2.0]))
    before = timestep._replace(observation=jnp.array([0]))
    after = timestep._replace(observation=jnp.array([1]), reward=jnp.ones(1), step_type=jnp.ones(1, jnp.int8))
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), Step(before, jnp.array([0])), Step(after, jnp.array([0])))
    learned, info = agent.update(state, keys.key(1), Sample(rows))
    # In state 1 action 1 leads to what pays; half of 1(1) + 0.9 ψ(1, 1) is learned, and half of the reward.
    np.testing.assert_allclose(learned.psi[0, 0], [0.0, 0.5, 0.45])
    np.testing.assert_allclose(learned.weights, [0.0, 0.5, 2.0])
    np.testing.assert_allclose(info.metrics["loss"], 1.9, rtol=1e-6)
    # What ends an episode is followed by nothing, and a row that opens one is no transition.
    last = rows._replace(timestep=rows.timestep._replace(discount=jnp.zeros((2, 1))))
    np.testing.assert_allclose(agent.update(state, keys.key(1), Sample(last))[0].psi[0, 0], [0.0, 0.5, 0.0])
    opened = rows._replace(timestep=rows.timestep._replace(step_type=jnp.zeros((2, 1), jnp.int8)))
    jax.tree.map(np.testing.assert_array_equal, agent.update(state, keys.key(1), Sample(opened))[0], state)


def test_the_representation_is_the_exact_one_in_the_end():
    assert (revaluation.error(SEEDS) <= 0.02).all()
    assert (revaluation.error(SEEDS, count=4000) >= 0.1).all()


def test_a_reward_that_moves_is_revalued_at_once():
    assert (revaluation.reward(SEEDS) >= 0.95).all()
    assert (revaluation.reward(SEEDS, kind="q") <= 0.5).all()


def test_a_way_that_is_blocked_is_not():
    assert (revaluation.transition(SEEDS) <= 0.6).all()
    assert (revaluation.transition(SEEDS, kind="model") >= 0.95).all()


def test_policies_of_other_tasks_solve_a_new_one_together():
    assert (revaluation.transfer(SEEDS) >= 0.9).all()
    assert (revaluation.transfer(SEEDS, policies=1) <= 0.85).all()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "bellmax/cartpole"], "--env bellmax/cartpole: a table needs numbers as observations"),
        (["--env", "bellmax/pendulum"], "--env bellmax/pendulum: a table needs discrete actions"),
        (["--devices", "2", "--num-envs", "2"], "--devices 2"),
    ],
)
def test_what_is_no_table_is_refused(words, told, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([*words, "--out", str(tmp_path / "run")])
    assert told in capsys.readouterr().err
