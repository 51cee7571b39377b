"""The mixture density of World Models against float64 numpy, and its draws."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from networks.world import Mixture

RNG = np.random.default_rng(0)
LOGITS, MEAN, LOG_STD = RNG.normal(size=(3, 4, 2, 3))
X = RNG.normal(size=(4, 2))


def reference(logits, mean, log_std, x):
    pi = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    density = np.exp(-0.5 * ((x[..., None] - mean) / np.exp(log_std)) ** 2) / np.exp(log_std) / np.sqrt(2 * np.pi)
    return -np.log((pi * density).sum(-1))


def test_value():
    given = [jnp.asarray(x, jnp.float32) for x in (LOGITS, MEAN, LOG_STD, X)]
    for loss in (losses.mixture_nll, jax.jit(losses.mixture_nll)):
        np.testing.assert_allclose(loss(*given), reference(LOGITS, MEAN, LOG_STD, X), rtol=2e-5)
    assert not jax.grad(lambda x: losses.mixture_nll(*given[:3], x).sum())(given[3]).any()


def test_draws_have_the_mixture_s_moments_and_temperature_spreads_them():
    logits, mean = jnp.log(jnp.array([0.8, 0.2])), jnp.array([-1.0, 3.0])
    shape = (40_000, 1, 2)
    mixture = Mixture(*(jnp.broadcast_to(x, shape) for x in (logits, mean, jnp.log(jnp.array([0.5, 0.5])))))
    z = mixture.sample(jax.random.key(0))
    np.testing.assert_allclose([z.mean(), z.var()], [-0.2, 0.25 + 0.8 * 0.64 + 0.2 * 10.24], rtol=0.05)
    cold, hot = (mixture.sample(jax.random.key(0), tau) for tau in (0.1, 2.0))
    assert (cold > 1).mean() < 0.001 and abs((cold < 1).astype(jnp.float32).mean() - 1) < 0.001
    np.testing.assert_allclose(jnp.std(cold), 0.5 * np.sqrt(0.1), rtol=0.05)
    np.testing.assert_allclose((hot > 1).mean(), 1 / 3, atol=0.03)
