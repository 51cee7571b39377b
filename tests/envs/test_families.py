"""Distributions of tasks: what stays within a trial, what changes between trials, sets by seed, and the rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST
from envs import bandit_values, families, keys, make
from envs.tasks import bandits, harlow, moving_bandits, one_shot, point_goals, random_mdps, two_step
from tests.envs.contract import check_environment, play

MAKERS = {
    "bandits": lambda: bandits.bandits(pulls=6),
    "gaussian": lambda: bandits.bandits("gaussian", arms=3, pulls=6),
    "two_step": lambda: two_step.two_step(choices=4),
    "harlow": lambda: harlow.harlow(features=3, choices=4),
    "random_mdps": lambda: random_mdps.random_mdps(horizon=3, episodes=2),
    "point_goals": lambda: point_goals.point_goals(horizon=4, episodes=3),
    "moving_bandits": lambda: moving_bandits.moving_bandits(horizon=4, blocks=3, block=2),
    "sparse_points": lambda: point_goals.point_goals("half-circle", sparse=True, horizon=4, episodes=3),
}


@pytest.mark.parametrize("name", MAKERS)
def test_contract(name):
    check_environment(MAKERS[name](), steps=40)


def tasks_of(env, steps, lanes=3, told=True):
    """The task of every row, `[T, B, ...]`, and the rows' types."""

    def unroll(lane_keys):
        def body(state, _):
            state, timestep = jax.vmap(env.step)(
                state, jnp.zeros((lanes, *env.spec.action.shape), env.spec.action.dtype)
            )
            return state, (state.inner.task if told else state.task, timestep.step_type)

        state, timestep = jax.vmap(env.reset)(lane_keys)
        first = (state.inner.task if told else state.task), timestep.step_type
        _, rest = jax.lax.scan(body, state, None, steps)
        return jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), first, rest)

    return jax.tree.map(np.asarray, jax.jit(unroll)(jax.random.split(keys.key(0), lanes)))


def test_a_task_stays_for_its_episodes_and_not_longer():
    env = point_goals.point_goals(horizon=4, episodes=3)
    goals, kinds = tasks_of(env, steps=60, told=False)
    assert env.spec.episodes == 3 and env.spec.time_limit == 4
    for lane in range(3):
        starts = np.flatnonzero(kinds[:, lane] == FIRST)
        assert starts.tolist() == list(range(0, 61, 5))
        changes = np.flatnonzero(np.any(np.diff(goals[:, lane], axis=0) != 0, axis=-1)) + 1
        assert changes.tolist() == [15, 30, 45, 60]
    assert len(np.unique(goals.reshape(-1, 2), axis=0)) == 15


def test_a_task_can_stay_for_good():
    goals, _ = tasks_of(point_goals.point_goals(horizon=4, episodes=0), steps=60, told=False)
    assert (goals == goals[:1]).all() and len(np.unique(goals[0], axis=0)) == 3


def test_a_trial_ends_when_its_task_does():
    env = random_mdps.random_mdps(horizon=3, episodes=2)
    process, kinds = tasks_of(env, steps=33)
    last = np.flatnonzero(kinds[:, 0] == LAST)
    assert last.tolist() == [7, 15, 23, 31]  # 3 steps, the row that opens the second episode, 3 steps
    changes = np.flatnonzero(np.any(np.diff(process.reward[:, 0].reshape(34, -1), axis=0) != 0, axis=-1)) + 1
    assert changes.tolist() == [8, 16, 24, 32]
    np.testing.assert_allclose(process.onward.sum(-1), 1, rtol=1e-5)


def test_a_set_has_its_tasks_and_shares_none_with_another():
    def seen(**options):
        means, _ = tasks_of(bandits.bandits(pulls=1, **options), steps=120)
        return {tuple(x) for x in means.reshape(-1, 2).tolist()}

    train, held_out = seen(tasks=5, seed=0), seen(tasks=5, seed=1)
    assert len(train) == len(held_out) == 5 and not train & held_out
    assert len(seen()) > 100


def test_a_set_of_sines_shares_none_with_another():
    def seen(**options):
        _, first = jax.jit(jax.vmap(one_shot.one_shot(5, **options).reset))(jax.random.split(keys.key(0), 200))
        assert len(np.unique(first.observation["x"])) > 190  # what is asked is no part of a task
        return {tuple(x) for x in np.round(first.observation["demo"][..., 1], 4).tolist()}

    train, held_out = seen(tasks=5), seen(tasks=5, seed=1)
    assert len(train) == len(held_out) == 5 and not train & held_out
    assert len(seen()) > 190


