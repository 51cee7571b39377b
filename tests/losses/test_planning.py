"""Losses of agents that plan in a learned model, against float64 numpy written out plainly, in all variants."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from absl.testing import parameterized

from agents import losses
from agents.base import FIRST, LAST, MID
from tests.losses.test_models import log_softmax, reference_two_hot

RNG = np.random.default_rng(0)
ATOMS = np.arange(-3.0, 4.0)
SUPPORT = jnp.asarray(ATOMS, jnp.float32)
LOGITS = RNG.normal(size=(6, 7))
VALUES = np.array([-40.0, -1.0, 0.0, 0.3, 2.0, 7.5])
PAIR = losses.SIGNED_HYPERBOLIC_PAIR
WEIGHTS = RNG.dirichlet(np.ones(4), size=6)
PRIOR, Q, RAW = RNG.normal(size=(6, 4)), RNG.normal(size=(6, 4)), RNG.normal(size=6)
VISITS = np.array([[3, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 5], [2, 0, 2, 0], [1, 0, 0, 0]], float)


def h(x):
    return np.sign(x) * (np.sqrt(abs(x) + 1) - 1) + 1e-3 * x


def inverse_h(y):
    root = (np.sqrt(1 + 4e-3 * (abs(y) + 1 + 1e-3)) - 1) / 2e-3
    return np.sign(y) * (root**2 - 1)


def reference_mean(logits):
    return inverse_h((np.exp(log_softmax(logits)) * ATOMS).sum(-1))


def reference_loss(logits, x):
    return -(reference_two_hot(h(x), ATOMS) * log_softmax(logits)).sum(-1)


def reference_value(weights, q, visits, prior, raw):
    out = np.zeros(len(raw))
    for i in range(len(raw)):
        pi, seen = np.exp(log_softmax(prior[i])), visits[i] > 0
        mean = (pi * q[i])[seen].sum() / pi[seen].sum() if seen.any() else 0.0
        mix = (raw[i] + visits[i].sum() * mean) / (1 + visits[i].sum())
        out[i] = (weights[i] * np.where(seen, q[i], mix)).sum()
    return out


CASES = {
    "support_mean": (
        lambda x: losses.support_mean(x, jnp.asarray(ATOMS, jnp.float32), PAIR),
        reference_mean,
        (LOGITS,),
    ),
    "support_loss": (
        lambda logits, x: losses.support_loss(logits, x, jnp.asarray(ATOMS, jnp.float32), PAIR),
        reference_loss,
        (LOGITS, VALUES),
    ),
    "search_value": (losses.search_value, reference_value, (WEIGHTS, Q, VISITS, PRIOR, RAW)),
}


class PlanningTest(chex.TestCase):
    @chex.variants(with_jit=True, without_jit=True, with_device=True)
    @parameterized.named_parameters((name, name) for name in CASES)
    def test_golden(self, name):
        function, reference, args = CASES[name]
        got = self.variant(function)(*(jnp.asarray(x, jnp.float32) for x in args))
        np.testing.assert_allclose(got, reference(*args), rtol=2e-5, atol=2e-5)


def test_equal_logits_stand_for_exactly_zero():
    assert (np.asarray(losses.support_mean(jnp.full((3, 41), 0.7), jnp.arange(-20.0, 21.0), PAIR)) == 0).all()


def test_the_number_that_is_learned_is_the_one_that_is_read():
    atoms, x = jnp.arange(-20.0, 21.0), jnp.array([-200.0, -1.0, 0.0, 0.25, 3.0, 150.0])
    logits = jnp.log(losses.two_hot(PAIR.apply(x), atoms) + 1e-30)
    np.testing.assert_allclose(losses.support_mean(logits, atoms, PAIR), x, rtol=1e-4, atol=1e-4)


def column(kinds, ends):
    kinds = jnp.array(kinds, jnp.int8)[:, None]
    return losses.counted(kinds, jnp.array(ends, jnp.float32)[:, None], len(kinds) - 1)


def test_after_a_termination_all_is_worth_nothing_and_is_learned():
    found = column([MID, MID, LAST, FIRST, MID, LAST], [1, 1, 0, 1, 1, 0])
    np.testing.assert_array_equal(found.policy[:, 0], [1, 1, 0, 0, 0, 0])
    np.testing.assert_array_equal(found.value[:, 0], [1, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(found.reward[:, 0], [0, 1, 1, 1, 1, 1])
    np.testing.assert_array_equal(found.over[:, 0], [0, 0, 0, 1, 1, 1])


def test_after_a_truncation_or_a_break_nothing_is_learned():
    found = column([FIRST, MID, LAST, FIRST, LAST], [1, 1, 1, 1, 0])
    np.testing.assert_array_equal(found.policy[:, 0], [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(found.value[:, 0], [1, 1, 0, 0, 0])
    np.testing.assert_array_equal(found.reward[:, 0], [0, 1, 1, 0, 0])
    broken = column([MID, FIRST, LAST, FIRST], [1, 1, 0, 1])
    np.testing.assert_array_equal(broken.policy[:, 0], [1, 0, 0, 0])
    assert not broken.value.any()
    np.testing.assert_array_equal(broken.reward[:, 0], [0, 0, 0, 0])
    assert not broken.over.any()


def test_a_window_that_begins_with_a_last_row_learns_that_nothing_follows():
    found = column([LAST, FIRST, MID], [0, 1, 1])
    assert not found.policy.any() and found.value.all()
    np.testing.assert_array_equal(found.reward[:, 0], [0, 1, 1])


def test_no_gradient_flows_into_what_is_learned_towards():
    gradient = jax.grad(lambda x: jnp.sum(losses.support_loss(jnp.asarray(LOGITS), x, jnp.asarray(ATOMS), PAIR)))
    assert not gradient(jnp.asarray(VALUES)).any()
