import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from agents.base import FIRST, LAST, valid
from tests.replay import model

GAMMA = 0.9
RELABEL = {n: jax.jit(lambda steps, gamma, n=n: replay.n_step(n, gamma)(steps, jax.random.key(0))) for n in (1, 4)}


def windows(steps, n):
    """Every window of n transitions: leaves [n + 1, N, ...]."""
    total = steps.action.shape[0] - n
    span = np.arange(n + 1)[:, None] + np.arange(total)[None]
    return jax.tree.map(lambda x: x[span].reshape(n + 1, total * x.shape[1], *x.shape[2:]), steps)


def fold(steps, n, lane):
    """The return, what is left of the discount and the stopping row of one window, step by step in float64."""
    step_type, reward, gamma = (np.asarray(x[:, lane], np.float64) for x in steps.timestep[:3])
    total, left, stop = 0.0, 1.0, 0
    for k in range(1, n + 1):
        if step_type[k] == FIRST:
            break
        total += left * reward[k]
        left *= gamma[k] * GAMMA
        stop = k
        if step_type[k] == LAST:
            break
    return total, left / GAMMA, stop


@pytest.mark.parametrize("n", [1, 4])
@settings(max_examples=20, deadline=None, derandomize=True, database=None)
@given(patterns=st.lists(model.episodes, min_size=2, max_size=2), lost=st.integers(0, 19))
def test_n_step_equals_the_plain_sum(n, patterns, lost):
    steps = model.history(patterns, 20)
    life = steps.timestep.step_type[lost, 0]
    steps.timestep.discount[lost, 0] *= life == FIRST  # a lost life: discount 0 in mid-episode
    long = windows(steps, n)
    short = RELABEL[n](long, GAMMA)
    assert short.action.shape[0] == 2
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[0], y[0]), long, short)
    for lane in range(long.action.shape[1]):
        total, left, stop = fold(long, n, lane)
        if stop == 0:
            assert short.timestep.step_type[1, lane] == FIRST
            continue
        row = jax.tree.map(lambda x, lane=lane: x[1, lane], short)
        np.testing.assert_allclose(row.timestep.reward, total, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(row.timestep.discount, left, rtol=1e-5)
        blank = {"reward": 0, "discount": 0}
        stopped = jax.tree.map(lambda x, lane=lane, stop=stop: x[stop, lane], long)
        jax.tree.map(
            np.testing.assert_array_equal,
            row._replace(timestep=row.timestep._replace(**blank)),
            stopped._replace(timestep=stopped.timestep._replace(**blank)),
        )


def test_one_step_is_the_identity():
    steps = windows(model.history([[(3, model.TRUNCATED)]], 12), 1)
    jax.tree.map(np.testing.assert_array_equal, RELABEL[1](steps, GAMMA), steps)


def test_truncation_bootstraps_and_termination_does_not():
    for end, left in ((model.TRUNCATED, GAMMA), (model.TERMINATED, 0.0), (model.INTERRUPTED, 1.0)):
        steps = windows(model.history([[(2, end)]], 5), 4)
        short = RELABEL[4](steps, GAMMA)
        np.testing.assert_allclose(short.timestep.discount[1, 0], left, rtol=1e-6)
        assert short.timestep.observation["vector"][1, 0, 0] == (1 if end == model.INTERRUPTED else 2)


def test_mapped_over_a_replay_and_over_discounts():
    steps = model.history([[(5, model.TRUNCATED)], [(3, model.TERMINATED)]], 24)
    plain = replay.uniform(48, 16, length=4)
    state = jax.jit(plain.add)(plain.init(jax.tree.map(lambda x: x[0], steps)), steps)
    discounts, key = jnp.array([GAMMA, 0.5]), jax.random.key(0)
    drawn = jax.jit(jax.vmap(lambda g: replay.mapped(plain, replay.n_step(4, g)).sample(state, key).steps))(discounts)
    assert drawn.action.shape == (2, 2, 16)
    assert drawn.timestep.observation["image"].dtype == jnp.uint8
    masked = np.asarray(valid(jax.tree.map(lambda x: x[0], drawn)))
    source = np.asarray(drawn.action[0, 0])
    np.testing.assert_array_equal(masked[0], steps.timestep.step_type[source % 1000, source // 1000] != LAST)
    again = jax.tree.map(lambda x: x[0], drawn)
    long = jax.jit(plain.sample)(state, jax.random.split(key, 2)[0]).steps
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-6), again, RELABEL[4](long, GAMMA))


def test_impossible_arguments():
    with pytest.raises(ValueError, match="n is 0"):
        replay.n_step(0, GAMMA)
    with pytest.raises(ValueError, match=r"the window has 2 transitions; n_step\(3, ...\) takes 3"):
        replay.n_step(3, GAMMA)(windows(model.history([[(3, model.TRUNCATED)]], 6), 2), jax.random.key(0))
