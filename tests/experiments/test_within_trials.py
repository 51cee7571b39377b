"""RL²: what it is told, what it refuses, and what is measured of play within trials, against values by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Agent
from agents.common import wrappers
from envs import keys
from envs.tasks.two_step import two_step
from experiments import rl2
from experiments.run import flags, prepare
from experiments.studies import two_step_model
from experiments.studies.within_trials import error_units, regrets, stays
from tests.envs.contract import play


def test_regrets_by_hand():
    means = np.array([[0.2, 0.7], [0.9, 0.4]])
    arms = np.array([[0, 0], [1, 1], [1, 0]])
    np.testing.assert_allclose(regrets(means, arms), np.cumsum([0.25, 0.25, 0.0]))


def chosen(rule, rng, trials=2000):
    """First actions, second states and rewards of who follows a rule `(action, second, paid) -> stay`."""
    action, second, reward = np.zeros((trials, 4), int), np.zeros((trials, 4), int), np.zeros((trials, 4))
    for lane in range(4):
        for t in range(trials):
            if t:
                before = action[t - 1, lane], second[t - 1, lane], reward[t - 1, lane] > 0
                action[t, lane] = before[0] if rule(*before) else 1 - before[0]
            second[t, lane] = action[t, lane] if rng.random() < 0.8 else 1 - action[t, lane]
            reward[t, lane] = rng.random() < 0.5
    return action, second, reward


def test_stays_tell_a_model_from_none():
    rng = np.random.default_rng(0)
    free = stays(*chosen(lambda action, second, paid: paid, rng))
    np.testing.assert_array_equal(free.probability, [[1, 0], [1, 0]])
    assert (free.main, free.interaction) == (1.0, 0.0)
    based = stays(*chosen(lambda action, second, paid: paid == (action == second), rng))
    np.testing.assert_array_equal(based.probability, [[1, 0], [0, 1]])
    assert (based.main, based.interaction) == (0.0, 1.0)
    swapped = stays(*chosen(lambda action, second, paid: paid == (action == second), rng), own=(1, 0))
    assert swapped.interaction == -1.0


def test_error_units_are_correlations():
    rng = np.random.default_rng(1)
    reward, value, following = rng.normal(size=(3, 50, 4))
    error = reward + 0.9 * following - value
    activity = np.stack([error, -2 * error + 1, rng.normal(size=error.shape), np.ones_like(error)], axis=-1)
    found = error_units(activity, reward, value, following, 0.9)
    expected = np.corrcoef(activity[..., 2].ravel(), error.ravel())[0, 1]
    np.testing.assert_allclose(found, [1, -1, expected, 0], atol=1e-9)


def test_choices_are_read_off_rows():
    played = play(two_step(choices=3), steps=6, lanes=4)
    action, second, reward = two_step_model.choices_of(jax.tree.map(jnp.asarray, played.timestep))
    np.testing.assert_array_equal(action, played.action[::2])
    np.testing.assert_array_equal(second + 1, played.timestep.observation["observation"][1::2].argmax(-1))
    np.testing.assert_array_equal(reward, played.timestep.reward[[2, 4, 6]])


def test_what_is_not_told_is_zero():
    seen = []
    inner = Agent(
        init=lambda key, timestep: seen.append(timestep),
        actor=lambda state: state,
        begin=lambda batch: (),
        act=lambda actor, key, carry, timestep, explore: (seen.append(timestep), (), ()),
        update=lambda state, key, sample: (state, ()),
    )
    _, timestep = jax.vmap(two_step(choices=2).reset)(jax.random.split(keys.key(0), 2))
    shown = timestep.observation | {"last_reward": jnp.ones((2, 1)), "last_action": jnp.ones((2, 2))}
    agent = wrappers.untold(inner, ("last_reward",))
    agent.init(None, timestep._replace(observation=shown))
    agent.act(None, None, (), timestep._replace(observation=shown), True)
    for each in seen:
        assert (each.observation["last_reward"] == 0).all() and (each.observation["last_action"] == 1).all()
    assert wrappers.untold(inner, ()) is inner


def test_it_refuses_tasks_that_do_not_come_in_trials():
    config = flags.parse(rl2.Flags, ["--env", "bellmax/catch"], "rl2")
    with pytest.raises(ValueError, match="--env bellmax/catch: must be of trials, whose observations have last_action"):
        rl2.check(config.agent, prepare.environment(config).spec, prepare.size_of(config))


@pytest.mark.parametrize("name", rl2.PRESETS)
def test_presets_are_runs_whose_unroll_is_a_trial(name):
    config = flags.preset(rl2.Flags, name, rl2.PRESETS)
    flags.check(config)
    env = prepare.environment(config)
    rl2.check(config.agent, env.spec, prepare.size_of(config))
    assert config.agent.unroll == env.spec.time_limit + 1
    prepare.evaluation_task(config, env)
