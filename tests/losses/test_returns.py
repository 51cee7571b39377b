import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agents import losses
from agents.base import FIRST, LAST, MID
from tests.losses import test_golden as golden

R = np.array([1.0, -2.0, 0.5, 3.0], np.float32)
V = np.array([0.3, 1.1, -0.7, 2.0, 5.0], np.float32)
GAMMA = 0.9


@functools.partial(jax.jit, static_argnames="lambda_")
def gae(step_type, discount, lambda_, v=V, r=R):
    return losses.gae(jnp.asarray(r), jnp.asarray(discount), lambda_, jnp.asarray(v), jnp.asarray(step_type))


def window(*step_type):
    return np.array(step_type, np.int8)


WITHIN = window(FIRST, MID, MID, MID, MID)
DISCOUNTS = np.full(4, GAMMA, np.float32)


def test_lambda_0_is_the_td_residual():
    expected = R + GAMMA * V[1:] - V[:-1]
    np.testing.assert_allclose(gae(WITHIN, DISCOUNTS, 0.0), expected, rtol=1e-6)


def test_lambda_1_is_monte_carlo_minus_value():
    returns = [sum(GAMMA**k * r for k, r in enumerate(R[t:])) + GAMMA ** (4 - t) * V[4] for t in range(4)]
    np.testing.assert_allclose(gae(WITHIN, DISCOUNTS, 1.0), np.array(returns) - V[:-1], rtol=1e-5)


@pytest.mark.parametrize("lambda_", [0.0, 0.8, 1.0])
def test_truncation_bootstraps_from_the_final_observation_and_termination_does_not(lambda_):
    step_type = window(FIRST, MID, LAST, FIRST, MID)
    truncated = gae(step_type, DISCOUNTS, lambda_)
    terminated = gae(step_type, DISCOUNTS * np.array([1, 0, 1, 1], np.float32), lambda_)
    assert truncated[1] == pytest.approx(R[1] + GAMMA * V[2] - V[1], rel=1e-6)
    assert terminated[1] == pytest.approx(R[1] - V[1], rel=1e-6)
    # The difference travels back discounted by γλ.
    assert truncated[0] - terminated[0] == pytest.approx(GAMMA * lambda_ * GAMMA * V[2], abs=1e-6)
    np.testing.assert_array_equal(truncated[2:], terminated[2:])


@pytest.mark.parametrize("how", ["last", "interrupted"])
def test_two_episodes_in_a_window_do_not_see_each_other(how):
    step_type = window(FIRST, MID, LAST if how == "last" else MID, FIRST, MID)
    both = gae(step_type, DISCOUNTS, 0.8)
    alone = losses.gae(*(jnp.asarray(x) for x in (R[:2], DISCOUNTS[:2])), 0.8, jnp.asarray(V[:3]), step_type[:3])
    np.testing.assert_allclose(both[:2], alone, rtol=1e-6)
    assert both[2] == 0  # joins the two episodes
    assert both[3] == pytest.approx(R[3] + GAMMA * V[4] - V[3], rel=1e-6)
    other = gae(step_type, DISCOUNTS, 0.8, v=np.array([*V[:3], 77.0, 99.0], np.float32), r=R + np.eye(4)[2] * 55)
    np.testing.assert_allclose(both[:2], other[:2], rtol=1e-6)


def test_a_window_that_ends_on_last_bootstraps_there_or_not_as_the_discount_says():
    step_type = window(FIRST, MID, MID, MID, LAST)
    np.testing.assert_array_equal(gae(step_type, DISCOUNTS, 0.8), gae(WITHIN, DISCOUNTS, 0.8))
    terminated = gae(step_type, DISCOUNTS * np.array([1, 1, 1, 0], np.float32), 0.8)
    assert terminated[3] == pytest.approx(R[3] - V[3], rel=1e-6)


def test_garbage_in_a_joining_transition_does_not_spread():
    step_type = window(FIRST, MID, LAST, FIRST, MID)
    advantages = gae(step_type, DISCOUNTS, 0.8, r=np.array([1.0, -2.0, np.nan, 3.0], np.float32))
    clean = gae(step_type, DISCOUNTS, 0.8)
    assert np.isfinite(advantages[2:]).all()
    np.testing.assert_array_equal(advantages[2:], clean[2:])


def test_gradients_are_stopped_unless_asked_for():
    def total(v, stop):
        step_type, r, discount = (jnp.asarray(x) for x in (WITHIN, R, DISCOUNTS))
        returns = losses.lambda_returns(r, discount, v[1:], step_type, 0.9, stop_target_gradients=stop)
        return jnp.sum(returns + losses.gae(r, discount, 0.9, v, step_type, stop_target_gradients=stop))

    assert not jax.grad(total)(jnp.asarray(V), True).any()
    assert jax.grad(total)(jnp.asarray(V), False).any()


def test_n_below_one_is_refused():
    with pytest.raises(ValueError, match="n: 0"):
        losses.n_step_returns(R, DISCOUNTS, V[1:], WITHIN, 0)


@jax.jit
def everything(r, discount, lam, v, step_type):
    targets = (r, discount, v[1:], step_type)
    n_step = losses.n_step_returns(*targets, 3)
    return losses.gae(r, discount, lam, v, step_type), losses.lambda_returns(*targets, lam), n_step


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from([FIRST, MID, LAST]), min_size=9, max_size=9), st.integers(0, 2**32 - 1))
def test_any_sequence_of_step_types_agrees_with_plain_loops(step_types, seed):
    rng = np.random.default_rng(seed)
    r, v, lam = rng.normal(size=8), rng.normal(size=9), rng.uniform(size=8)
    step_type = np.array(step_types, np.int8)
    discount = 0.9 * (rng.uniform(size=8) < 0.8)
    actual = everything(*golden.as_jax((r, discount, lam, v, step_type)))
    expected = (
        golden.reference_gae(r, discount, v, step_type, lam),
        golden.reference_lambda_returns(r, discount, v[1:], step_type, lam),
        golden.reference_n_step(3)(r, discount, v[1:], step_type),
    )
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(actual[0] + np.where(step_type[1:] == FIRST, 0, v[:-1]), actual[1], atol=1e-5)


def test_advantages_without_ends_flow_from_an_episode_s_last_state_into_the_next_one_s_first():
    """As where the environment's step at an end gives the next episode's first state at once."""
    rng = np.random.default_rng(0)
    kinds = np.array([FIRST, MID, LAST, FIRST, MID, MID, LAST, FIRST, LAST])
    v, bonus, gamma, lambda_ = rng.normal(size=9), rng.normal(size=8), 0.9, 0.7
    rows = [t for t in range(9) if t == 8 or kinds[t + 1] != FIRST]  # without those that episodes end in
    value, expected, after = v[rows], np.zeros(8), 0.0
    for i in reversed(range(len(rows) - 1)):
        after = bonus[rows[i]] + gamma * value[i + 1] - value[i] + gamma * lambda_ * after
        expected[rows[i]] = after
    found = losses.endless_gae(*(jnp.asarray(x, jnp.float32) for x in (bonus, gamma, lambda_, v)), jnp.asarray(kinds))
    np.testing.assert_allclose(found, expected, atol=1e-5)
