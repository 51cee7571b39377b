"""Losses of latent world models and of what is imagined in them, against float64 numpy written out plainly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses
from agents.world import scalars

RNG = np.random.default_rng(0)
OPENING, DISCOUNT = np.array([1.0, 0.0, 1.0]), RNG.uniform(size=(5, 3))
ATOMS = np.array([-9.0, -2.0, 0.0, 2.0, 9.0])
LOGITS = RNG.normal(size=(4, 5))


def reference_weights(opening, discount):
    out = np.zeros_like(discount)
    for t, n in np.ndindex(discount.shape):
        out[t, n] = opening[n] * np.prod(discount[:t, n])
    return out


def reference_mean(logits, atoms):
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    return (p * atoms).sum(-1)


@pytest.mark.parametrize(
    ("loss", "reference", "args"),
    [
        (losses.dream_weights, reference_weights, (OPENING, DISCOUNT)),
        (losses.percentile_range, lambda x: np.percentile(x, [5, 95]), (RNG.normal(size=(7, 11)),)),
        (losses.symmetric_mean, reference_mean, (LOGITS, ATOMS)),
    ],
)
def test_value(loss, reference, args):
    given = [jnp.asarray(x, jnp.float32) for x in args]
    for made in (loss, jax.jit(loss)):
        np.testing.assert_allclose(made(*given), reference(*args), rtol=2e-5, atol=2e-5)


def test_weights_and_ranges_have_no_gradient():
    assert not jax.grad(lambda d: losses.dream_weights(jnp.float32(OPENING), d).sum())(jnp.float32(DISCOUNT)).any()
    assert not jax.grad(lambda x: losses.percentile_range(x).sum())(jnp.float32(DISCOUNT)).any()


def test_a_distribution_over_far_bins_says_exactly_zero_at_first_and_learns_a_large_number():
    told = scalars.two_hot()
    assert (told.mean(jnp.zeros((3, told.outputs))) == 0.0).all()
    for x in (0.0, -1.0, 0.37, 1234.5, -1e6):
        wished = jnp.array([x])
        best = losses.two_hot(wished, losses.symexp(jnp.linspace(-20.0, 20.0, 255)))
        np.testing.assert_allclose(told.mean(jnp.log(best + 1e-30)), wished, rtol=1e-3, atol=1e-5)
        descent = jax.grad(lambda output, wished=wished: told.nll(output, wished).sum())(jnp.zeros((1, 255)))
        assert np.abs(descent).max() <= 1.0  # whatever the size of the number


def test_a_normal_number_is_its_mean():
    told = scalars.normal()
    np.testing.assert_allclose(told.nll(jnp.array([[2.0]]), jnp.array([5.0])), [4.5])
    np.testing.assert_array_equal(told.mean(jnp.array([[2.0]])), [2.0])


@pytest.mark.parametrize("free", [0.5, 50.0])
def test_free_nats_of_the_mean_hold_for_all_steps_or_for_none(free):
    q, p = (jnp.float32(RNG.normal(size=(6, 2, 4))) for _ in range(2))
    each = losses.categorical_kl(q, p)

    def total(q, p, **kwargs):
        weights = {"dynamics": 0.8, "representation": 0.2, "free": free}
        return losses.balanced_kl(losses.categorical_kl, (q,), (p,), **weights, **kwargs)

    below = float(each.mean()) < free
    expected = np.full(6, free) if below else np.asarray(each)
    np.testing.assert_allclose(total(q, p, mean=jnp.mean), expected, rtol=1e-5)
    slopes = jax.grad(lambda q, p: total(q, p, mean=jnp.mean).sum(), (0, 1))(q, p)
    plain = jax.grad(lambda q, p: losses.categorical_kl(q, p).sum(), (0, 1))(q, p)
    for slope, whole, share in zip(slopes, plain, (0.2, 0.8), strict=True):
        np.testing.assert_allclose(slope, 0.0 if below else share * whole, atol=1e-6)
