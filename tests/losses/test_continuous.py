"""Losses of off-policy actor-critics against float64 numpy written out plainly."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from agents import losses
from envs import keys

T, E, A = 7, 3, 4
DRAW = np.random.default_rng(0)
R, DISCOUNT, LOG_PROB = DRAW.normal(size=T), np.where(np.arange(T) == 2, 0.0, 0.9), DRAW.normal(size=T)
Q, QS, LOGITS = DRAW.normal(size=(E, T)), DRAW.normal(size=(E, T, A)), DRAW.normal(size=(T, A))
ACTION = np.tanh(DRAW.normal(size=(T, A)))
LOWER, MU = np.tril(DRAW.normal(size=(T, A, A))), DRAW.normal(size=(T, A))


def reference_target(r, discount, q):
    return np.array([min(max(r[t] + discount[t] * min(q[:, t]), -0.5), 0.7) for t in range(T)])


def reference_smoothed(action):
    noise = np.float64(jax.random.normal(keys.key(3), action.shape))
    return np.clip(action + np.clip(0.4 * noise, -0.3, 0.3), -1, 1)


def reference_soft(q, log_prob):
    return np.array([min(q[:, t]) - 0.3 * log_prob[t] for t in range(T)])


def reference_expected_soft(q, logits):
    out = np.zeros(T)
    for t in range(T):
        p = np.exp(logits[t]) / np.exp(logits[t]).sum()
        out[t] = sum(p[a] * (min(q[:, t, a]) - 0.3 * np.log(p[a])) for a in range(A))
    return out


def reference_quadratic(mu, lower, action):
    out = np.zeros(T)
    for t in range(T):
        u = action[t] - mu[t]
        out[t] = -0.5 * u @ (lower[t] @ lower[t].T) @ u
    return out


CASES = (
    (
        "pessimistic_target",
        lambda r, d, q: losses.pessimistic_target(r, d, q, -0.5, 0.7),
        reference_target,
        (R, DISCOUNT, Q),
    ),
    ("smoothed_action", lambda a: losses.smoothed_action(keys.key(3), a, 0.4, 0.3), reference_smoothed, (ACTION,)),
    ("soft_value", lambda q, p: losses.soft_value(q, p, 0.3), reference_soft, (Q, LOG_PROB)),
    ("expected_soft_value", lambda q, x: losses.expected_soft_value(q, x, 0.3), reference_expected_soft, (QS, LOGITS)),
    (
        "temperature_loss",
        lambda h: losses.temperature_loss(jnp.log(0.3), h, -2.0),
        lambda h: 0.3 * (h + 2.0),
        (LOG_PROB,),
    ),
    ("quadratic_advantage", losses.quadratic_advantage, reference_quadratic, (MU, LOWER, ACTION)),
)


class Golden(chex.TestCase):
    @chex.all_variants
    @parameterized.named_parameters(*CASES)
    def test_value(self, loss, reference, args):
        actual = self.variant(loss)(*(jnp.float32(x) for x in args))
        np.testing.assert_allclose(actual, reference(*args), rtol=1e-5, atol=1e-5)


def test_gradients_flow_where_they_should() -> None:
    r, d, q, p = (jnp.float32(x) for x in (R, DISCOUNT, Q, LOG_PROB))
    target = jax.grad(lambda q: jnp.sum(losses.pessimistic_target(r, d, q, -jnp.inf, jnp.inf)))(q)
    assert not np.any(target)
    by_q, by_p = jax.grad(lambda q, p: jnp.sum(losses.soft_value(q, p, 0.3)), (0, 1))(q, p)
    np.testing.assert_allclose(by_q, np.argmin(Q, 0)[None] == np.arange(E)[:, None])  # the least one alone
    np.testing.assert_allclose(by_p, -0.3, rtol=1e-6)


def test_temperature_rises_below_the_target_entropy_and_falls_above() -> None:
    gradient = jax.grad(lambda x, h: losses.temperature_loss(x, h, -1.0))
    assert gradient(jnp.float32(0), jnp.float32(-2)) < 0 < gradient(jnp.float32(0), jnp.float32(0.5))
    assert not jax.grad(lambda h: losses.temperature_loss(jnp.float32(0), h, -1.0))(jnp.float32(0.5))


def test_expected_soft_value_is_the_mean_of_samples() -> None:
    logits, q = jnp.float32(LOGITS), jnp.float32(QS)
    log_prob = jax.nn.log_softmax(logits)
    actions = jax.random.categorical(keys.key(0), logits, shape=(20_000, T))
    each = jnp.min(q, 0) - 0.3 * log_prob
    mean = jnp.mean(jnp.take_along_axis(each[None], actions[..., None], -1)[..., 0], 0)
    np.testing.assert_allclose(mean, losses.expected_soft_value(q, logits, 0.3), atol=0.03)


def test_limited_ascent_is_the_value_with_a_clipped_derivative():
    action, target = np.array([[0.5, -0.2], [0.1, 0.9], [-0.4, 0.3]]), np.array([[0.0, 3.0], [0.3, -4.0], [-0.4, 0.0]])

    def value(a):
        return -jnp.sum(jnp.square(a - target), axis=-1)

    def limited(a):
        return losses.limited_ascent(value(a), jax.grad(lambda a: value(a).sum())(a), a, 0.5)

    a = jnp.asarray(action, jnp.float32)
    np.testing.assert_allclose(limited(a), -np.square(action - target).sum(-1), rtol=1e-5)
    gradient = jax.grad(lambda a: (jnp.array([1.0, 2.0, 3.0]) * limited(a)).sum())(a)
    expected = np.array([[1.0], [2.0], [3.0]]) * np.clip(2 * (target - action), -0.5, 0.5)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)
