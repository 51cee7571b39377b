"""What is learned from the policies of teachers, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import losses


@pytest.mark.parametrize("gaussian", [False, True])
def test_kickstarting_is_the_weighted_cross_entropy_to_the_teachers(gaussian):
    rng = np.random.default_rng(3)
    theirs, mine, weight = rng.normal(size=(2, 5, 3, 4)), rng.normal(size=(2, 5, 4)), rng.uniform(size=(2, 5, 3))
    make = (lambda x: networks.Gaussian(x, 0.5 * x + 0.1)) if gaussian else networks.Categorical
    if gaussian:  # -∫ p ln q = ½ ln 2π + ln σ' + (σ² + (μ - μ')²) / 2σ'²
        (mean, log_std), (other, other_log) = (theirs, 0.5 * theirs + 0.1), (mine, 0.5 * mine + 0.1)
        spread = np.exp(2 * log_std) + (mean - other[..., None, :]) ** 2
        other_log = other_log[..., None, :]
        each = 0.5 * np.log(2 * np.pi) + other_log + spread / (2 * np.exp(2 * other_log))
    else:
        chance, other = (np.exp(x) / np.exp(x).sum(-1, keepdims=True) for x in (theirs, mine))
        each = -chance * np.log(other)[..., None, :]
    expected = (weight * each.sum(-1)).sum(-1)
    found = losses.kickstarting(make(jnp.float32(theirs)), make(jnp.float32(mine)), jnp.float32(weight))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_kickstarting_has_no_gradient_where_the_policy_is_its_teachers_and_none_for_teachers():
    logits = jnp.float32(np.random.default_rng(4).normal(size=(6, 4)))

    def loss(theirs, mine):
        return jnp.sum(losses.kickstarting(networks.Categorical(theirs), networks.Categorical(mine), jnp.ones((6, 1))))

    theirs, mine = jax.grad(loss, (0, 1))(logits[:, None], logits)
    np.testing.assert_allclose(mine, 0.0, atol=1e-6)
    np.testing.assert_array_equal(theirs, 0.0)
    assert np.abs(jax.grad(loss, 1)(logits[:, None], -logits)).max() > 0.1