def test_bandits_pay_what_their_arms_do_and_evaluations_tell_the_regret():
    env = bandits.bandits("medium", pulls=50)
    played = play(env, steps=1000, lanes=4)
    kinds, reward, _, seen = played.timestep
    inside = kinds != FIRST
    assert (seen["last_reward"][..., 0] == reward).all() and set(reward[inside].tolist()) == {0.0, 1.0}
    trials = np.cumsum(kinds == FIRST, axis=0)
    rates = [
        [reward[rows & (seen["last_action"][:, lane, a] == 1), lane].mean() for a in range(2)]
        for lane in range(4)
        for rows in (inside[:, lane] & (trials[:, lane] == n) for n in range(1, trials.max()))
    ]
    better = np.max(rates, axis=1).mean(), np.min(rates, axis=1).mean()
    np.testing.assert_allclose(better, (0.75, 0.25), atol=0.06)
    judged = play(bandits.bandits("medium", pulls=50, pays="regret"), steps=1000, lanes=4).timestep
    np.testing.assert_array_equal(judged.observation["last_reward"], seen["last_reward"])  # the same keys and actions
    assert (
        set(np.round(judged.reward[inside], 4).tolist()) == {0.0, -0.5} and (judged.reward[kinds == FIRST] == 0).all()
    )


def test_two_step_transitions_rewards_and_what_is_not_told():
    played = play(two_step.two_step(common=0.7, pays=1.0, switch=0.0, choices=40), steps=2000, lanes=4)
    kinds, reward, _, seen = played.timestep
    place, told = seen["observation"].argmax(-1), seen["last_action"]
    second = place > 0
    assert (told[~second] == 0).all() and (told[second].sum(-1) == 1).all()
    assert abs((told[second].argmax(-1) + 1 == place[second]).mean() - 0.7) < 0.03
    assert (reward[second] == 0).all()
    trials = np.cumsum(kinds == FIRST, axis=0)
    for trial in range(1, 5):
        paying = {int(place[t - 1, 0]) for t in np.flatnonzero((trials[:, 0] == trial) & (reward[:, 0] == 1))}
        assert len(paying) == 1


def test_harlow_shows_two_objects_of_which_one_pays():
    played = play(harlow.harlow(features=3, choices=4), steps=200, lanes=4)
    kinds, reward, _, seen = played.timestep
    left, right = np.split(seen["observation"], 2, axis=-1)
    assert (left != right).any(-1).all()
    trials = np.cumsum(kinds == FIRST, axis=0)
    for lane in range(4):
        for trial in range(1, trials[:, lane].max()):
            rows = np.flatnonzero(trials[:, lane] == trial)[:-1]
            paid = {
                tuple((right if played.action[t, lane] else left)[t, lane]) for t in rows if reward[t + 1, lane] == 1
            }
            failed = {
                tuple((right if played.action[t, lane] else left)[t, lane]) for t in rows if reward[t + 1, lane] == -1
            }
            assert len(paid) <= 1 and len(failed) <= 1 and not paid & failed
    judged = play(harlow.harlow(features=3, choices=4, pays="second"), steps=200, lanes=4).timestep.reward
    since = np.zeros_like(kinds, int)
    for t in range(1, len(kinds)):
        since[t] = np.where(kinds[t] == FIRST, 0, since[t - 1] + 1)
    np.testing.assert_array_equal(judged, np.where(since == 2, reward > 0, 0.0))


def test_objects_that_are_held_out_are_never_trained_on():
    drawn = {}
    for kind in ("all", "trained", "held-out"):
        draw = harlow.family(5, 4, kind).draw
        pairs = np.asarray(jax.vmap(draw)(jax.random.split(keys.key(0), 2000)))
        assert pairs.shape == (2000, 2, 5) and (pairs[:, 0] != pairs[:, 1]).any(-1).all()
        drawn[kind] = [{tuple(x) for x in pairs[:, i].tolist()} for i in (0, 1)]
    assert [len(x) for x in drawn["all"]] == [32, 32]
    (right, wrong), (new_right, new_wrong) = drawn["trained"], drawn["held-out"]
    assert right == wrong and new_right == new_wrong and len(right) == len(new_right) == 16 and not right & new_right


