"""Goals of recorded transitions: which rows they are, and how often."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import valid
from envs.base import FIRST, LAST, MID, host_rows
from replay import dataset
from replay.base import Step
from replay.recorded import Lent

LENGTHS = (3, 2, 6)
DRAWS = 20_000


def rows(*lengths):
    """Episodes of so many transitions; every row achieves its number in the log and desires -1."""
    kinds = np.concatenate([[FIRST, *[MID] * (n - 1), LAST] for n in lengths]).astype(np.int8)
    at = np.arange(len(kinds), dtype=np.float32)[:, None]
    seen = {"observation": at, "achieved_goal": at, "desired_goal": np.full_like(at, -1)}
    return Step(host_rows(kinds, np.zeros(len(kinds)), np.ones(len(kinds)), seen), np.zeros((len(kinds), 1)))


@pytest.fixture(scope="module")
def data():
    return jax.tree.map(jnp.asarray, replay.arrays(dataset.of(rows(*LENGTHS))))


def shares(found, size=14):
    return np.bincount(np.asarray(found), minlength=size) / len(found)


def test_later_rows_are_drawn_alike_or_geometrically(data):
    start = jnp.full(DRAWS, 8)  # of the third episode, rows 7 to 13
    assert int(replay.last_of(data, start[:1])[0]) == 13
    uniform = shares(replay.ahead(jax.random.key(0), data, start))
    np.testing.assert_allclose(uniform[9:], 0.2, atol=0.01)
    assert uniform[:9].sum() == 0
    found = shares(replay.ahead(jax.random.key(1), data, start, 0.6))
    expected = 0.4 * 0.6 ** np.arange(5)
    expected[-1] = 0.6**4  # what lies after the end
    np.testing.assert_allclose(found[9:], expected, atol=0.012)
    near = replay.ahead(jax.random.key(2), data, jnp.array([2, 5, 12]), jnp.float32(0.99))
    np.testing.assert_array_equal(near, [3, 6, 13])
    np.testing.assert_array_equal(replay.ahead(jax.random.key(2), data, start[:4], 0.0), 9)
    np.testing.assert_array_equal(replay.ahead(jax.random.key(2), data, start[:4], 1.0), 13)


def test_goals_are_mixed_in_their_shares(data):
    start = jnp.full(DRAWS, 8)
    found = shares(replay.mixed(jax.random.key(0), data, start, replay.Shares(0.2, 0.5)))
    anywhere = np.ones(14)
    anywhere[[3, 6, 13]] = 0  # have no successor
    expected = 0.3 * anywhere / 11
    expected[8] += 0.2
    expected[9:] += 0.1
    np.testing.assert_allclose(found, expected, atol=0.01)
    only = replay.mixed(jax.random.key(1), data, start[:50], replay.Shares(1.0, 0.0))
    np.testing.assert_array_equal(only, 8)


def lent(data):
    return Lent((), data)


def test_goals_stand_behind_their_transitions_and_no_transition_leads_into_them(data):
    rows_of = lambda key, data, start: jnp.stack([start, replay.last_of(data, start)])  # noqa: E731
    memory = replay.with_goals(replay.recorded(32), rows_of)
    drawn = jax.jit(memory.sample)(lent(data), jax.random.key(0))
    at = np.asarray(drawn.steps.timestep.observation["achieved_goal"])[..., 0]
    assert at.shape == (4, 32) and memory.serves_data and memory.played is None
    start = np.asarray(drawn.index)
    np.testing.assert_array_equal(
        at, [start, start + 1, start, np.array([3, 6, 13])[np.searchsorted([4, 7], start, "right")]]
    )
    np.testing.assert_array_equal(valid(drawn.steps), [[True] * 32, [False] * 32, [False] * 32])


def test_windows_are_towards_what_was_achieved_later(data):
    memory = replay.towards(replay.recorded(32), lambda key, data, start: replay.ahead(key, data, start)[None])
    drawn = jax.jit(memory.sample)(lent(data), jax.random.key(0))
    seen = drawn.steps.timestep.observation
    goal = np.asarray(seen["desired_goal"])[..., 0]
    assert goal.shape == (2, 32)
    np.testing.assert_array_equal(goal[0], goal[1])
    last = np.asarray(replay.last_of(data, drawn.index))
    assert ((goal[0] > np.asarray(drawn.index)) & (goal[0] <= last)).all()
    np.testing.assert_array_equal(seen["achieved_goal"][0, :, 0], drawn.index)
