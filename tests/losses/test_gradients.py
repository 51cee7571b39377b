import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses


def test_q_errors_pull_on_the_prediction_alone():
    q = jnp.array([[0.1, 0.4], [1.0, -1.0]])
    a, r, discount = jnp.array([1, 0]), jnp.array([1.0, 2.0]), jnp.array([0.9, 0.9])
    for error in (
        lambda q1, q2: losses.q_learning(q1, a, r, discount, q2),
        lambda q1, q2: losses.double_q_learning(q1, a, r, discount, q2, q2),
    ):
        by_prediction, by_target = jax.grad(lambda *qs, e=error: jnp.sum(e(*qs)), (0, 1))(q, q)
        np.testing.assert_array_equal(by_prediction, [[0, -1], [-1, 0]])
        assert not by_target.any()


def test_double_q_selects_with_the_selector_and_reads_the_value():
    value, selector = jnp.array([1.0, 10.0]), jnp.array([5.0, 0.0])
    error = losses.double_q_learning(jnp.zeros(2), jnp.int32(0), jnp.float32(0), jnp.float32(1), value, selector)
    assert error == 1.0  # not 10, the maximum of value, nor 5


def test_errors_take_any_leading_axes():
    q = jnp.arange(24.0).reshape((2, 3, 4))
    a, r = jnp.ones((2, 3), jnp.int32), jnp.ones((2, 3))
    errors = losses.q_learning(q, a, r, r, q)
    np.testing.assert_array_equal(errors, np.asarray(r) + np.asarray(q).max(-1) - np.asarray(q)[..., 1])
    np.testing.assert_array_equal(errors[1, 2], losses.q_learning(q[1, 2], a[1, 2], r[1, 2], r[1, 2], q[1, 2]))


def test_clipped_gradient_of_a_square_is_that_of_huber():
    x = jnp.array([-3.0, -0.5, 0.0, 0.2, 7.0])
    clipped = jax.grad(lambda x: jnp.sum(losses.squared(losses.clip_gradient(x, -1.0, 1.0))))(x)
    np.testing.assert_allclose(clipped, [-1.0, -0.5, 0.0, 0.2, 1.0], rtol=1e-6)
    np.testing.assert_allclose(jax.grad(lambda x: jnp.sum(losses.huber(x)))(x), clipped, rtol=1e-6)


def test_surrogate_stops_pushing_outside_the_clip_and_only_there():
    log_ratio = jnp.log(jnp.array([1.5, 1.5, 0.5, 0.5, 1.1]))
    adv = jnp.array([1.0, -1.0, 1.0, -1.0, 1.0])
    grads = jax.grad(lambda x: jnp.sum(losses.clipped_surrogate(x, jnp.zeros(5), adv, 0.2)))(log_ratio)
    np.testing.assert_allclose(grads, [0.0, 1.5, -0.5, 0.0, -1.1], rtol=1e-5)


def test_surrogate_on_fresh_data_is_the_policy_gradient():
    log_prob, adv = jnp.array([-1.0, -0.3]), jnp.array([2.0, -1.0])
    surrogate = jax.grad(lambda x: jnp.sum(losses.clipped_surrogate(x, log_prob, adv, 0.2)))(log_prob)
    plain = jax.grad(lambda x: jnp.sum(losses.policy_gradient(x, adv)))(log_prob)
    np.testing.assert_allclose(surrogate, plain, rtol=1e-6)


@pytest.mark.parametrize("argument", [1, 2])
def test_no_gradient_flows_into_advantages_or_behaviour(argument):
    args = (jnp.array([-1.0]), jnp.array([-1.1]), jnp.array([0.7]))
    assert not jax.grad(lambda *a: jnp.sum(losses.clipped_surrogate(*a, 0.2)), argument)(*args).any()
    if argument == 2:
        assert not jax.grad(lambda a: jnp.sum(losses.policy_gradient(args[0], a)))(args[2]).any()


def test_clipped_value_loss_stops_pulling_once_moved_far_enough():
    v, target, old = jnp.array([1.0, 1.0, 0.1]), jnp.array([0.5, 2.0, 1.0]), jnp.array([0.0, 0.0, 0.0])
    grads = jax.grad(lambda v: jnp.sum(losses.value_loss(v, target, old, 0.2)))(v)
    # Moved past the target: pulls back. Moved towards it by more than ε: none. Within ε: pulls.
    np.testing.assert_allclose(grads, [0.5, 0.0, -0.9], rtol=1e-6)
    assert not jax.grad(lambda g: jnp.sum(losses.value_loss(v, g)))(target).any()


def test_value_clipping_needs_both_arguments():
    with pytest.raises(ValueError, match=r"epsilon: 0\.2"):
        losses.value_loss(jnp.zeros(1), jnp.zeros(1), epsilon=0.2)


def test_entropy_of_forbidden_actions_is_finite_with_its_gradient():
    logits = jnp.array([0.0, -jnp.inf, 0.0])
    assert losses.entropy(logits) == pytest.approx(np.log(2), rel=1e-6)
    assert np.isfinite(jax.grad(losses.entropy)(logits)).all()
