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


def test_pseudo_counts_are_those_of_the_density_before_and_after_the_visit():
    rng = np.random.default_rng(2)
    known, rows, levels = rng.integers(0, 20, size=(6, 5)), 20, 4
    before = np.prod((known + 0.5) / (rows + levels / 2), -1)
    after = np.prod((known + 1.5) / (rows + 1 + levels / 2), -1)
    count = 1 / np.maximum(after / before - 1, np.expm1(1e-6))
    found = losses.pseudo_count_bonus(jnp.asarray(known), jnp.asarray(rows), levels)
    np.testing.assert_allclose(found, 1 / np.sqrt(count + 0.01), rtol=1e-4)


def test_the_autoencoder_s_bound_is_a_square_and_a_divergence():
    rng = np.random.default_rng(3)
    mean, spread, decoded, x = rng.normal(size=(4, 7, 5))
    divergence = 0.5 * (mean**2 + np.exp(spread) - 1 - spread).sum(-1)
    found = losses.autoencoder_loss(*(jnp.asarray(a, jnp.float32) for a in (mean, spread, decoded, x)))
    np.testing.assert_allclose(found, 0.5 * ((x - decoded) ** 2).sum(-1) + divergence, rtol=1e-5)


def test_disagreement_is_the_variance_over_members():
    guesses = np.random.default_rng(4).normal(size=(5, 3, 6))
    found = losses.disagreement(jnp.asarray(guesses, jnp.float32))
    np.testing.assert_allclose(found, guesses.var(0).mean(-1), rtol=1e-5)


def test_surprisal_is_minus_the_log_density():
    rng = np.random.default_rng(5)
    mean, spread, x = rng.normal(size=(3, 7, 5))
    density = np.exp(-0.5 * (x - mean) ** 2 / np.exp(spread)) / np.sqrt(2 * np.pi * np.exp(spread))
    found = losses.surprisal(*(jnp.asarray(a, jnp.float32) for a in (mean, spread, x)))
    np.testing.assert_allclose(found, -np.log(density).sum(-1), rtol=1e-4)


def test_the_episodic_bonus_by_hand():
    """With nothing near it is 1 / c; of a state that was there 100 times nothing is paid."""
    distance = np.array([[0.004, 2.0], [np.inf, np.inf], [1.0, np.inf]])
    near = np.array([1.0, 1.0, 4.0])
    scaled = np.maximum(distance / near[:, None] - 8e-3, 0)
    expected = 1 / (np.sqrt(np.where(np.isfinite(scaled), 1e-3 / (scaled + 1e-3), 0).sum(-1)) + 1e-3)
    found = losses.episodic_bonus(jnp.asarray(distance, jnp.float32), jnp.asarray(near, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert expected[1] == 1e3 and losses.episodic_bonus(jnp.zeros((1, 100)), jnp.ones(1)) == 0


def test_classes_of_loss_and_what_is_expected_of_them():
    edges = np.array([0.1, 0.3, 0.6])
    loss = np.array([0.05, 0.1, 0.5, 2.0])
    np.testing.assert_array_equal(losses.bins(jnp.asarray(loss), jnp.asarray(edges)), np.digitize(loss, edges))
    logits = np.random.default_rng(6).normal(size=(5, 3, 4))
    chance = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    found = losses.expected_class(jnp.asarray(logits, jnp.float32))
    np.testing.assert_allclose(found, (chance * np.arange(4)).sum((-2, -1)), rtol=1e-5)
