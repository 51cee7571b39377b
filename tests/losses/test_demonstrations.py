"""The margin loss of demonstrations, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses

RNG = np.random.default_rng(0)
Q, ACTION = RNG.normal(size=(3, 5, 4)), RNG.integers(4, size=(3, 5))


def test_the_large_margin_is_what_another_action_leads_by():
    expected = np.zeros((3, 5))
    for at in np.ndindex(3, 5):
        rivals = [Q[at][a] + 0.8 * (a != ACTION[at]) for a in range(4)]
        expected[at] = max(rivals) - Q[at][ACTION[at]]
    found = losses.large_margin(jnp.asarray(Q, jnp.float32), jnp.asarray(ACTION))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_it_vanishes_with_its_gradient_once_the_margin_is_kept():
    q = jnp.array([1.0, 0.1, 0.15])
    assert float(losses.large_margin(q, jnp.int32(0))) == 0
    np.testing.assert_array_equal(jax.grad(losses.large_margin)(q, jnp.int32(0)), np.zeros(3))
    np.testing.assert_allclose(losses.large_margin(q, jnp.int32(1)), 1.7, rtol=1e-6)
    np.testing.assert_array_equal(jax.grad(losses.large_margin)(q, jnp.int32(1)), [1, -1, 0])
