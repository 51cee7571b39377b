"""Losses of successor features, against float64 numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses


def test_the_error_is_that_of_numpy_and_its_gradient_passes_through_the_prediction_alone():
    rng = np.random.default_rng(0)
    psi_tm1, phi_t, psi_t = rng.normal(size=(3, 5, 4))
    discount_t = rng.random(5)
    expected = phi_t + discount_t[:, None] * psi_t - psi_tm1
    arrays = [jnp.asarray(x, jnp.float32) for x in (psi_tm1, phi_t, discount_t, psi_t)]
    np.testing.assert_allclose(losses.successor_error(*arrays), expected, rtol=1e-5, atol=1e-6)
    gradients = jax.grad(lambda *x: jnp.sum(losses.successor_error(*x)), argnums=(0, 1, 2, 3))(*arrays)
    np.testing.assert_allclose(gradients[0], -np.ones((5, 4)))
    assert all(not np.any(g) for g in gradients[1:])


def test_improvement_takes_the_best_policy_at_each_action():
    psi = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[0.0, 3.0], [0.0, 0.5]]])  # two policies, two actions, two features
    np.testing.assert_allclose(losses.improved_values(psi, jnp.array([1.0, 0.5])), [1.5, 0.5])
    np.testing.assert_allclose(losses.improved_values(psi[None], jnp.array([1.0, -1.0])), [[1.0, -0.5]])


def test_the_bonus_falls_with_the_norm_and_is_bounded():
    np.testing.assert_allclose(losses.successor_bonus(jnp.array([[0.5, -0.5], [2.0, 2.0]])), [1.0, 0.25])
    np.testing.assert_allclose(losses.successor_bonus(jnp.zeros(3)), 1e3, rtol=1e-5)
