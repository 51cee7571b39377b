"""The transformer: what it may see, that keys that are kept change nothing, padding, and attention by hand."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from networks.transformer import Attention

B, L, D, HEADS, LAYERS = 2, 6, 8, 2, 2
X = np.random.default_rng(0).normal(size=(B, L, D)).astype(np.float32)


@cache
def built(pre_norm=True, positions=L):
    module = networks.Transformer(LAYERS, HEADS, 16, positions, pre_norm)
    params = module.init(jax.random.key(0), X)
    # Layers begin so near to 0 that little would depend on anything.
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    apply = jax.jit(module.apply)
    return module, params, apply


@pytest.mark.parametrize("pre_norm", [True, False])
def test_no_token_sees_a_later_one_and_every_token_sees_all_before(pre_norm):
    _, params, apply = built(pre_norm)
    before, _ = apply(params, X)
    for at in (0, 3):
        after, _ = apply(params, X.copy() + np.eye(L)[at][None, :, None] * X[:, ::-1])
        moved = np.abs(after - before).max(-1) > 1e-4
        assert not moved[:, :at].any() and moved[:, at:].all()


@pytest.mark.parametrize("pre_norm", [True, False])
@pytest.mark.parametrize("pieces", [(1, 1, 1, 1, 1, 1), (3, 1, 2)])
def test_kept_keys_change_nothing(pre_norm, pieces):
    _, params, apply = built(pre_norm)
    whole, none = apply(params, X)
    assert none is None
    cache, found, at = networks.fresh_cache(LAYERS, B, L, D, HEADS), [], 0
    for length in pieces:
        out, cache = apply(params, X[:, at : at + length], None, cache)
        found.append(out)
        at += length
    np.testing.assert_allclose(np.concatenate(found, 1), whole, rtol=2e-4, atol=2e-5)
    assert (cache.filled == L).all()


def test_a_lane_that_forgets_begins_anew():
    _, params, apply = built()
    fresh = networks.fresh_cache(LAYERS, B, L, D, HEADS)
    _, cache = apply(params, X[:, :3], None, fresh)
    out, cache = apply(params, X[:, 3:5], None, cache._replace(filled=jnp.array([0, 3])))
    alone, _ = apply(params, X[:, 3:5], None, fresh)
    whole, _ = apply(params, X[:, :5])
    np.testing.assert_allclose(out[0], alone[0], rtol=2e-4, atol=2e-5)
    np.testing.assert_allclose(out[1], whole[1, 3:], rtol=2e-4, atol=2e-5)
    np.testing.assert_array_equal(cache.filled, [2, 5])


def test_padding_on_the_left_is_not_seen():
    _, params, apply = built(positions=0)
    mask = np.array([[False] * 2 + [True] * 4, [True] * 6])
    padded, _ = apply(params, X, mask)
    alone, _ = apply(params, X[:1, 2:])
    np.testing.assert_allclose(padded[0, 2:], alone[0], rtol=2e-4, atol=2e-5)
    other, _ = apply(params, np.where(mask[..., None], X, 9.0), mask)
    np.testing.assert_allclose(other[mask], padded[mask], rtol=2e-4, atol=2e-5)
    assert np.isfinite(padded).all()


def test_attention_by_hand():
    module = Attention(1)
    allowed = np.tril(np.ones((L, L), bool))[None]
    params = module.init(jax.random.key(1), X, allowed)
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    found, _ = module.apply(params, X, allowed)
    first, last = (params["params"][f"Dense_{i}"] for i in range(2))
    q, k, v = np.split(np.float64(X) @ np.float64(first["kernel"]) + np.float64(first["bias"]), 3, -1)
    score = np.where(allowed, q @ k.transpose(0, 2, 1) / np.sqrt(D), -np.inf)
    weight = np.exp(score - score.max(-1, keepdims=True))
    expected = weight / weight.sum(-1, keepdims=True) @ v @ np.float64(last["kernel"]) + np.float64(last["bias"])
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_places_are_told_apart_only_where_positions_are_learned():
    same = np.broadcast_to(X[:, :1], X.shape)
    for positions, differ in ((L, True), (0, False)):
        _, params, apply = built(positions=positions)
        out, _ = apply(params, same)
        assert (np.abs(out - out[:, :1]).max() > 1e-3) == differ


def test_dropout_needs_its_stream():
    module = networks.Transformer(1, HEADS, 16, dropout=0.5)
    params = module.init(jax.random.key(0), X)
    quiet = [module.apply(params, X)[0] for _ in range(2)]
    noisy = [module.apply(params, X, rngs={"noise": jax.random.key(i)})[0] for i in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert (np.abs(noisy[0] - noisy[1]) > 1e-3).any()


def test_bad_arguments():
    with pytest.raises(ValueError, match="heads: 3"):
        networks.Transformer(1, 3).init(jax.random.key(0), X)
    with pytest.raises(ValueError, match="positions: 4"):
        networks.Transformer(1, 2, positions=4).init(jax.random.key(0), X)
