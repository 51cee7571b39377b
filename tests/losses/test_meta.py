"""Losses that are differentiated twice: against the closed form of one Bernoulli action, and against plain sums."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses

LOGIT, PAID = 0.7, (-0.5, 2.0)
"""The logit of action 1, and what actions 0 and 1 pay."""
EXACT, BIASED = -0.18645, -0.25951
ENDS = jnp.array([0, 2], jnp.int8)


def log_prob(logit, action):
    return jax.nn.log_sigmoid(logit if action else -logit)


def hessian(loss):
    """Of minus the expected loss of one action; the probabilities of what was sampled are constants."""
    of = [jax.grad(jax.grad(lambda logit, a=a: loss(log_prob(logit, a), PAID[a])))(LOGIT) for a in (0, 1)]
    p = 1 / (1 + np.exp(-LOGIT))
    return -float((1 - p) * of[0] + p * of[1])


def box(log_prob, paid):
    return losses.dice(log_prob[None], jnp.array([paid]), jnp.zeros(1), 0.9, ENDS)[0]


def ratio(log_prob, paid):
    return losses.surrogate(log_prob, log_prob, jnp.float32(paid))


def test_the_hessian_of_one_action():
    p = 1 / (1 + np.exp(-LOGIT))
    assert abs(2.5 * p * (1 - p) * (1 - 2 * p) - EXACT) < 1e-5
    assert abs(hessian(box) - EXACT) < 1e-5
    assert abs(hessian(ratio) - EXACT) < 1e-5
    plain = hessian(lambda log_prob, paid: losses.policy_gradient(log_prob, jnp.float32(paid)))
    assert abs(plain - BIASED) < 1e-5
    value = p * PAID[1] + (1 - p) * PAID[0]
    baselined = hessian(lambda log_prob, paid: losses.policy_gradient(log_prob, jnp.float32(paid - value)))
    assert abs(baselined) < 1e-6


def test_dice_against_plain_sums():
    rng = np.random.default_rng(0)
    kinds = np.array([0, 1, 1, 2, 0, 1, 1, 2, 0], np.int8)
    reward, baseline, at = rng.normal(size=(3, 8)).astype(np.float32)
    discount = 0.8

    def total(at):
        return jnp.sum(losses.dice(at, reward, baseline, discount, kinds))

    value, slope = jax.jit(jax.value_and_grad(total))(at)
    expected, gradient = 0.0, np.zeros(8)
    for start in (0, 4):
        weights = discount ** np.arange(3.0)
        paid = weights * reward[start : start + 3]
        expected -= paid.sum()
        for k in range(3):
            gradient[start + k] = -(paid[k:].sum() - weights[k] * baseline[start + k])
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(slope, gradient, rtol=1e-4, atol=1e-6)
    second = jax.jit(jax.hessian(total))(at)
    # d²/d(ln π_i)d(ln π_j) of an episode is minus what was paid after both, and of □(aₜ) bₜ alone on the diagonal.
    for start in (0, 4):
        paid = discount ** np.arange(3.0) * reward[start : start + 3]
        for i in range(3):
            for j in range(3):
                own = discount**i * baseline[start + i] if i == j else 0.0
                np.testing.assert_allclose(
                    second[start + i, start + j], -(paid[max(i, j) :].sum() - own), rtol=1e-4, atol=1e-6
                )
    np.testing.assert_allclose(second[:4, 4:], 0, atol=1e-6)