def test_a_point_that_arrives_stays_and_is_paid_nothing_more():
    env = point_goals.family("square", False, 8).make(jnp.array([0.1, 0.0]))
    state, _ = env.reset(keys.key(0))
    step, rewards = jax.jit(env.step), []
    for action in ([-1.0, 0.0], [2.0, 0.0], [1.0, 0.0], [1.0, 1.0]):
        state, timestep = step(state, jnp.array(action))
        rewards.append(float(timestep.reward))
    np.testing.assert_allclose(rewards, [-0.2, -0.1, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(timestep.observation, [0.1, 0.0], atol=1e-6)
    sparse = point_goals.family("half-circle", True, 8).make(jnp.array([0.0, 0.25]))
    state, _ = sparse.reset(keys.key(0))
    _, timestep = sparse.step(state, jnp.array([0.0, 1.0]))
    np.testing.assert_allclose(timestep.reward, 0.85, rtol=1e-5)
    _, timestep = sparse.step(state, jnp.array([0.0, 0.4]))
    assert float(timestep.reward) == 0.0
    goals = jax.vmap(point_goals.family("half-circle", True, 8).draw)(jax.random.split(keys.key(0), 50))
    np.testing.assert_allclose(np.linalg.norm(goals, axis=1), 1, rtol=1e-5)
    assert (np.asarray(goals)[:, 1] >= 0).all()


def test_bandit_values():
    assert abs(bandit_values.bayes_regret(pulls=1) - (2 / 3 - 1 / 2)) < 1e-12
    # Two pulls: 1/2, then 2/3 where the first paid and 1/2, of the other arm, where it did not.
    assert abs(bandit_values.bayes_regret(pulls=2) - (4 / 3 - 1 / 2 - (2 / 3 + 1 / 2) / 2)) < 1e-12
    found = [bandit_values.bayes_regret(kind) for kind in ("uniform", "easy", "medium", "hard")]
    np.testing.assert_allclose(found, [1.22, 0.624, 1.00, 2.30], atol=0.015)
    # Beta(1, 1) against Beta(2, 1): P(X > Y) = ∫ 2y (1 - y) dy = 1/3.
    np.testing.assert_allclose(bandit_values.better(*np.array([[1], [1], [2], [1]])), 1 / 3, rtol=1e-9)
    lost = [
        f(20)
        for f in (
            lambda n: bandit_values.bayes_regret(pulls=n),
            bandit_values.gittins_regret,
            bandit_values.greedy_regret,
            bandit_values.thompson_regret,
        )
    ]
    assert lost == sorted(lost)


def test_gittins_indices():
    """With a discount they are those of the tables in Gittins, Glazebrook and Weber, "Multi-armed bandit allocation
    indices" (2011), by the number of pulls that paid and that did not, a prior's two among them."""
    paid, missed = np.array([[1, 2]]), np.array([[1], [2]])
    np.testing.assert_allclose(
        bandit_values.gittins_index(paid, missed, 100, 0.9), [[0.7029, 0.8001], [0.5001, 0.6346]], atol=6e-5
    )
    np.testing.assert_allclose(bandit_values.gittins_index(1, 1, 1000, 0.99), 0.8699, atol=6e-5)
    # Of two pulls the second is made where the first paid: (1/2 + 1/2 x 2/3) / (1 + 1/2). With one it is the mean.
    np.testing.assert_allclose(bandit_values.gittins_index(1, 1, 2), 5 / 9, rtol=1e-12)
    assert bandit_values.gittins_index(3, 1, 1) == 0.75
    longer = [bandit_values.gittins_index(paid, missed, n) for n in (1, 2, 5, 20)]
    assert (np.diff(longer, axis=0) > 0).all()


def test_who_goes_by_gittins_loses_little_more_than_the_best():
    for pulls in (1, 2, 3):
        assert abs(bandit_values.gittins_regret(pulls) - bandit_values.bayes_regret(pulls=pulls)) < 1e-12
    best, found = bandit_values.bayes_regret(pulls=30), bandit_values.gittins_regret(30)
    assert best + 1e-4 < found < 1.005 * best


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 1, 5), "a: must be above 0, got 0"),
        ((1, [2, -1], 5), "b: must be above 0, got -1"),
        ((1, 1, 0), "pulls: must be at least 1, got 0"),
        ((1, 1, 5, 1.5), "discount: must be above 0 and at most 1, got 1.5"),
    ],
)
def test_bad_gittins_indices(arguments, message):
    with pytest.raises(ValueError, match=message):
        bandit_values.gittins_index(*arguments)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("bandits", {"kind": "fair"}, "kind is 'fair'; allowed: independent"),
        ("bandits", {"kind": "easy", "arms": 3}, "arms is 3; dependent arms"),
        ("bandits", {"pays": "gold"}, "pays is 'gold'; allowed: reward, regret"),
        ("bandits", {"pulls": 0}, "pulls must be at least 1, got 0"),
        ("bandits", {"tasks": -1}, "tasks: must be at least 0, got -1"),
        ("two-step", {"common": 1.5}, "common must be at least 0 and at most 1, got 1.5"),
        ("two-step", {"choices": 0}, "choices must be at least 1, got 0"),
        ("harlow", {"features": 0}, "features must be at least 1 and at most 20, got 0"),
        ("harlow", {"features": 1, "objects": "trained"}, "features must be at least 2 and at most 20, got 1"),
        ("harlow", {"objects": "new"}, "objects is 'new'; allowed: all, trained, held-out"),
        ("harlow", {"choices": 1}, "choices must be at least 2, got 1"),
        ("harlow", {"pays": "third"}, "pays is 'third'; allowed: reward, second"),
        ("random-mdps", {"states": 1}, "states must be at least 2, got 1"),
        ("point-goals", {"goals": "circle"}, "goals is 'circle'; allowed: square, half-circle"),
        ("point-goals", {"horizon": 0}, "horizon must be at least 1, got 0"),
        ("point-goals", {"episodes": -1}, "episodes: must be at least 0, got -1"),
    ],
)
def test_bad_options(name, options, message):
    with pytest.raises(ValueError, match=message):
        make(f"bellmax/{name}", **options)


