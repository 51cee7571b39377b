"""The gymnax adapter."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST
from envs import drawing
from envs.adapters import gymnax as adapter
from envs.base import Box, Discrete, EpisodeState
from envs.tasks.cartpole import cartpole
from envs.tasks.cartpole import render as drawn_pole
from tests.envs.contract import check_environment, play


def test_ids_are_gymnaxs():
    import gymnax

    assert set(adapter.ids()) == set(gymnax.registered_envs)


def test_unknown_ids_and_options_are_answered():
    with pytest.raises(ValueError, match="CartPole-v1"):
        adapter.gymnax("Cartpole-v0")
    with pytest.raises(ValueError, match=r"no option 'sizes'.*size"):
        adapter.gymnax("DeepSea-bsuite", sizes=4)


@pytest.mark.parametrize(
    ("id", "observation", "action"),
    [
        ("DeepSea-bsuite", (8, 8), Discrete(2)),
        ("FourRooms-misc", (4,), Discrete(4)),  # declares float32, gives int32
        ("FrozenLake-misc", Discrete(16), Discrete(4)),
        ("Swimmer-misc", (16,), (2,)),  # promotes ranks
    ],
)
def test_contract(id, observation, action):
    env = adapter.gymnax(id, max_steps_in_episode=20) if id != "DeepSea-bsuite" else adapter.gymnax(id)
    for space, expected in ((env.spec.observation, observation), (env.spec.action, action)):
        assert space == expected if isinstance(expected, Discrete) else space.shape == expected
    played = check_environment(env, steps=60)
    if id == "DeepSea-bsuite":  # sets terminated and truncated together: terminated wins
        assert (played.timestep.discount[played.timestep.step_type == LAST] == 0).all()
    if id == "FourRooms-misc":
        assert env.spec.observation.dtype == np.int32


def test_options_reach_the_task():
    assert adapter.gymnax("DeepSea-bsuite", size=5).spec.observation.shape == (5, 5)
    env = adapter.gymnax("MemoryChain-bsuite", memory_length=3)
    kind = play(env, steps=20, lanes=1).timestep.step_type[:, 0]
    assert np.flatnonzero(kind == LAST)[0] == 4


@pytest.mark.parametrize(
    ("id", "fps", "shape"),
    [
        ("CartPole-v1", 50, (160, 240, 3)),
        ("Breakout-MinAtar", 10, (160, 160, 3)),
        ("Pendulum-v1", 20, (160, 162, 3)),
        ("FrozenLake-misc", 10, (160, 160, 3)),
        ("DeepSea-bsuite", 10, (160, 160, 3)),
        ("Pong-misc", 10, (120, 160, 3)),
    ],
)
def test_films(id, fps, shape):
    env = adapter.gymnax(id)
    assert env.spec.fps == pytest.approx(fps)
    state, timestep = jax.jit(env.reset)(jax.random.key(0))
    frame = np.asarray(jax.jit(env.render)(state))
    assert frame.dtype == np.uint8 and frame.shape == shape
    if id == "CartPole-v1":
        np.testing.assert_array_equal(frame, jax.jit(drawn_pole)(timestep.observation))
    if id == "Breakout-MinAtar":  # paddle, ball, trail and three rows of bricks
        seen = np.asarray(timestep.observation)
        for channel in range(4):
            others = seen[..., channel + 1 :].any(-1)
            cells = frame[8::16, 8::16]
            own = (cells == drawing.COLOURS[channel]).all(-1)
            np.testing.assert_array_equal(own, (seen[..., channel] > 0) & ~others)
    if id == "FrozenLake-misc":
        assert (frame[-1, 5] == drawing.BLUE).all() and (frame[-1, 15] == drawing.WHITE).all()
    if id == "Pendulum-v1":  # cos, sin, speed in [-1, 1], [-1, 1] and [-8, 8]: as high as they are
        level = (frame[:, 27::54] == drawing.BLUE).all(-1).mean(0)
        np.testing.assert_allclose(level, (np.asarray(timestep.observation) / [1, 1, 8] + 1) / 2, atol=1 / 160)


def test_truncation_is_exact_and_the_last_observation_true():
    env, ours = adapter.gymnax("CartPole-v1", max_steps_in_episode=15), cartpole(time_limit=15)
    assert env.spec.time_limit == 15
    bounds = env.spec.observation
    assert isinstance(bounds, Box) and np.isinf(bounds.high[1]) and np.isneginf(bounds.low[3])
    played = check_environment(env, steps=80, lanes=4)
    kind, reward, discount, observation = played.timestep
    since = np.zeros(4, int)
    cut = 0
    for t in range(80):
        since = np.where(kind[t + 1] == FIRST, 0, since + 1)
        over = (abs(observation[t + 1, :, 0]) > 2.4) | (abs(observation[t + 1, :, 2]) > 12 * np.pi / 180)
        ended = kind[t + 1] == LAST
        np.testing.assert_array_equal(ended, (over | (since == 15)) & (kind[t + 1] != FIRST))
        np.testing.assert_array_equal(discount[t + 1] == 0, over & ended)
        cut += (ended & ~over).sum()
    assert cut > 0 and (discount == 0).any()
    # Every transition within an episode, the last one too, is that of our own physics.
    within = kind[1:] != FIRST
    rows = jnp.asarray(observation[:-1][within])
    n = len(rows)
    state = EpisodeState(rows, jax.random.split(jax.random.key(0), n), jnp.zeros(n, int), jnp.zeros(n, bool))
    _, following = jax.jit(jax.vmap(ours.step))(state, jnp.asarray(played.action[within]))
    np.testing.assert_allclose(following.observation, observation[1:][within], atol=1e-5)
    assert (reward[1:][within] == 1).all()
