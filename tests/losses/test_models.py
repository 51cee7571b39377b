"""Losses of models against float64 numpy written out plainly, in all variants."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from agents import losses
from agents.losses import models

RNG = np.random.default_rng(0)
LOGITS, TEACHER = RNG.normal(size=(2, 5, 4))
FRAME, KIND = RNG.normal(size=(3, 2, 4, 5)), RNG.integers(5, size=(3, 2, 4))
MEAN, SPREAD, X = RNG.normal(size=(3, 6, 2))
ATOMS = np.array([-4.0, -1.0, 0.0, 0.5, 3.0])
VALUES = np.array([-9.0, -2.5, 0.0, 0.1, 3.0])


def log_softmax(x):
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def reference_two_hot(x, atoms):
    out = np.zeros((len(x), len(atoms)))
    for i, value in enumerate(np.clip(x, atoms[0], atoms[-1])):
        k = max(j for j in range(len(atoms) - 1) if atoms[j] <= value)
        out[i, k + 1] = (value - atoms[k]) / (atoms[k + 1] - atoms[k])
        out[i, k] = 1 - out[i, k + 1]
    return out


def reference_pixels(logits, kind):
    out = np.zeros(len(logits))
    for i, h, w in np.ndindex(kind.shape):
        out[i] -= log_softmax(logits[i, h, w])[kind[i, h, w]]
    return out


def reference_nll(mean, spread, x):
    each = [(x[:, d] - mean[:, d]) ** 2 / np.exp(spread[:, d]) + spread[:, d] for d in range(2)]
    return sum(each) / 2


CASES = {
    "symlog": (losses.symlog, lambda x: np.sign(x) * np.log(1 + abs(x)), (VALUES,)),
    "symexp": (losses.symexp, lambda x: np.sign(x) * (np.exp(abs(x)) - 1), (VALUES / 3,)),
    "two_hot": (losses.two_hot, reference_two_hot, (VALUES, ATOMS)),
    "two_hot_cross_entropy": (
        losses.two_hot_cross_entropy,
        lambda logits, x, atoms: -(reference_two_hot(x, atoms) * log_softmax(logits)).sum(-1),
        (RNG.normal(size=(5, 5)), VALUES, ATOMS),
    ),
    "pixel_cross_entropy": (losses.pixel_cross_entropy, reference_pixels, (FRAME, KIND)),
    "gaussian_nll": (losses.gaussian_nll, reference_nll, (MEAN, SPREAD, X)),
    "code_loss": (
        lambda z, e: losses.code_loss(z, e, 0.25),
        lambda z, e: 1.25 * ((z - e) ** 2).mean((-2, -1)),
        (RNG.normal(size=(3, 4, 2)), RNG.normal(size=(3, 4, 2))),
    ),
    "distillation": (
        losses.distillation,
        lambda teacher, logits: -(np.exp(log_softmax(teacher)) * log_softmax(logits)).sum(-1),
        (TEACHER, LOGITS),
    ),
}


class Golden(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True)
    @parameterized.named_parameters(*((name, name) for name in CASES))
    def test_golden(self, name):
        loss, reference, arrays = CASES[name]
        given = [jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else jnp.int32) for x in arrays]
        np.testing.assert_allclose(self.variant(loss)(*given), reference(*arrays), rtol=2e-5, atol=2e-6)


def test_two_hot_keeps_the_mean_of_any_sum_of_rewards():
    """Rewards of a step may add up to values that no list of classes holds."""
    atoms = losses.symexp(jnp.linspace(-3.5, 3.5, 71))
    rewards = jnp.array([0.0, -0.1, 0.9, 10.9, -20.0, 13.7, 21.0])
    np.testing.assert_allclose(losses.two_hot(rewards, atoms) @ atoms, rewards, rtol=1e-5, atol=1e-5)


def test_distillation_pulls_towards_the_teacher_and_leaves_it():
    """The sign of the loss: following its gradient downwards lowers the divergence."""
    teacher, student = jnp.asarray(TEACHER), jnp.asarray(LOGITS)
    to_teacher, gradient = jax.grad(lambda t, s: models.distillation(t, s).sum(), (0, 1))(teacher, student)
    assert (to_teacher == 0).all()

    def divergence(student):
        return jnp.sum(jax.nn.softmax(teacher) * (jax.nn.log_softmax(teacher) - jax.nn.log_softmax(student)), -1)

    assert (divergence(student - 0.1 * gradient) < divergence(student)).all()


def test_codes_follow_latents_and_latents_keep_to_their_codes():
    z, e = jnp.ones((1, 2, 2)), jnp.zeros((1, 2, 2))
    by_latent, by_code = jax.grad(lambda z, e: jnp.sum(losses.code_loss(z, e, 0.25)), (0, 1))(z, e)
    np.testing.assert_allclose(by_code, np.full((1, 2, 2), -0.5))
    np.testing.assert_allclose(by_latent, np.full((1, 2, 2), 0.125))
