"""Losses and bonuses of intrinsic motivation, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses


def test_the_prediction_error_is_the_mean_square():
    rng = np.random.default_rng(0)
    guess, target = rng.normal(size=(2, 3, 5, 7))
    found = losses.prediction_error(jnp.asarray(guess, jnp.float32), jnp.asarray(target, jnp.float32))
    np.testing.assert_allclose(found, ((guess - target) ** 2).mean(-1), rtol=1e-5)


def test_the_inverse_loss_is_the_cross_entropy_of_the_action():
    rng = np.random.default_rng(1)
    logits, action = rng.normal(size=(3, 5, 4)), rng.integers(4, size=(3, 5))
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(np.take_along_axis(chance, action[..., None], -1)[..., 0])
    found = losses.inverse_loss(jnp.asarray(logits, jnp.float32), jnp.asarray(action))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(losses.inverse_loss(x, jnp.asarray(action))))(jnp.asarray(logits))
    np.testing.assert_allclose(gradient, chance - np.eye(4)[action], atol=1e-6)


def test_the_count_bonus_is_one_over_the_root():
    np.testing.assert_allclose(losses.count_bonus(jnp.array([1, 4, 100])), [1.0, 0.5, 0.1], rtol=1e-6)
