"""Planning on tables: Dyna-Q on the Dyna maze of 30 seeds, sweeping, and the bonus of Dyna-Q+."""

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Sample, Step
from agents.dyna_q import dyna_q
from envs import keys
from envs.tasks.dyna_maze import dyna_maze
from experiments import run
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


def test_the_softmax_draws_actions_in_proportion_to_their_exponentials():
    values, lanes = jnp.array([[0.0, 0.2, -0.1], [1.0, 0.5, 0.9]]), 20_000
    timestep = jax.vmap(dyna_maze().reset)(jax.random.split(keys.key(0), lanes))[1]
    for beta in (0.0, 2.0, 30.0):
        agent = dyna_q(2, 3, beta=beta)
        for place, row in enumerate(np.asarray(values)):
            seen = timestep._replace(observation=jnp.full(lanes, place))
            action, _, _ = agent.act(values, keys.key(place), (), seen, True)
            wanted = np.exp(beta * row) / np.exp(beta * row).sum()
            np.testing.assert_allclose(np.bincount(action, minlength=3) / lanes, wanted, atol=0.015)
            greedy, _, _ = agent.act(values, keys.key(place), (), seen, False)
            assert (greedy == row.argmax()).all()
    assert action.dtype == agent.act(values, keys.key(0), (), seen, False)[0].dtype


def test_the_command_acts_by_a_softmax_where_it_is_told_to():
    from experiments import dyna_q as command

    spec, size = dyna_maze().spec, run.Size(4, 1, 100)
    timestep = jax.vmap(dyna_maze().reset)(jax.random.split(keys.key(0), 4))[1]
    told = []
    for config in (command.Config(), command.Config(softmax=True, inverse_temperature=3.0)):
        agent = command.make(config, spec, size).agent
        rows = jax.tree.map(lambda x: jnp.stack([x, x]), Step(timestep, jnp.zeros(4, jnp.int32)))
        _, info = agent.update(agent.init(keys.key(0), timestep), keys.key(0), Sample(rows))
        told.append(info.metrics)
    assert told[0]["epsilon"] == np.float32(0.1) and "inverse_temperature" not in told[0]
    assert told[1]["inverse_temperature"] == 3.0 and "epsilon" not in told[1]


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