def test_a_family_of_one_s_own():
    family = families.Family(lambda key: jax.random.uniform(key, (2,)), bandits.family(pulls=3).make)
    assert families.trials(family).spec.time_limit == 3


def test_lanes_are_at_different_places_of_their_trials_and_a_new_task_is_told():
    blocks, block, horizon = 4, 2, 3
    env = moving_bandits.moving_bandits(horizon, blocks, block)
    assert env.spec.episodes == 8 and env.spec.block == 2
    right, _ = tasks_of(env, steps=120, lanes=64, told=False)
    played = play(env, steps=120, lanes=64, seed=0).timestep
    new = played.observation["new_task"][..., 0]
    starts = np.arange(0, 121, block * (horizon + 1))  # of blocks
    assert not np.delete(new, starts, axis=0).any()
    told = new[starts]
    assert (told[:blocks].sum(0) == 1).all() and set(told[:blocks].argmax(0).tolist()) == set(range(blocks))
    np.testing.assert_array_equal(told[blocks : 2 * blocks], told[:blocks])
    changes = np.diff(right, axis=0) != 0
    assert changes.any() and not changes[new[1:] == 0].any()


def test_the_target_that_pays_is_that_of_the_task():
    def paid(right, targets, action):
        state = moving_bandits.State(jnp.full(2, 200.0), jnp.array(targets))
        env = moving_bandits.family(5).make(jnp.int32(right))
        lane, _ = env.reset(keys.key(0))
        _, timestep = env.step(lane._replace(inner=state), jnp.int32(action))
        return float(timestep.reward), 400 * (np.asarray(timestep.observation) / np.sqrt(12) + 0.5)

    near, far = [200.0, 269.0], [0.0, 0.0]
    assert [paid(right, [near, far], 3)[0] for right in (0, 1)] == [1.0, 0.0]
    assert paid(0, [near, far], 0)[0] == 0.0  # 69 away: too far without the move
    np.testing.assert_allclose(paid(1, [near, far], 2)[1], [180, 200, 200, 269, 0, 0], atol=1e-3)


@pytest.mark.parametrize("name", ["moving_bandits", "point_goals"])
def test_tasks_that_are_drawn_can_be_filmed(name):
    env = MAKERS[name]()
    assert env.render is not None
    frames = jax.jit(jax.vmap(lambda key: env.render(env.reset(key)[0])))(jax.random.split(keys.key(0), 8))
    assert frames.dtype == jnp.uint8 and len(np.unique(np.asarray(frames).reshape(8, -1), axis=0)) > 1


def test_bad_moving_bandits():
    with pytest.raises(ValueError, match="moving_bandits: blocks must be at least 1, got 0"):
        moving_bandits.moving_bandits(blocks=0)
