"""Losses of analogies, against float64 numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses


def test_values_are_those_of_numpy():
    rng = np.random.default_rng(0)
    a, b, c, d = rng.normal(size=(4, 6, 3)) * 0.4
    arrays = [jnp.asarray(x, jnp.float32) for x in (a, b, c, d)]
    apart = (a - b) - (c - d)
    distance = np.sqrt((apart**2).sum(-1))
    np.testing.assert_allclose(losses.similarity(*arrays), (apart**2).sum(-1), rtol=1e-5)
    np.testing.assert_allclose(losses.dissimilarity(*arrays, 0.9), np.maximum(0.9 - distance, 0) ** 2, atol=1e-6)
    two = np.maximum(0.8 - np.sqrt(((a - b) ** 2).sum(-1)), 0) ** 2
    np.testing.assert_allclose(losses.difference(*arrays[:2], 0.8), two, atol=1e-6)
    logit, done = rng.normal(size=8) * 3, rng.random(8) < 0.5
    p = 1 / (1 + np.exp(-logit))
    found = losses.ending(jnp.asarray(logit), jnp.asarray(done))
    np.testing.assert_allclose(found, -np.log(np.where(done, p, 1 - p)), rtol=1e-5)


def test_embeddings_that_are_sums_of_parts_are_analogous_and_others_are_told_apart():
    rng = np.random.default_rng(1)
    verbs, things = rng.normal(size=(3, 4)), rng.normal(size=(5, 4))
    phi = jnp.asarray(verbs[:, None] + things[None], jnp.float32)
    np.testing.assert_allclose(losses.similarity(phi[0, 1], phi[0, 2], phi[2, 1], phi[2, 2]), 0.0, atol=1e-10)
    assert losses.dissimilarity(phi[0, 1], phi[0, 2], phi[2, 1], phi[2, 2]) > 0.99, "the full margin where they agree"
    far = losses.dissimilarity(phi[0, 1], phi[0, 2], phi[2, 1], phi[2, 2] + 5.0)
    np.testing.assert_allclose(far, 0.0, atol=1e-10)


def test_gradients_are_finite_where_embeddings_coincide_and_flow_into_all_four():
    same = jnp.ones((4, 3))
    apart = jax.grad(lambda x: losses.difference(x[0], x[1]) + losses.dissimilarity(*x))(same)
    assert np.isfinite(apart).all()
    rng = np.random.default_rng(2)
    gradient = jax.grad(lambda x: losses.similarity(*x))(jnp.asarray(rng.normal(size=(4, 3))))
    np.testing.assert_allclose(gradient[0], -gradient[1], rtol=1e-6)
    np.testing.assert_allclose(gradient[0], gradient[3], rtol=1e-6)
    assert np.abs(gradient).min() > 0
