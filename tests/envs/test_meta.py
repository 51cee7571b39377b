"""Tasks around a simulator are drawn per trial, paid by its speed, and told as `envs.wrappers.trial` tells them."""

import numpy as np
import pytest

from agents.base import FIRST, LAST, MID
from envs.adapters.envpool import envpool
from envs.adapters.meta import GOALS, meta
from tests.envs.test_envpool import check, check_runs_share_a_pool, roll


def test_velocity_is_paid_by_the_distance_of_the_mean_speed():
    """Rewards of two tasks on the same motion differ by their speeds alone, and are those of the simulator's."""
    plain = envpool("HalfCheetah-v4", max_episode_steps=9).pool(2, 3)
    paid = meta("HalfCheetahVelocity", told=False, time_limit=9, tasks=1, seed=4).pool(2, 3)
    (_, simulated, _, _), (kind, reward, _, _) = roll(plain, 25), roll(paid, 25)
    rng = np.random.default_rng(0)
    torques = np.stack([np.square(rng.uniform(-1, 1, (2, 6))).sum(-1) for _ in range(25)])
    task = np.random.default_rng((4, 0)).uniform(0.0, 2.0)
    speed = simulated[1:] + 0.1 * torques
    expected = np.where(kind[1:] == FIRST, 0.0, -np.abs(speed - task) - 0.05 * torques)
    np.testing.assert_allclose(reward[1:], expected, atol=1e-5)


