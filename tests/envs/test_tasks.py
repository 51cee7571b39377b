"""The tasks written for bellmax: their rules against plain models and gymnasium, and the contract they share."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST, MID
from envs.base import Box, Discrete, EpisodeState
from envs.tasks import probes
from envs.tasks.cartpole import cartpole
from envs.tasks.catch import catch
from envs.tasks.deep_sea import deep_sea
from envs.tasks.far_reward import far_reward, threshold
from envs.tasks.hanging_load import hanging_load
from envs.tasks.memory_chain import memory_chain
from envs.tasks.noise import noise
from envs.tasks.one_shot import one_shot
from envs.tasks.pendulum import pendulum
from envs.tasks.pixel_catch import pixel_catch
from tests.envs.contract import check_environment, play

TASKS = {
    "cartpole": lambda: cartpole(time_limit=30),
    "pendulum": lambda: pendulum(time_limit=40),
    "deep_sea_stochastic": lambda: deep_sea(4, deterministic=False),
    "memory_chain": lambda: memory_chain(4, bits=3),
    "both_continuous": lambda: probes.both(continuous=True),
    "two_step": probes.two_step,
    "one_shot": lambda: one_shot(5, queries=3),
    "hanging_load": hanging_load,
    "far_reward": lambda: far_reward(4, time_limit=12),
    "noise_image": lambda: noise("image", length=20),
    "noise_dict_continuous": lambda: noise("dict", "continuous", length=20),
    "noise_geometric": lambda: noise("discrete", length=10, geometric=True),
}


@pytest.mark.parametrize("name", TASKS)
def test_contract(name):
    played = check_environment(TASKS[name](), steps=45 if name == "noise_image" else 150)
    starts = [x[played.timestep.step_type == FIRST] for x in jax.tree.leaves(played.timestep.observation)]
    assert name in ("two_step", "deep_sea_stochastic") or any((x != x[:1]).any() for x in starts), "one start only"


def at(env, inner, t=0):
    """A batch of states of an `episodic` environment, mid-episode."""
    lanes = inner.shape[0]
    return EpisodeState(inner, jax.random.split(jax.random.key(0), lanes), jnp.full(lanes, t), jnp.zeros(lanes, bool))


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_physics_are_gymnasiums(name):
    gymnasium = pytest.importorskip("gymnasium")
    reference = gymnasium.make(name).unwrapped
    reference.reset(seed=0)
    rng = np.random.default_rng(0)
    n = 300
    if name == "CartPole-v1":
        env = cartpole()
        states = rng.uniform(-1, 1, (n, 4)) * [2.5, 3, 0.22, 3]  # some are past the limits after the step
        actions = rng.integers(2, size=n)
    else:
        env = pendulum()
        states = rng.uniform(-1, 1, (n, 2)) * [np.pi, 8]
        actions = rng.uniform(-3, 3, (n, 1)).astype(np.float32)  # some beyond the torque limit
    states = states.astype(np.float32)
    _, timestep = jax.jit(jax.vmap(env.step))(at(env, jnp.asarray(states)), jnp.asarray(actions))
    ended = 0
    for i in range(n):
        reference.state, reference.steps_beyond_terminated = states[i].astype(np.float64), None
        observation, reward, terminated, _, _ = reference.step(actions[i])
        np.testing.assert_allclose(timestep.observation[i], observation, atol=1e-5)
        np.testing.assert_allclose(timestep.reward[i], reward, rtol=1e-5, atol=1e-5)
        assert (timestep.discount[i] == 0) == terminated
        assert timestep.step_type[i] == (LAST if terminated else MID)
        ended += terminated
    assert 0 < ended < n or name == "Pendulum-v1"


def test_initial_states_are_gymnasiums():
    keys = jax.random.split(jax.random.key(3), 4000)
    x = np.asarray(jax.jit(jax.vmap(cartpole().reset))(keys)[1].observation)
    assert abs(x).max() <= 0.05 and abs(x.mean(0)).max() < 2e-3
    np.testing.assert_allclose(x.std(0), 0.05 / np.sqrt(3), rtol=0.05)
    cos, sin, speed = np.asarray(jax.jit(jax.vmap(pendulum().reset))(keys)[1].observation).T
    np.testing.assert_allclose(np.arctan2(sin, cos).std(), np.pi / np.sqrt(3), rtol=0.05)
    np.testing.assert_allclose(speed.std(), 1 / np.sqrt(3), rtol=0.05)


def test_the_end_of_an_episode():
    """Truncation, termination, and termination on the last allowed step, side by side; then the next episode."""
    env = cartpole(time_limit=10)
    step = jax.jit(jax.vmap(env.step))
    falling = [0.0, 0.0, 0.2, 1.0]
    standing = [0.0, 0.5, 0.01, 0.0]
    inner = jnp.array([standing, falling, falling])
    state = at(env, inner)._replace(t=jnp.array([9, 3, 9]))
    state, row = step(state, jnp.ones(3, int))
    assert row.step_type.tolist() == [LAST, LAST, LAST]
    assert row.discount.tolist() == [1, 0, 0]
    assert row.reward.tolist() == [1, 1, 1]
    # The last row shows where the episode got to: x = 0 + 0.02 * 0.5 and θ = 0.2 + 0.02 * 1.
    np.testing.assert_allclose(row.observation[:, 0], [0.01, 0, 0], atol=1e-6)
    np.testing.assert_allclose(row.observation[:, 2], [0.01, 0.22, 0.22], atol=1e-6)
    left, right = step(state, jnp.zeros(3, int))[1], step(state, jnp.ones(3, int))[1]
    jax.tree.map(np.testing.assert_array_equal, left, right)  # the action is ignored
    assert left.step_type.tolist() == [FIRST] * 3
    assert left.reward.tolist() == [0, 0, 0] and left.discount.tolist() == [1, 1, 1]
    assert (abs(left.observation) <= 0.05).all()
    assert len(np.unique(left.observation)) == 12  # each lane draws its own start


def test_time_limits_are_exact():
    kind, _, discount, _ = play(pendulum(time_limit=7), steps=24, lanes=2).timestep
    assert [np.flatnonzero(kind[:, i] == LAST).tolist() for i in (0, 1)] == [[7, 15, 23]] * 2
    assert (discount == 1).all()
    kind, _, discount, _ = play(catch(rows=4), steps=24, lanes=2).timestep
    assert [np.flatnonzero(kind[:, i] == LAST).tolist() for i in (0, 1)] == [[3, 7, 11, 15, 19, 23]] * 2
    assert (discount[kind == LAST] == 0).all()


def test_pixel_catch_is_catch_as_an_image_without_a_price_for_a_miss():
    image = check_environment(pixel_catch(6)).timestep
    plain = play(catch(6, 6), steps=len(image.reward) - 1, lanes=image.reward.shape[1]).timestep
    np.testing.assert_array_equal(image.observation[..., 0], 255 * plain.observation)
    np.testing.assert_array_equal(image.reward, np.maximum(plain.reward, 0))


def test_catch_pays_for_a_catch():
    def follow(timestep):
        ball = jnp.argmax(timestep.observation[:, :-1].sum(1), axis=1)
        paddle = jnp.argmax(timestep.observation[:, -1], axis=1)
        return 1 + jnp.sign(ball - paddle)

    env = catch()
    played = check_environment(env)
    kind, reward, _, observation = played.timestep
    assert {-1.0, 1.0} == set(reward[kind == LAST].tolist())
    assert (reward[kind != LAST] == 0).all()
    assert set(np.unique(observation.sum((2, 3)))) == {1, 2}  # 1 where the ball lands in the paddle
    assert (observation[kind == LAST].sum((1, 2)) == np.where(reward[kind == LAST] == 1, 1, 2)).all()
    starts = observation[kind == FIRST]
    assert (starts[:, -1] == np.eye(5)[2]).all()
    assert len(np.unique(starts[:, 0].argmax(1))) == 5
    kind, reward, _, _ = play(env, steps=100, lanes=4, policy=follow).timestep
    assert (reward[kind == LAST] == 1).all()


@pytest.mark.parametrize("random_map", [True, False])
def test_deep_sea_against_a_plain_model(random_map):
    size, cost = 5, 0.05
    played = play(deep_sea(size, random_map, map_seed=3, move_cost=cost), steps=200, lanes=3)
    right_is = np.random.default_rng(3).integers(2, size=(size, size)) if random_map else np.ones((size, size), int)
    for lane in range(3):
        row = column = 0
        for t, action in enumerate(played.action[:, lane]):
            kind, reward, discount, observation = (x[t + 1, lane] for x in played.timestep)
            if row == size:
                row = column = 0
                expected, ends = 0.0, False
            else:
                right = action == right_is[row, column]
                expected = (right and column == size - 1) - right * cost / size
                column = min(column + 1, size - 1) if right else max(column - 1, 0)
                row += 1
                ends = row == size
            board = np.zeros((size + 1, size))
            board[row, column] = 1
            np.testing.assert_array_equal(observation, board[:size])
            np.testing.assert_allclose(reward, expected, atol=1e-6)
            assert (kind == LAST) == ends and discount == 1 - ends


def test_deep_sea_optimum():
    env = deep_sea(6, random_map=False)
    kind, reward, _, _ = play(env, steps=41, lanes=1, policy=lambda x: jnp.ones_like(x.step_type, jnp.int32)).timestep
    np.testing.assert_allclose(reward.sum() / (kind == LAST).sum(), 0.99, atol=1e-5)


def test_memory_chain_against_a_plain_model():
    length, bits = 3, 2
    played = play(memory_chain(length, bits), steps=100, lanes=3)
    contexts, queries = set(), set()
    for lane in range(3):
        kind, reward, discount, observation = (x[:, lane] for x in played.timestep)
        starts = np.flatnonzero(kind == FIRST)
        assert (np.diff(starts) == length + 2).all()
        for start in starts[:-1]:
            end = start + length + 1
            context, query = observation[start, 2:], observation[end - 1, 1]
            np.testing.assert_allclose(observation[start : end + 1, 0], 1 - np.array([0, 0, 1, 2, 3]) / 3, atol=1e-6)
            np.testing.assert_array_equal(observation[start + 1, 2:], context)
            assert (observation[start + 2 : end + 1, 2:] == 0).all()
            assert (observation[start : end - 1, 1] == 0).all() and observation[end, 1] == 0
            assert (reward[start:end] == 0).all()
            assert reward[end] == (1 if played.action[end - 1, lane] == (context[int(query)] > 0) else -1)
            assert kind[end] == LAST and discount[end] == 0
            contexts.add(tuple(context))
            queries.add(query)
    assert len(contexts) == 4 and queries == {0, 1}


@pytest.mark.parametrize("name", list(probes.answers(0.9)))
def test_probes_have_the_values_they_state(name):
    discount, answer = 0.9, probes.answers(0.9)[name]
    played = play(getattr(probes, name)(), steps=40, lanes=4)
    kind, reward, gamma, observation = played.timestep
    seen = set()
    for lane in range(4):
        for t in np.flatnonzero(kind[:-2, lane] != LAST):
            value = reward[t + 1, lane] + discount * gamma[t + 1, lane] * reward[t + 2, lane]
            which = int(np.flatnonzero((answer.observations == observation[t, lane]).all(1))[0])
            np.testing.assert_allclose(value, answer.q[which, played.action[t, lane]], rtol=1e-6)
            seen.add((which, int(played.action[t, lane])))
    assert len(seen) == answer.q.size  # every observation and action occurred


@pytest.mark.parametrize("name", ["action", "both"])
def test_continuous_probes_pay_as_stated(name):
    answer = probes.answers(0.9)[name]
    played = play(getattr(probes, name)(continuous=True), steps=20, lanes=1)
    kind, reward, _, observation = (x[:, 0] for x in played.timestep)
    for t in np.flatnonzero(kind[:-1] == FIRST):
        best = answer.action[(answer.observations == observation[t]).all(1)][0]
        np.testing.assert_allclose(reward[t + 1], 1 - (played.action[t, 0, 0] - best[0]) ** 2, rtol=1e-5)


def test_noise_is_uniform_within_its_bounds():
    bounded, unbounded, pixels = Box((50,), np.full(50, -2.0), 4.0), Box((60,)), Box((70,), 0, 255, np.uint8)
    space = {"a": bounded, "b": unbounded, "c": pixels, "d": Discrete(3)}
    x = play(noise(space, Box((1,), -1.0, 1.0), length=50), steps=200, lanes=2).timestep.observation
    for name, low, high in (("a", -2, 4), ("b", -1, 1), ("c", 0, 255)):
        assert x[name].min() >= low and x[name].max() <= high
        np.testing.assert_allclose(x[name].mean(), (low + high) / 2, atol=0.01 * (high - low))
        np.testing.assert_allclose(x[name].std(), (high - low) / np.sqrt(12), rtol=0.02)
        assert abs(np.corrcoef(x[name][:, 0].T) - np.eye(x[name].shape[-1])).max() < 0.4
    assert (abs(np.bincount(x["d"].ravel()) / x["d"].size - 1 / 3) < 0.1).all()


def test_noise_episodes():
    kind, reward, discount, _ = play(noise(length=9), steps=100, lanes=2).timestep
    assert (np.flatnonzero(kind[:, 0] == LAST) == np.arange(9, 101, 10)).all() and (discount == 1).all()
    kind, reward, discount, _ = play(noise(length=9, geometric=True), steps=1000, lanes=4).timestep
    assert (discount[kind == LAST] == 0).all() and (reward == 0).all()
    np.testing.assert_allclose((kind != FIRST).sum() / (kind == LAST).sum(), 9, rtol=0.15)


def test_the_far_reward_is_best_above_a_discount():
    """By value iteration on the rules, on both sides of it."""
    near, far, length = 0.05, 1.0, 8
    found = threshold(length, near, far)
    for discount, onwards in ((found - 0.01, False), (found + 0.01, True)):
        value = np.zeros(length)
        for _ in range(2000):
            stay = near + discount * value[0]
            on = np.append(discount * value[1:], far + discount * value[0])
            value = np.maximum(stay, on)
        assert (on[0] > stay) == onwards
    env = far_reward(3, near=0.25, far=2.0, time_limit=None)
    state = at(env, jnp.array([0, 1, 2, 2]))
    state, timestep = jax.vmap(env.step)(state, jnp.array([1, 0, 1, 0]))
    assert timestep.reward.tolist() == [0, 0.25, 2, 0.25] and timestep.observation.tolist() == [1, 0, 0, 0]


@pytest.mark.parametrize("make", [catch, cartpole, pendulum, deep_sea, memory_chain, far_reward])
def test_render_shows_the_state(make):
    env = make()

    @jax.jit
    def frames(key):
        state, _ = env.reset(key)
        after, _ = env.step(state, jnp.full(env.spec.action.shape, 1, env.spec.action.dtype))
        later, _ = env.step(after, jnp.full(env.spec.action.shape, 1, env.spec.action.dtype))
        return env.render(state), env.render(later)

    before, after = frames(jax.random.key(0))
    assert before.dtype == jnp.uint8 and before.ndim == 3 and before.shape[2] == 3
    assert len(np.unique(np.asarray(before).reshape(-1, 3), axis=0)) >= 2
    assert (before != after).any()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: catch(rows=1), ["rows", "1", "at least 2"]),
        (lambda: catch(columns=0), ["columns", "0"]),
        (lambda: deep_sea(1), ["size", "1"]),
        (lambda: far_reward(1), ["length", "1"]),
        (lambda: one_shot(3), ["points", "3"]),
        (lambda: hanging_load(()), ["lengths", "()"]),
        (lambda: hanging_load((0.5, -1.0)), ["lengths", "-1.0"]),
        (lambda: one_shot(queries=0), ["queries", "0"]),
        (lambda: one_shot(tasks=-1), ["tasks", "-1", "at least 0"]),
        (lambda: far_reward(time_limit=0), ["time_limit", "0"]),
        (lambda: memory_chain(0), ["length", "0"]),
        (lambda: memory_chain(3, bits=0), ["bits", "0"]),
        (lambda: noise("vectro"), ["observation", "vectro", "vector"]),
        (lambda: noise(action="both"), ["action", "both", "continuous"]),
        (lambda: noise(length=0), ["length", "0"]),
        (lambda: cartpole(0), ["time_limit", "0"]),
        (lambda: pendulum(-1), ["time_limit", "-1"]),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert all(word in str(error.value) for word in words)
