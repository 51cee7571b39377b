"""Tasks around a simulator are drawn per trial, paid by its speed, and told as `envs.wrappers.trial` tells them."""

import numpy as np
import pytest

from agents.base import FIRST, LAST, MID
from envs.adapters.envpool import envpool
from envs.adapters.meta import meta
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


@pytest.mark.parametrize(("id", "episodes", "limit"), [("HalfCheetahVelocity", 2, 5), ("ML1/Push-v3", 1, 6)])
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


def test_runs_share_a_pool():
    check_runs_share_a_pool(meta("HalfCheetahVelocity", time_limit=7), 30)


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("HalfCheetahSpeed", {}, "HalfCheetahSpeed.*closest: .*HalfCheetahVelocity"),
        ("ML1/Pus-v3", {}, "closest: .*ML1/Push-v3"),
        ("HalfCheetahVelocity", {"episodes": 0}, "episodes is 0; allowed: 1 or more"),
        ("HalfCheetahVelocity", {"tasks": -1}, "tasks is -1; allowed: 0 or more"),
        ("HalfCheetahVelocity", {"seed": -1}, "seed is -1; allowed: 0 or more"),
        ("HalfCheetahVelocity", {"time_limit": 0}, "time_limit is 0; allowed: 1 or more"),
        ("ML1/Push-v3", {"episodes": 2}, "episodes is 2, tasks is 0; allowed for ML1/Push-v3: 1 and 0"),
        ("ML1/Push-v3", {"tasks": 5}, "tasks is 5; allowed for ML1/Push-v3: 1 and 0"),
    ],
)
def test_bad_input_is_refused(id, options, message):
    with pytest.raises(ValueError, match=message):
        meta(id, **options)
