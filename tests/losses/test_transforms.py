"""Value rescaling and the errors taken under it, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from agents import losses
from agents.base import FIRST, LAST, MID

EPS = 1e-3
T, A = 12, 3
# Terminated, truncated, interrupted (MID before FIRST), cut by the end of the window.
STEP_TYPE = np.array([FIRST, MID, LAST, FIRST, MID, MID, LAST, FIRST, MID, FIRST, MID, MID, MID], np.int8)
DISCOUNT = np.where(np.arange(1, T + 1) == 2, 0.0, 0.9)
UNBROKEN = np.full(T + 1, MID, np.int8)
PAIRS = {"rescaled": losses.SIGNED_HYPERBOLIC_PAIR, "plain": losses.IDENTITY_PAIR}


def h(x):
    return np.sign(x) * (np.sqrt(np.abs(x) + 1) - 1) + EPS * x


def h_inverse(x):
    root = (np.sqrt(1 + 4 * EPS * (np.abs(x) + 1 + EPS)) - 1) / (2 * EPS)
    return np.sign(x) * (root**2 - 1)


def grid(bound):
    return np.linspace(-bound, bound, 20_001, dtype=np.float32)


def test_rescaling_equals_numpy():
    for bound in (0.1, 2.0, 1e3, 1e5):
        x = grid(bound)
        np.testing.assert_allclose(losses.signed_hyperbolic(x), h(np.float64(x)), rtol=1e-6, atol=1e-12)
        np.testing.assert_allclose(losses.signed_parabolic(x), h_inverse(np.float64(x)), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("bound", "error"), [(2.0, 1.1e-6), (1000.0, 4e-4)])
def test_the_inverse_inverts_and_rlaxs_form_of_it_does_so_far_less_well(bound, error):
    x = grid(bound)
    hidden = losses.signed_hyperbolic(x)
    assert np.abs(losses.signed_parabolic(hidden) - x).max() <= error
    assert np.abs(np.asarray(rlax.signed_parabolic(hidden)) - x).max() > 10 * error
    np.testing.assert_allclose(losses.signed_parabolic(hidden), x, rtol=6e-7, atol=1e-12)


def test_gradients_of_the_pair_are_inverse_and_finite_at_0():
    x = jnp.array([-1e4, -1.0, 0.0, 1e-6, 3.0, 1e5])
    by_x = jax.vmap(jax.grad(losses.signed_hyperbolic))(x)
    by_h = jax.vmap(jax.grad(losses.signed_parabolic))(losses.signed_hyperbolic(x))
    np.testing.assert_allclose(by_x[2], 0.5 + EPS, rtol=1e-6)
    np.testing.assert_allclose(np.delete(by_x * by_h, 2), 1.0, rtol=1e-5)


def reference(q_tm1, a_tm1, target_q_t, a_t, r, discount, step_type, n, pair):
    squash, unsquash = (h, h_inverse) if pair == "rescaled" else (lambda x: x, lambda x: x)
    errors = np.zeros(len(r))
    for t in range(len(r)):
        if step_type[t + 1] == FIRST:
            continue
        target, weight = 0.0, 1.0
        for k in range(t, len(r)):
            target += weight * r[k]
            weight *= discount[k]
            end = k + 1 == len(r) or step_type[k + 1] == LAST or step_type[k + 2] == FIRST
            if k == t + n - 1 or end:
                target += weight * unsquash(target_q_t[k, a_t[k]])
                break
        errors[t] = squash(target) - q_tm1[t, a_tm1[t]]
    return errors


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def integers(seed):
    return np.random.default_rng(seed).integers(0, A, T, np.int32)


Q, TARGET_Q, R = 3 * normal(0, T, A), 3 * normal(1, T, A), 5 * normal(2, T)
ARGUMENTS = (Q, integers(3), TARGET_Q, integers(4), R, DISCOUNT, STEP_TYPE)


def as_jax(arguments):
    return tuple(jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in arguments)


def errors(arguments, n, pair):
    return losses.transformed_n_step_q_learning(*as_jax(arguments), n, PAIRS[pair])


@pytest.mark.parametrize("pair", PAIRS)
@pytest.mark.parametrize("n", [1, 3, 20])
def test_errors_equal_numpy_over_episodes_that_end_in_every_way(n, pair):
    expected = reference(*ARGUMENTS, n, pair)
    np.testing.assert_allclose(errors(ARGUMENTS, n, pair), expected, rtol=1e-5, atol=1e-5)
    assert (expected == 0).tolist() == (STEP_TYPE[1:] == FIRST).tolist()
    flipped = tuple(-x if x is Q or x is TARGET_Q or x is R else x for x in ARGUMENTS)
    both = as_jax(np.stack(pair, 1) for pair in zip(ARGUMENTS, flipped, strict=True))
    batched = jax.jit(
        jax.vmap(lambda *a: losses.transformed_n_step_q_learning(*a, n, PAIRS[pair]), in_axes=1, out_axes=1)
    )(*both)
    np.testing.assert_allclose(batched[:, 1], reference(*flipped, n, pair), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("pair", PAIRS)
def test_errors_are_rlaxs_within_one_episode_and_not_over_several(pair):
    def rlaxs(arguments):
        return rlax.transformed_n_step_q_learning(*as_jax(arguments[:-1]), 3, tx_pair=PAIRS[pair])

    unbroken = (*ARGUMENTS[:-1], UNBROKEN)
    np.testing.assert_allclose(errors(unbroken, 3, pair), rlaxs(unbroken), rtol=1e-5, atol=1e-5)
    differ = ~np.isclose(errors(ARGUMENTS, 3, pair), rlaxs(ARGUMENTS), atol=1e-4)
    # Those that joined episodes, and those whose 3 steps reached over a truncation or an interruption.
    np.testing.assert_array_equal(np.flatnonzero(differ), [2, 4, 5, 6, 7, 8])


def test_the_gradient_goes_through_the_prediction_alone():
    def total(q_tm1, target_q_t, r):
        arguments = list(as_jax(ARGUMENTS))
        arguments[0], arguments[2], arguments[4] = q_tm1, target_q_t, r
        return jnp.sum(losses.transformed_n_step_q_learning(*arguments, 3))

    q, target_q, r = as_jax((Q, TARGET_Q, R))
    by_q, by_target, by_r = jax.grad(total, (0, 1, 2))(q, target_q, r)
    taken = np.eye(A)[ARGUMENTS[1]] * (STEP_TYPE[1:] != FIRST)[:, None]
    np.testing.assert_array_equal(by_q, -taken)
    assert not by_target.any() and not by_r.any()


def test_n_below_1_is_refused():
    with pytest.raises(ValueError, match="n: 0"):
        errors(ARGUMENTS, 0, "plain")
