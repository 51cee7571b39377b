"""Extremes whose gradients hold however they are compiled."""

import os
import subprocess

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses
from envs.extremes import greatest, least
from networks.frames import pool_and_inject
from networks.latent import unit_range
from tests.experiments.running import ROOT, command
from tests.experiments.words import WORDS
from tests.thorough import QUICK


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_values_are_those_of_numpy(axis):
    x = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float32)
    np.testing.assert_array_equal(greatest(jnp.asarray(x), axis), x.max(axis))
    np.testing.assert_array_equal(least(jnp.asarray(x), axis), x.min(axis))


@pytest.mark.parametrize("function", [greatest, least])
def test_a_number_that_is_none_is_not_hidden(function):
    for x in ([1.0, np.nan], [np.nan, 1.0]):
        assert jnp.isnan(function(jnp.array(x), 0))


def test_the_gradient_is_that_of_the_first_of_the_greatest():
    weights = jnp.array([2.0, 3.0])
    slope = jax.grad(lambda x: jnp.sum(weights * greatest(x, -1)))(jnp.array([[1.0, 5.0, 4.0], [7.0, 0.0, 7.0]]))
    np.testing.assert_array_equal(slope, [[0, 2, 0], [3, 0, 0]])
    slope = jax.grad(lambda x: jnp.sum(weights * least(x, 0)))(jnp.array([[1.0, 5.0], [1.0, 4.0]]))
    np.testing.assert_array_equal(slope, [[2, 0], [0, 3]])


def test_gradients_go_forwards_backwards_and_twice():
    x = jnp.array([0.5, 2.0, -1.0])
    square = lambda x: jnp.square(greatest(jnp.sin(x) + x, 0))  # noqa: E731
    y, slope, curve = np.sin(2.0) + 2.0, np.cos(2.0) + 1.0, -np.sin(2.0)
    np.testing.assert_allclose(jax.jvp(square, (x,), (jnp.ones(3),))[1], 2 * y * slope, rtol=1e-5)
    wanted = np.zeros((3, 3))
    wanted[1, 1] = 2 * (slope**2 + y * curve)
    np.testing.assert_allclose(jax.hessian(square)(x), wanted, rtol=1e-5)
    np.testing.assert_allclose(jax.jacrev(jax.jacrev(square))(x), wanted, rtol=1e-5)


EQUAL = jnp.full((2, 3), 0.25)
DIFFERENTIATED = {
    "soft_value": lambda x: losses.soft_value(x, jnp.zeros(3), 0.1),
    "expected_soft_value": lambda x: losses.expected_soft_value(x[..., None], jnp.zeros((3, 1)), 0.1),
    "large_margin": lambda x: losses.large_margin(x.T - 9 * jnp.arange(2)[None], jnp.zeros(3, int), 9.0),
    "unit_range": lambda x: unit_range(jnp.concatenate([x.T, jnp.ones((3, 1))], -1))[:, -1],
    "pool_and_inject": lambda x: pool_and_inject(x.T.reshape((3, 2, 1, 1)))[:, 0, 0, 1],
}


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_what_is_differentiated_goes_to_one_of_equals(name):
    """`jnp.max` and `jnp.min` would give each of them a half, by a division that can be of 0 by 0."""
    slope = jax.vmap(jax.grad(lambda x, i: DIFFERENTIATED[name](x)[i]), (None, 0))(EQUAL, jnp.arange(3))
    assert not jnp.isnan(slope).any()
    for i in range(3):
        assert (slope[i, 1, i] == 0) or (slope[i, 0, i] == 0), slope[i]


@pytest.mark.slow
def test_pearl_learns_where_its_critics_are_compiled_twice(tmp_path):
    """XLA without optimisation rounds the two otherwise, and the gradient of their minimum was not a number."""
    words = [*WORDS["pearl"], "--num-envs", "4", "--seeds", "4", "--steps", "300", "--out", tmp_path / "run"]
    environment = {**os.environ, "XLA_FLAGS": QUICK}
    done = subprocess.run(command("pearl", *words), cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
