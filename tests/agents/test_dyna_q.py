"""Planning on tables: Dyna-Q on the Dyna maze of 30 seeds, sweeping, and the bonus of Dyna-Q+."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Sample, Step
from agents.dyna_q import dyna_q
from envs import keys
from envs.tasks.dyna_maze import ACTIONS, CELLS, dyna_maze


def played(agent, env, steps, state, key):
    """Rows `[steps]` of one lane that acts and learns after every step: whether each closed an episode, and states."""
    k_init, k_env, k_run = jax.random.split(key, 3)
    lane, timestep = jax.vmap(env.reset)(k_env[None])
    state = agent.init(k_init, timestep) if state is None else state

    def step(carry, key):
        state, lane, timestep = carry
        k_act, k_update = jax.random.split(key)
        action, _, _ = agent.act(agent.actor(state), k_act, (), timestep, True)
        lane, after = jax.vmap(env.step)(lane, action)
        rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), Step(timestep, action), Step(after, action))
        state, _ = agent.update(state, k_update, Sample(rows))
        return (state, lane, after), (after.last()[0], after.first()[0])

    (state, _, _), ends = jax.lax.scan(step, (state, lane, timestep), jax.random.split(k_run, steps))
    return state, ends


@cache
def lengths(n, steps, seeds=30, **options):
    """Steps of each episode, a list per seed."""
    agent = dyna_q(CELLS, ACTIONS, n=n, **options)
    run = partial(played, agent, dyna_maze(), steps, None)
    last, first = map(np.asarray, jax.jit(jax.vmap(run))(keys.key(np.arange(seeds)))[1])
    found = []
    for seed in range(seeds):
        steps_so_far = np.cumsum(~first[seed])
        found.append(np.diff(steps_so_far[last[seed]], prepend=0))
    return found


def mean_of(episodes, found):
    return np.mean([[lengths[i - 1] for i in episodes] for lengths in found])


def test_dyna_q_on_the_dyna_maze():
    assert mean_of((3, 4, 5), lengths(50, 2600)) < 22


def test_without_planning_it_takes_long():
    found = lengths(0, 9000)
    assert mean_of((10,), found) > 60
    assert mean_of((2,), found) > 300


def test_the_more_planning_the_fewer_steps():
    assert mean_of((6,), lengths(5, 4000)) < 25 < mean_of((2,), lengths(5, 4000))


def test_prioritised_sweeping():
    swept = lengths(5, 2600, learning_rate=0.5, theta=1e-4)
    assert mean_of((2,), swept) < mean_of((2,), lengths(5, 4000)) / 2


def test_the_bonus_finds_a_shortcut_that_opens():
    def after_opening(key, kappa):
        agent = dyna_q(CELLS, ACTIONS, n=20, kappa=kappa, learning_rate=0.5)
        before, now = jax.random.split(key)
        state, _ = played(agent, dyna_maze("barrier"), 1500, None, before)
        state, (last, _) = played(agent, dyna_maze("shortcut"), 3000, state, now)
        return jnp.sum(last[-500:])

    run = jax.jit(jax.vmap(after_opening, (0, None)))
    plain, curious = (np.asarray(run(keys.key(np.arange(10)), kappa)) for kappa in (0.0, 1e-3))
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
