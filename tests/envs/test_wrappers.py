"""Environment -> Environment."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST, MID
from envs import make, wrappers
from envs.base import Box, Discrete
from envs.tasks.cartpole import cartpole
from envs.tasks.catch import catch
from envs.tasks.memory_chain import memory_chain
from envs.tasks.noise import noise
from envs.tasks.pendulum import pendulum
from tests.envs.contract import check_environment, play


def test_time_limit_cuts_and_starts_anew():
    env = wrappers.time_limit(cartpole(time_limit=None), 12)
    assert env.spec.time_limit == 12
    kind, reward, discount, observation = check_environment(env).timestep
    over = (abs(observation[..., 0]) > 2.4) | (abs(observation[..., 2]) > 12 * np.pi / 180)
    np.testing.assert_array_equal(discount == 0, over)
    assert (discount[kind == LAST] == 1).any() and over.any()
    assert (abs(observation[kind == FIRST]) <= 0.05).all()  # also after a cut: the inner one was reset
    assert (reward[kind != FIRST] == 1).all()
    starts = observation[kind == FIRST]
    assert len(np.unique(starts, axis=0)) == len(starts)
    since = np.zeros(kind.shape[1], int)
    for t in range(1, len(kind)):
        since = np.where(kind[t] == FIRST, 0, since + 1)
        np.testing.assert_array_equal(kind[t] == LAST, over[t] | (since == 12))


def test_time_limit_keeps_an_earlier_one():
    assert wrappers.time_limit(pendulum(), 500).spec.time_limit == 200
    env = wrappers.time_limit(pendulum(time_limit=5), 5)  # both at once: an ordinary end
    kind = play(env, steps=23, lanes=1).timestep.step_type[:, 0]
    assert np.flatnonzero(kind == LAST).tolist() == [5, 11, 17, 23]


def test_action_repeat_sums_and_stops():
    env = wrappers.action_repeat(catch(rows=9), 3)  # 8 steps: 3 + 3 + 2
    assert env.spec.time_limit == 3
    kind, reward, discount, observation = check_environment(env, steps=40).timestep
    assert (kind[:, 0] == np.resize([FIRST, MID, MID, LAST], 41)).all()
    assert (abs(reward[kind == LAST]) == 1).all() and (discount[kind == LAST] == 0).all()
    assert (observation[kind == FIRST][:, 0].sum(1) == 1).all()  # the ball is at the top: resetting took one step
    kind, reward, _, _ = play(wrappers.action_repeat(cartpole(time_limit=7), 3), steps=40, lanes=2).timestep
    assert set(reward[kind == MID].tolist()) == {3.0}
    assert 1.0 in reward[kind == LAST]  # 7 = 3 + 3 + 1


def test_discounted_weighs_rewards_by_when_they_come():
    kind, reward, *_ = check_environment(wrappers.discounted(cartpole(time_limit=9), 0.5), steps=30).timestep
    since = np.zeros(kind.shape[1], int)
    for t in range(1, len(kind)):
        since = np.where(kind[t] == FIRST, 0, since + 1)
        np.testing.assert_allclose(reward[t], np.where(kind[t] == FIRST, 0.0, 0.5 ** (since - 1.0)))


def test_flatten_joins_what_a_dict_holds():
    inner = noise("dict", length=20)
    env = wrappers.flatten(inner)
    size = 2 + 16 * 16 * 3 + 4
    assert env.spec.observation.shape == (size,)
    assert (env.spec.observation.low[:2] == -1).all() and (env.spec.observation.low[2:] == 0).all()
    assert (env.spec.observation.high == 1).all()
    x = check_environment(env, steps=30).timestep.observation
    parts = play(inner, steps=30, lanes=3).timestep.observation  # the same keys, so the same numbers
    np.testing.assert_allclose(x[..., :2], parts["goal"])
    np.testing.assert_allclose(x[..., 2:-4], parts["image"].reshape(31, 3, -1) / 255, atol=1e-6)
    np.testing.assert_array_equal(x[..., -4:], np.eye(4)[parts["room"]])


def test_flatten_scales_bytes_by_their_bound():
    inner = noise(Box((3,), 0, np.array([1, 4, 255]), np.uint8), length=20)
    env = wrappers.flatten(inner)
    np.testing.assert_allclose(env.spec.observation.high, 1, rtol=1e-6)
    x, raw = (play(each, steps=10, lanes=3).timestep.observation for each in (env, inner))
    np.testing.assert_allclose(x, raw / np.float32([1, 4, 255]), rtol=1e-6)


def test_mask_observation_hides_velocities():
    env = wrappers.mask_observation(cartpole(), (2, 0))
    np.testing.assert_allclose(env.spec.observation.high, [24 * np.pi / 180, 4.8], rtol=1e-6)
    x = check_environment(env, steps=60).timestep.observation
    np.testing.assert_array_equal(x, play(cartpole(), steps=60, lanes=3).timestep.observation[..., [2, 0]])


def test_frame_stack_repeats_the_first_and_ends_with_the_newest():
    inner = noise(Box((2, 3, 1), 0, 255, np.uint8), length=7)
    env = wrappers.frame_stack(inner, 3)
    assert env.spec.observation.shape == (2, 3, 3) and env.spec.observation.dtype == np.uint8
    kind, _, _, stacked = check_environment(env, steps=40).timestep
    frames = play(inner, steps=40, lanes=3).timestep.observation[..., 0]
    for lane in range(3):
        begin = 0
        for t in range(41):
            begin = t if kind[t, lane] == FIRST else begin
            for age in range(3):
                np.testing.assert_array_equal(stacked[t, lane, ..., 2 - age], frames[max(t - age, begin), lane])
    vector = wrappers.frame_stack(cartpole(), 2).spec.observation
    assert vector.shape == (8,) and vector.high.shape == (8,)


def test_flicker_blanks_that_share():
    env = wrappers.flicker(noise(Box((4,), 1.0, 2.0), length=10), 0.3)
    assert (env.spec.observation.low == 0).all()
    x = check_environment(env, steps=500).timestep.observation
    blank = (x == 0).all(-1)
    assert (blank == (x == 0).any(-1)).all()
    assert abs(blank.mean() - 0.3) < 0.05
    assert not (blank[:, 0] == blank[:, 1]).all()


def test_trial_joins_episodes():
    env = wrappers.trial(memory_chain(2), 3)  # 3 steps per episode
    assert env.spec.time_limit == 11
    played = check_environment(env, steps=47)
    kind, reward, discount, x = played.timestep
    assert (kind == np.resize([FIRST, *[MID] * 10, LAST], 48)[:, None]).all()
    opens = np.resize([1, 0, 0, 0], 48)
    np.testing.assert_array_equal(x["new_episode"][..., 0], np.repeat(opens[:, None], 3, 1))
    assert (abs(reward[opens == 1]) == 0).all()
    assert (abs(reward[np.roll(opens, -1) == 1]) == 1).all()  # the end of each episode, also within a trial
    np.testing.assert_array_equal(discount, np.where(kind == LAST, 0, 1))
    np.testing.assert_array_equal(x["last_reward"][..., 0], reward)
    told = np.eye(2)[played.action] * (1 - opens[1:, None, None])
    np.testing.assert_array_equal(x["last_action"][1:], told)
    assert (x["last_action"][0] == 0).all()
    np.testing.assert_array_equal(x["observation"], play(memory_chain(2), steps=47, lanes=3).timestep.observation)


def test_trial_of_a_continuous_task_as_a_vector():
    env = wrappers.flatten(wrappers.trial(pendulum(time_limit=4), 2))
    assert env.spec.observation.shape == (1 + 1 + 1 + 3,) and env.spec.time_limit == 9
    played = check_environment(env, steps=40)
    kind, _, discount, x = played.timestep
    assert np.flatnonzero(kind[:, 0] == LAST).tolist() == [9, 19, 29, 39]
    assert (discount[4] == 1).all() and (discount[9] == 0).all()  # a cut within the trial, and its end
    np.testing.assert_array_equal(x[1:5, :, 0], played.action[:4, :, 0])  # entries in the order of sorted keys
    assert (x[5, :, 0] == 0).all()


def test_wrappers_nest_and_keep_rendering():
    env = wrappers.time_limit(wrappers.frame_stack(wrappers.flicker(wrappers.action_repeat(catch(), 2)), 2), 3)
    assert env.spec.time_limit == 3
    played = check_environment(env, steps=30)
    assert jax.eval_shape(env.render, jax.tree.map(lambda x: x[0], played.state)).dtype == jnp.uint8


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: wrappers.time_limit(catch(), 0), ["steps", "0"]),
        (lambda: wrappers.action_repeat(catch(), 0), ["times", "0"]),
        (lambda: wrappers.discounted(catch(), 0.0), ["discount", "0.0"]),
        (lambda: wrappers.frame_stack(catch(), 0), ["frames", "0"]),
        (lambda: wrappers.frame_stack(noise(Discrete(3)), 2), ["array observation", "noise"]),
        (lambda: wrappers.flicker(catch(), 1.5), ["probability", "1.5"]),
        (lambda: wrappers.trial(catch(), 0), ["episodes", "0"]),
        (lambda: wrappers.mask_observation(catch(), (0,)), ["vector", "catch"]),
        (lambda: wrappers.mask_observation(cartpole(), (4,)), ["keep", "below 4"]),
        (lambda: wrappers.mask_observation(cartpole(), ()), ["keep"]),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert all(word in str(error.value) for word in words)


def test_hidden_tasks_by_name():
    env = make("bellmax/cartpole-no-velocity", time_limit=20)
    x = check_environment(env, steps=60).timestep.observation
    np.testing.assert_array_equal(x, play(cartpole(time_limit=20), steps=60, lanes=3).timestep.observation[..., [0, 2]])
    env = make("bellmax/flickering-catch", probability=0.8, rows=5, columns=7)
    played = check_environment(env, steps=400)
    assert abs((played.timestep.observation == 0).all((-1, -2)).mean() - 0.8) < 0.05
    np.testing.assert_array_equal(np.flatnonzero(played.timestep.step_type[:, 0] == LAST), np.arange(4, 401, 5))
