"""The terms of the variational bound against float64 numpy, where they are 0, and where gradients must not flow."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from absl.testing import parameterized

from agents import losses

T, D, G, K = 7, 4, 3, 5


def normal(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def reference_gaussian_kl(q_mean, q_log_var, p_mean, p_log_var):
    """The closed form, written out with standard deviations."""
    out = np.zeros(len(q_mean))
    for t in range(len(out)):
        for m, s, n, r in zip(q_mean[t], np.exp(q_log_var[t] / 2), p_mean[t], np.exp(p_log_var[t] / 2), strict=True):
            out[t] += np.log(r / s) + (s**2 + (m - n) ** 2) / (2 * r**2) - 0.5
    return out


def reference_categorical_kl(q, p):
    q, p = softmax(q), softmax(p)
    return (q * (np.log(q) - np.log(p))).sum((-1, -2))


def reference_balanced(q, p):
    each = np.maximum(reference_categorical_kl(q, p), 0.7)
    return 0.8 * each + 0.2 * each


def reference_bernoulli(logits, x):
    p = 1 / (1 + np.exp(-logits))
    return -(x * np.log(p) + (1 - x) * np.log(1 - p)).reshape(len(x), -1).sum(-1)


def reference_text(logits, tokens):
    return np.array(
        [
            -sum(np.log(softmax(row)[token]) for row, token in zip(rows, words, strict=True) if token)
            for rows, words in zip(logits, tokens, strict=True)
        ]
    )


IMAGE = np.random.default_rng(3).uniform(size=(T, 2, 3, 2))
ONE_HOT = np.eye(D)[np.random.default_rng(4).integers(0, D, T)] * (np.arange(T) > 0)[:, None]
TOKENS = np.random.default_rng(5).integers(0, K, (T, G)).astype(np.int32)
MEANS, LOG_VARS = (normal(0, T, D), normal(1, T, D)), (normal(2, T, D), normal(6, T, D))
Q, P = normal(7, T, G, K), normal(8, T, G, K)
V, A, R = normal(9, T), normal(10, T), normal(11, T)

CASES = (
    ("gaussian_kl", losses.gaussian_kl, reference_gaussian_kl, (MEANS[0], LOG_VARS[0], MEANS[1], LOG_VARS[1])),
    (
        "residual_gaussian_kl",
        losses.residual_gaussian_kl,
        lambda f, g, v: reference_gaussian_kl(f, g + v, 0 * f, v),
        (MEANS[0], LOG_VARS[0], LOG_VARS[1]),
    ),
    ("categorical_kl", losses.categorical_kl, reference_categorical_kl, (Q, P)),
    (
        "balanced_kl",
        lambda q, p: losses.balanced_kl(losses.categorical_kl, (q,), (p,), dynamics=0.8, representation=0.2, free=0.7),
        reference_balanced,
        (Q, P),
    ),
    (
        "bernoulli_nll",
        lambda logits, x: losses.bernoulli_nll(logits, x, 3),
        reference_bernoulli,
        (normal(12, T, 2, 3, 2), IMAGE),
    ),
    ("unit_gaussian_nll", losses.unit_gaussian_nll, lambda m, x: 0.5 * ((m - x) ** 2).sum(-1), MEANS),
    (
        "categorical_nll",
        losses.categorical_nll,
        lambda logits, x: -(x * np.log(softmax(logits))).sum(-1),
        (normal(13, T, D), ONE_HOT),
    ),
    ("text_nll", losses.text_nll, reference_text, (Q, TOKENS)),
    ("return_nll", losses.return_nll, lambda v, a, g: 0.5 * ((g - v) ** 2 + (g - v - a) ** 2), (V, A, R)),
    (
        "weighted",
        lambda x, y: losses.weighted({"x": x, "y": y}, {"y": 3.0, "x": 0.5}),
        lambda x, y: 0.5 * x + 3 * y,
        (V, A),
    ),
)


def as_jax(args):
    return tuple(jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in args)


class Golden(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters(*CASES)
    def test_value(self, loss, reference, args):
        np.testing.assert_allclose(self.variant(loss)(*as_jax(args)), reference(*args), rtol=2e-5, atol=2e-5)

    @parameterized.named_parameters(*CASES)
    def test_per_step_with_any_leading_axes(self, loss, reference, args):
        lanes = jax.jit(loss)(*(jnp.stack([x, x[::-1]], 1) for x in as_jax(args)))
        np.testing.assert_allclose(lanes[:, 0], reference(*args), rtol=2e-5, atol=2e-5)
        np.testing.assert_allclose(lanes[::-1, 1], reference(*args), rtol=2e-5, atol=2e-5)


def test_the_divergence_is_exactly_zero_where_the_posterior_adds_nothing():
    zero, log_var = jnp.zeros((T, D)), jnp.float32(LOG_VARS[0])
    assert (losses.residual_gaussian_kl(zero, zero, log_var) == 0).all()
    assert (losses.gaussian_kl(zero + 3, log_var, zero + 3, log_var) == 0).all()
    np.testing.assert_allclose(losses.categorical_kl(jnp.float32(Q), jnp.float32(Q)), 0, atol=1e-6)


def test_both_posterior_and_prior_learn_from_the_plain_divergence():
    args = as_jax((MEANS[0], LOG_VARS[0], MEANS[1], LOG_VARS[1]))
    gradients = jax.grad(lambda *a: losses.gaussian_kl(*a).sum(), range(4))(*args)
    assert all((abs(g) > 0).all() for g in gradients)


def test_balance_and_free_nats_scale_and_stop_the_gradients():
    q, p = as_jax((Q, P))

    def gradients(**kwargs):
        return jax.grad(lambda q, p: losses.balanced_kl(losses.categorical_kl, (q,), (p,), **kwargs).sum(), (0, 1))(
            q, p
        )

    plain_q, plain_p = jax.grad(lambda q, p: losses.categorical_kl(q, p).sum(), (0, 1))(q, p)
    for_q, for_p = gradients(dynamics=0.8, representation=0.2, free=0.0)
    np.testing.assert_allclose(for_q, 0.2 * plain_q, atol=1e-6)
    np.testing.assert_allclose(for_p, 0.8 * plain_p, atol=1e-6)
    assert not any(g.any() for g in gradients(free=100.0))


def test_the_return_decoder_learns_its_parts_apart():
    value, advantage = jax.grad(lambda *a: losses.return_nll(*a).sum(), (0, 1))(*as_jax((V, A, R)))
    np.testing.assert_allclose(value, V - R, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(advantage, V + A - R, rtol=1e-5, atol=1e-6)


def test_a_term_without_a_scale_is_refused():
    with pytest.raises(ValueError, match="image"):
        losses.weighted({"image": jnp.zeros(T)}, {})
    with pytest.raises(ValueError, match="text"):
        losses.weighted({"image": jnp.zeros(T)}, {"image": 1.0, "text": 1.0})
