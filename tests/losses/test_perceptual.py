"""Losses of two towers, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses


def test_the_distance_of_towers_is_euclidean_and_has_a_gradient_everywhere():
    rng = np.random.default_rng(0)
    state, goal = rng.normal(size=(2, 5, 4, 3))
    found = losses.tower_distance(jnp.float32(state), jnp.float32(goal))
    np.testing.assert_allclose(found, np.sqrt(((state - goal) ** 2).sum(-1)), rtol=1e-5)
    same = jax.grad(lambda x: losses.tower_distance(x, jnp.ones(3)))(jnp.ones(3))
    np.testing.assert_array_equal(same, 0.0)


def test_graded_likeness_is_half_the_squared_error_of_the_distance():
    rng = np.random.default_rng(1)
    distance, target = rng.uniform(size=(2, 6))
    found = losses.graded_likeness(jnp.float32(distance), jnp.float32(target))
    np.testing.assert_allclose(found, 0.5 * (distance - target) ** 2, rtol=1e-4, atol=1e-7)


def test_the_contrastive_loss_pulls_what_is_the_same_and_pushes_others_to_the_margin():
    distance, same = np.array([0.3, 2.0, 0.3, 1.4, 2.0]), np.array([True, True, False, False, False])
    found = losses.margin_contrast(jnp.float32(distance), jnp.asarray(same), 1.5)
    expected = 0.5 * np.where(same, distance, np.maximum(1.5 - distance, 0)) ** 2
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    slope = jax.vmap(jax.grad(lambda d, s: losses.margin_contrast(d, s, 1.5)))(jnp.float32(distance), jnp.asarray(same))
    np.testing.assert_allclose(slope, [0.3, 2.0, -1.2, -0.1, 0.0], rtol=1e-4, atol=1e-6)


def test_perceptual_rewards_fall_with_the_distance():
    distance = np.array([0.0, 0.5, 3.0])
    np.testing.assert_allclose(losses.perceptual_reward(jnp.float32(distance)), -distance)
    np.testing.assert_allclose(
        losses.perceptual_reward(jnp.float32(distance), "likeness"), np.exp(-distance), rtol=1e-5
    )
