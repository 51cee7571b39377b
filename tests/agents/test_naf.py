"""NAF on a linear system with quadratic costs, whose best action values are quadratic and so exactly representable."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from experiments.studies.linear_quadratic import errors


def test_gain_and_curvature_are_riccatis() -> None:
    gain, curvature = errors(0, "full")
    assert gain <= 0.05
    assert curvature <= 0.05


def test_a_fixed_curvature_cannot_represent_them() -> None:
    gain, _ = errors(0, "identity")
    assert gain > 0.2


def test_precisions_are_named() -> None:
    with pytest.raises(ValueError, match="precision: 'half'"):
        networks.QuadraticQ(2, "half")


def test_curvatures_are_bounded_and_have_a_gradient_everywhere() -> None:
    head, features = networks.QuadraticQ(1), jnp.ones((1, 1))
    params = head.init(jax.random.key(0), features)

    def lower(bias: jax.Array) -> jax.Array:
        params["params"]["log_diagonal"]["bias"] = bias
        return head.apply(params, features).lower[0, 0, 0]

    at = jnp.array([-12.0, 0.0, 12.0])[:, None]
    values, slopes = jax.vmap(jax.value_and_grad(lower))(at)
    assert (values >= np.exp(-5)).all() and (values <= np.exp(5)).all() and (slopes > 0).all()