def test_direction_is_one_of_two_and_stays_for_a_trial():
    env = meta("HalfCheetahDirection", told=False, episodes=3, time_limit=4)
    rows = roll(env.pool(8, 0), 60)
    bare = roll(envpool("HalfCheetah-v4", max_episode_steps=4).pool(8, 0), 60)
    rng = np.random.default_rng(0)
    torques = np.stack([np.square(rng.uniform(-1, 1, (8, 6))).sum(-1) for _ in range(60)])
    speed = bare.reward[1:] + 0.1 * torques
    sign = np.sign((rows.reward[1:] + 0.05 * torques) * speed)
    stays = rows.step_type[1:] != FIRST
    trial = (np.arange(1, 61) // 15)[:, None] + np.zeros((1, 8), int)  # three episodes of five rows
    for lane in range(8):
        for number in range(4):
            assert len(set(sign[stays[:, lane] & (trial[:, lane] == number), lane])) == 1
    drawn = {(lane, t): s for (t, lane), s in np.ndenumerate(sign[1::15])}
    assert len(set(drawn.values())) == 2  # not every trial has the same
    assert env.spec.episodes == 3


@pytest.mark.parametrize(
    ("id", "episodes", "limit"), [("HalfCheetahVelocity", 2, 5), ("ML1/Push-v3", 1, 6), ("ML1/Push-v3", 2, 4)]
)
def test_a_trial_is_an_episode_that_tells_what_was_done(id, episodes, limit):
    env = meta(id, episodes=episodes, time_limit=limit)
    pool = env.pool(3, 1)
    rows = roll(pool, 40)
    check(pool, rows)
    length = episodes * (limit + 1)
    assert env.spec.time_limit == length - 1
    assert (rows.step_type[::length] == FIRST).all() and (rows.step_type[length - 1 :: length] == LAST).all()
    seen = rows.observation
    opens = seen["new_episode"][..., 0] == 1
    assert (opens[:: limit + 1]).all() and opens.sum() == 3 * len(opens[:: limit + 1])
    np.testing.assert_array_equal(seen["last_reward"][..., 0], rows.reward)
    assert (seen["last_action"][opens] == 0).all() and (seen["last_action"][~opens] != 0).all()
    within = opens & (rows.step_type == MID)
    assert within.any() == (episodes > 1)
    assert (rows.discount == np.where(rows.step_type == LAST, 0.0, 1.0)).all()


@pytest.mark.parametrize(
    ("id", "options", "steps"),
    [("HalfCheetahVelocity", {"time_limit": 7}, 30), ("ML1/Reach-v3", {"time_limit": 3, "episodes": 2}, 10)],
)
def test_runs_share_a_pool(id, options, steps):
    check_runs_share_a_pool(meta(id, **options), steps)


def episodes_of(env, lanes, number, seed=0):
    """What each episode pays and shows under the same actions, `[number, lanes, ...]`; episodes are of 3 steps."""
    rows = roll(env.pool(lanes, seed), 4 * number - 1, lambda rng: np.full((lanes, 4), 0.5))
    assert (rows.step_type.reshape(number, 4, lanes)[:, 0] == FIRST).all()
    seen = rows.observation if isinstance(rows.observation, np.ndarray) else rows.observation["observation"]
    assert (seen[..., 36:] == 0).all()  # where a skill's goal would be
    return rows.reward.reshape(number, 4, lanes).swapaxes(1, 2)[..., 1:], seen.reshape(number, 4, lanes, -1)[:, 0]


def test_the_goal_of_a_skill_stays_for_a_trial_and_is_hidden():
    env = meta("ML1/Reach-v3", told=False, episodes=2, time_limit=3)
    assert env.spec.episodes == 2 and env.spec.time_limit == 3
    paid, begins = episodes_of(env, lanes=2, number=6)
    np.testing.assert_array_equal(paid[::2], paid[1::2])
    np.testing.assert_array_equal(begins[::2], begins[1::2])
    assert len(np.unique(np.round(paid[::2].reshape(6, 3), 6), axis=0)) == 6  # each trial of each lane has its own


def test_the_goal_of_a_skill_can_stay_for_good():
    env = meta("ML1/Reach-v3", episodes=0, time_limit=3)
    assert env.spec.episodes == 0
    paid, _ = episodes_of(env, lanes=3, number=3)
    assert (paid == paid[:1]).all() and len(np.unique(paid[0], axis=0)) == 3


def test_a_set_of_goals_is_that_of_its_seed():
    def pays(**options):
        paid, _ = episodes_of(meta("ML1/Reach-v3", told=False, time_limit=3, **options), lanes=4, number=4)
        return {tuple(x) for x in paid.reshape(-1, 3).tolist()}

    train, again, held_out = pays(tasks=2), pays(tasks=2, episodes=2), pays(tasks=2, seed=1)
    assert train == again and len(train) == len(held_out) == 2 and not train & held_out
    # Its goals are the first of lanes that are seeded alike, where they can be looked at.
    numbers = [int(np.random.default_rng((0, i)).integers(GOALS)) for i in range(2)]
    shown = envpool("MetaWorld/Reach-v3", partially_observable=False, max_episode_steps=3).pool(2, numbers)
    rows = roll(shown, 3, lambda rng: np.full((2, 4), 0.5))
    assert {tuple(x) for x in rows.reward[1:].T.tolist()} == train
    assert (rows.observation[0, 0, 36:] != rows.observation[0, 1, 36:]).any() and rows.observation[..., 36:].any()


def test_a_cheetah_s_task_can_stay_for_good():
    env = meta("HalfCheetahVelocity", episodes=0, time_limit=4)
    assert env.spec.episodes == 0 and env.spec.observation.shape == (17,)
    rows = roll(env.pool(3, 0), 40)
    bare = roll(envpool("HalfCheetah-v4", max_episode_steps=4).pool(3, 0), 40)
    rng = np.random.default_rng(0)
    torques = np.stack([np.square(rng.uniform(-1, 1, (3, 6))).sum(-1) for _ in range(40)])
    stays = rows.step_type[1:] != FIRST
    off = -(rows.reward[1:] + 0.05 * torques)  # the distance of the speed to the task's
    speed = bare.reward[1:] + 0.1 * torques
    slow = stays & (speed < 0)  # below every task, so that the task is the sum
    assert slow.sum(0).min() > 2
    for lane in range(3):
        found = (off + speed)[slow[:, lane], lane]
        np.testing.assert_allclose(found, found[0], atol=1e-5)
    assert len({round(float((off + speed)[slow[:, lane], lane][0]), 4) for lane in range(3)}) == 3


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("HalfCheetahSpeed", {}, "HalfCheetahSpeed.*closest: .*HalfCheetahVelocity"),
        ("ML1/Pus-v3", {}, "closest: .*ML1/Push-v3"),
        ("HalfCheetahVelocity", {"episodes": -1}, "episodes is -1; allowed: 0 or more"),
        ("ML1/Push-v3", {"episodes": 0, "told": True}, "told is True; allowed with episodes=0: False"),
        ("HalfCheetahVelocity", {"tasks": -1}, "tasks is -1; allowed: 0 or more"),
        ("HalfCheetahVelocity", {"seed": -1}, "seed is -1; allowed: 0 or more"),
        ("HalfCheetahVelocity", {"time_limit": 0}, "time_limit is 0; allowed: 1 or more"),
    ],
)
def test_bad_input_is_refused(id, options, message):
    with pytest.raises(ValueError, match=message):
        meta(id, **options)
