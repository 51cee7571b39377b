"""Noisy layers and the heads for distributions."""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from envs import keys
from networks.noisy import Noise, NoisyDense, scaled_noise

FEATURES = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def perturbed(module: Any, params: Any, draws: int) -> np.ndarray:
    """Outputs `[draws, 5, q]` under different noise."""
    apply = lambda key: module.apply(params, FEATURES, rngs={"noise": key})  # noqa: E731
    return np.asarray(jax.jit(jax.vmap(apply))(jax.random.split(keys.key(1), draws)))


def test_scaled_noise_has_the_moments_of_the_paper() -> None:
    pairs = jax.vmap(lambda k: scaled_noise(k, 2))(jax.random.split(keys.key(0), 100_000))
    np.testing.assert_allclose(np.var(pairs[:, 0] * pairs[:, 1]), 2 / np.pi, atol=0.02)
    # Truncated normals, as some codes draw, would give 0.72.
    np.testing.assert_allclose(np.mean(np.square(pairs)), np.sqrt(2 / np.pi), atol=0.01)


@pytest.mark.parametrize("noise", [Noise(0.5, True), Noise(0.017, False)])
def test_output_has_the_mean_and_variance_of_the_equation(noise: Noise) -> None:
    module = NoisyDense(3, noise)
    params = module.init(keys.key(0), FEATURES)
    sigma = 0.5 / 2 if noise.factorised else 0.017
    bound = 0.5 if noise.factorised else (3 / 4) ** 0.5
    assert np.abs(params["params"]["kernel"]).max() <= bound
    np.testing.assert_allclose(params["params"]["sigma_kernel"], sigma)
    np.testing.assert_allclose(params["params"]["sigma_bias"], sigma)
    outputs = perturbed(module, params, 40_000)
    np.testing.assert_allclose(outputs.mean(axis=0), module.apply(params, FEATURES), atol=0.02)
    kernel, bias = (2 / np.pi, np.sqrt(2 / np.pi)) if noise.factorised else (1.0, 1.0)
    variance = sigma**2 * (kernel * np.square(FEATURES).sum(axis=1) + bias)
    np.testing.assert_allclose(outputs.var(axis=0), np.tile(variance[:, None], 3), rtol=0.06)


def test_one_row_and_a_batch_have_the_same_noise() -> None:
    """They are computed by different products."""
    module, rngs = NoisyDense(3), {"noise": keys.key(1)}
    params = module.init(keys.key(0), FEATURES)
    batch = module.apply(params, FEATURES, rngs=rngs)
    for row, features in zip(batch, FEATURES, strict=True):
        np.testing.assert_allclose(module.apply(params, features[None], rngs=rngs)[0], row, rtol=1e-5, atol=1e-6)
    assert not np.allclose(batch, module.apply(params, FEATURES))


def test_no_stream_and_no_sigma_mean_no_noise() -> None:
    module = NoisyDense(3, Noise(0.0))
    params = module.init(keys.key(0), FEATURES)
    plain = FEATURES @ params["params"]["kernel"] + params["params"]["bias"][None]
    np.testing.assert_allclose(module.apply(params, FEATURES), plain, atol=1e-6)
    np.testing.assert_allclose(perturbed(module, params, 2), np.stack([plain, plain]), atol=1e-6)


class Twins(nn.Module):
    """Two layers on the same input."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return NoisyDense(3)(x), NoisyDense(3)(x)


def test_layers_draw_apart_and_sigma_learns() -> None:
    one = Twins().init(keys.key(0), FEATURES)["params"]["NoisyDense_0"]

    def outputs(layer: Any, **rngs: Any) -> Any:
        return Twins().apply({"params": {"NoisyDense_0": layer, "NoisyDense_1": layer}}, FEATURES, rngs=rngs)

    np.testing.assert_array_equal(*outputs(one))
    first, second = outputs(one, noise=keys.key(3))
    assert np.abs(first - second).min() > 1e-4
    gradient = jax.grad(lambda layer: jnp.sum(jnp.square(outputs(layer, noise=keys.key(3))[0])))(one)
    assert all(np.abs(g).max() > 0 for g in gradient.values())


@pytest.mark.parametrize("head", [networks.QValues, networks.CategoricalQ, networks.QuantileQ, networks.ImplicitQ])
def test_dueling_keeps_the_advantages_centred(head: Any) -> None:
    """A constant added to every advantage changes nothing, and neither does the mean of the advantages."""
    module = head(3, hidden=(8,), dueling=True)
    params = module.init(keys.key(0), FEATURES)
    shifted = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 7.0 if "advantage" in str(path) and x.ndim == 1 else x, params
    )
    assert any(np.any(a != b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(shifted), strict=True))
    output = lambda p: jax.tree.leaves(module.apply(p, FEATURES))[0]  # noqa: E731
    np.testing.assert_allclose(output(params), output(shifted), atol=1e-4)


def test_dueling_scales_what_the_torso_learns() -> None:
    module = networks.QValues(3, dueling=True)
    params = module.init(keys.key(0), FEATURES)
    plain = params["params"]
    value, advantage = plain["value"]["kernel"], plain["advantage"]["kernel"]
    exact = value + advantage[:, :1] - advantage.mean(axis=1, keepdims=True)
    gradient = jax.grad(lambda x: module.apply(params, x)[0, 0])(FEATURES)[0]
    np.testing.assert_allclose(gradient, exact[:, 0] / np.sqrt(2), rtol=1e-5)


def test_implicit_quantiles_draw_their_own_levels() -> None:
    module = networks.ImplicitQ(2, hidden=(8,), samples=16, embedding=8)
    params = module.init(keys.key(0), FEATURES)
    drawn = module.apply(params, FEATURES, rngs={"noise": keys.key(1)})
    assert drawn.values.shape == (5, 2, 16)
    assert len(np.unique(drawn.tau)) == drawn.tau.size  # not shared across the batch
    again = module.apply(params, FEATURES, rngs={"noise": keys.key(2)})
    assert np.abs(drawn.tau - again.tau).max() > 0.1
    fixed = module.apply(params, FEATURES)
    np.testing.assert_allclose(fixed.tau[0], (np.arange(16) + 0.5) / 16)
