"""Losses of offline learning, against float64 numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses


def single(*arrays):
    return [jnp.asarray(x, jnp.float32) for x in arrays]


def close(found, expected, rtol=2e-5):
    np.testing.assert_allclose(found, expected, rtol=rtol, atol=1e-6)


def test_expectiles_weigh_what_lies_above():
    u = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    close(losses.expectile(*single(u), 0.9), np.where(u < 0, 0.1, 0.9) * u**2)
    # The minimiser over constants is the expectile, here of nine zeros and a one.
    y, v = np.r_[np.zeros(9), 1.0], np.linspace(0, 1, 2001)
    total = losses.expectile(*single(y[None] - v[:, None]), 0.9).sum(-1)
    np.testing.assert_allclose(v[int(np.argmin(total))], 0.5, atol=2e-3)


def test_weights_are_exponential_clipped_and_constants():
    a = np.array([-1.0, 0.0, 0.5, 10.0])
    close(losses.advantage_weight(*single(a), 3.0, 50.0), np.minimum(np.exp(3 * a), 50.0))
    assert not np.any(jax.grad(lambda x: losses.advantage_weight(x, 3.0).sum())(jnp.asarray(a, jnp.float32)))


def test_the_discrete_gap_is_exact():
    rng = np.random.default_rng(0)
    q, a = rng.normal(size=(4, 5, 3)) * 3, rng.integers(3, size=(4, 5))
    expected = np.log(np.exp(q).sum(-1)) - np.take_along_axis(q, a[..., None], -1)[..., 0]
    close(losses.conservative_gap(jnp.asarray(q, jnp.float32), jnp.asarray(a)), expected)


def test_the_sampled_gap_is_corrected_for_what_actions_were_drawn_from():
    rng = np.random.default_rng(1)
    q, log_density, taken = rng.normal(size=(5, 7)), rng.normal(size=(5, 7)), rng.normal(size=5)
    expected = np.log(np.exp(q - log_density).sum(-1)) - taken
    close(losses.sampled_conservative_gap(*single(q, log_density, taken)), expected)
    # Of uniform draws it tends to the integral: q(a) = a over [-1, 1], whose ∫ exp q = e - 1/e.
    draws = rng.uniform(-1, 1, 200_000)
    found = losses.sampled_conservative_gap(*single(draws[None], np.full((1, draws.size), np.log(0.5)), np.zeros(1)))
    np.testing.assert_allclose(found - np.log(draws.size), np.log(np.e - 1 / np.e), atol=5e-3)
    gradients = jax.grad(lambda *x: losses.sampled_conservative_gap(*x).sum(), (0, 1, 2))(
        *single(q, log_density, taken)
    )
    close(gradients[0], np.exp(q - log_density) / np.exp(q - log_density).sum(-1, keepdims=True))
    assert not np.any(gradients[1]) and np.all(gradients[2] == -1)


def test_values_below_what_followed_count_for_that_and_are_not_lowered():
    rng = np.random.default_rng(2)
    q, log_density, taken = rng.normal(size=(5, 6)), rng.normal(size=(5, 6)), rng.normal(size=5)
    least = np.where(np.arange(6) < 2, -np.inf, rng.normal(size=(5, 1)))
    expected = np.log(np.exp(np.maximum(q, least) - log_density).sum(-1)) - taken
    arrays = single(q, log_density, taken, least)
    close(losses.sampled_conservative_gap(*arrays), expected)
    slope = jax.grad(lambda *x: losses.sampled_conservative_gap(*x).sum(), (0, 3))(*arrays)
    assert not np.any(slope[1]) and np.array_equal(np.asarray(slope[0]) == 0, q < least)
    close(losses.sampled_conservative_gap(*arrays[:3]), np.log(np.exp(q - log_density).sum(-1)) - taken)


def test_a_multiplier_rises_while_the_constraint_is_broken():
    slope = jax.grad(lambda x, gap: losses.multiplier_loss(x, gap - 2.0))
    assert slope(jnp.float32(0.3), jnp.float32(5.0)) < 0 < slope(jnp.float32(0.3), jnp.float32(1.0))
    close(losses.multiplier_loss(*single(0.3, 3.0)), -np.exp(0.3) * 3.0)


def test_values_are_scaled_by_their_size():
    q = np.array([-4.0, 2.0, 6.0])
    close(losses.value_scale(*single(q, np.abs(q).mean())), q / 4)
    gradient = jax.grad(lambda q: losses.value_scale(q, jnp.mean(jnp.abs(q))).sum())(jnp.asarray(q, jnp.float32))
    close(gradient, np.full(3, 0.25))


@pytest.mark.parametrize(("threshold", "expected"), [(0.3, [1, 1, 0, 0]), (0.0, [1, 1, 1, 1]), (1.0, [1, 0, 0, 0])])
def test_actions_are_likely_relative_to_the_favourite(threshold, expected):
    p = np.array([0.6, 0.2, 0.15, 0.05])  # shares of the favourite: 1, 1/3, 1/4, 1/12
    np.testing.assert_array_equal(losses.likely(*single(np.log(p)), threshold), np.array(expected, bool))


def test_softened_minimum():
    q = np.array([[1.0, 5.0], [3.0, 1.0], [2.0, 2.0]])
    close(losses.softened_minimum(*single(q), 0.75), [0.75 * 1 + 0.25 * 3, 0.75 * 1 + 0.25 * 5])


def test_diversity_is_the_mean_cosine_of_pairs():
    rng = np.random.default_rng(2)
    g = rng.normal(size=(4, 6, 3))
    unit = g / np.linalg.norm(g, axis=-1, keepdims=True)
    pairs = sum((unit[i] * unit[j]).sum(-1) for i in range(4) for j in range(4) if i != j)
    close(losses.gradient_diversity(*single(g)), pairs / 3)
    gradient = jax.grad(lambda g: losses.gradient_diversity(g).sum())(jnp.zeros((2, 1, 3)))
    assert np.isfinite(gradient).all()


@pytest.mark.parametrize("kernel", ["laplacian", "gaussian"])
def test_discrepancy_of_samples(kernel):
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(2, 4, 3)), rng.normal(size=(2, 5, 3))

    def mean(a, b):
        d = a[:, :, None] - b[:, None]
        d = np.abs(d).sum(-1) if kernel == "laplacian" else (d**2).sum(-1)
        return np.exp(-d / 20.0).mean((1, 2))

    expected = np.sqrt(mean(x, x) + mean(y, y) - 2 * mean(x, y) + 1e-6)
    close(losses.mean_discrepancy(*single(x, y), 10.0, kernel), expected, rtol=1e-4)
    close(losses.mean_discrepancy(*single(x, x), 10.0, kernel), np.full(2, 1e-3), rtol=0.5)


def test_uncertainty_is_the_largest_spread_of_a_member():
    std = np.array([[[3.0, 4.0], [0.1, 0.0]], [[1.0, 1.0], [0.0, 0.2]]])
    close(losses.uncertainty(*single(std)), [5.0, 0.2])


def test_evidence_lower_bound():
    rng = np.random.default_rng(4)
    x, made, mean, log_std = rng.normal(size=(4, 5, 3))
    kl = -0.5 * (1 + 2 * log_std - mean**2 - np.exp(2 * log_std))
    close(losses.evidence_lower_bound(*single(x, made, mean, log_std)), ((x - made) ** 2).mean(-1) + 0.5 * kl.mean(-1))
