"""Planning on tables: Dyna-Q on the Dyna maze of 30 seeds, sweeping, and the bonus of Dyna-Q+."""

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Sample, Step
from agents.dyna_q import dyna_q
from envs import keys
from envs.tasks.dyna_maze import dyna_maze
from experiments.studies.dyna_maze import mean_length, shortcut_episodes

SEEDS = range(30)


def mean(episodes, planning, steps, **options):
    return mean_length(SEEDS, episodes, planning, steps, **options).mean()


def test_dyna_q_on_the_dyna_maze():
    assert mean((3, 4, 5), 50, 2600) < 22


def test_without_planning_it_takes_long():
    assert mean((10,), 0, 9000) > 60
    assert mean((2,), 0, 9000) > 300


def test_the_more_planning_the_fewer_steps():
    assert mean((6,), 5, 4000) < 25 < mean((2,), 5, 4000)


def test_prioritised_sweeping():
    assert mean((2,), 5, 2600, learning_rate=0.5, theta=1e-4) < mean((2,), 5, 4000) / 2


def test_the_bonus_finds_a_shortcut_that_opens():
    plain, curious = (shortcut_episodes(range(10), kappa) for kappa in (0.0, 1e-3))
    # By the new way an episode takes 10 steps and a little, by the old one 16.
    assert (curious > 33).all() and (plain < 30).mean() >= 0.4, (plain, curious)


def test_a_transition_and_n_planning_steps_by_hand():
    agent = dyna_q(3, 2, n=1, learning_rate=0.5, discount=0.9)
    timestep = jax.vmap(dyna_maze().reset)(keys.key(np.arange(1)))[1]
    state = agent.init(keys.key(0), timestep)
    before = timestep._replace(observation=jnp.array([0]))
    after = timestep._replace(observation=jnp.array([1]), reward=jnp.ones(1), step_type=jnp.ones(1, jnp.int8))
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), Step(before, jnp.array([1])), Step(after, jnp.array([0])))
    state, _ = agent.update(state, keys.key(1), Sample(rows))
    # 0 + ½ (1 - 0), and once more from the model: ½ + ½ (1 - ½).
    np.testing.assert_allclose(state.q, [[0, 0.75], [0, 0], [0, 0]])
    assert state.tried.sum() == 1 and state.after[0, 1] == 1 and state.last[0, 1] == 1
    # A row that opens an episode is no transition.
    opened = rows._replace(timestep=rows.timestep._replace(step_type=jnp.zeros((2, 1), jnp.int8)))
    again, _ = agent.update(state, keys.key(1), Sample(opened))
    jax.tree.map(np.testing.assert_array_equal, state, again)
