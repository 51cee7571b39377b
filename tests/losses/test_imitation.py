"""Losses of learning from demonstrations, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents import losses


def test_cloning_is_the_cross_entropy_of_the_demonstrated_action():
    rng = np.random.default_rng(0)
    logits, action = rng.normal(size=(3, 5, 4)), rng.integers(4, size=(3, 5))
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)

    def loss(logits: jax.Array) -> jax.Array:
        return losses.cloning(networks.Categorical(logits).log_prob(jnp.asarray(action)))

    expected = -np.log(np.take_along_axis(chance, action[..., None], -1)[..., 0])
    np.testing.assert_allclose(loss(jnp.asarray(logits, jnp.float32)), expected, rtol=1e-5)
    gradient = jax.grad(lambda x: jnp.sum(loss(x)))(jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(gradient, chance - np.eye(4)[action], atol=1e-6)


def test_cloning_is_the_negative_log_density_of_a_gaussian():
    rng = np.random.default_rng(1)
    mean, log_std, action = rng.normal(size=(3, 6, 2))
    found = losses.cloning(networks.Gaussian(*jnp.float32([mean, log_std])).log_prob(jnp.float32(action)))
    each = 0.5 * ((action - mean) / np.exp(log_std)) ** 2 + log_std + 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(found, each.sum(-1), rtol=1e-5)


def test_squared_cloning_is_the_mean_over_dimensions():
    rng = np.random.default_rng(2)
    named, action = rng.normal(size=(2, 4, 6, 3))
    found = losses.squared_cloning(jnp.float32(named), jnp.float32(action))
    np.testing.assert_allclose(found, ((named - action) ** 2).mean(-1), rtol=1e-5)
