"""Latent world models: the three cores against numpy, resets, draws, and observations of all kinds."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import Box, Discrete
from networks.predictor import modalities
from networks.world import RSSM, Classes, Decoder, Encoder, Kind, Latent, Normal, Policy, Style
from networks.world.rssm import Block, Normed

H, Z, A, B = 8, 6, 2, 3
KEY = jax.random.key(0)
KINDS = {"gaussian": Kind("gaussian", Z), "categorical": Kind("categorical", 2, 3)}


def begun(module: Any, *args: Any, method: str = "__call__") -> Any:
    """What a module with fresh parameters makes of its arguments, and the parameters."""
    return jax.jit(lambda *args: module.init_with_output(KEY, *args, method=method))(*args)


def drawn(*shape):
    return jnp.float32(np.random.default_rng(sum(shape)).normal(size=shape))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def dense(p, x):
    return x @ np.float64(p["kernel"]) + np.float64(p["bias"])


def rms_silu(p, x):
    x = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-4) * np.float64(p["RMSNorm_0"]["scale"])
    return x * sigmoid(x)


def gates(h, r, c, u):
    u = sigmoid(u - 1)
    return u * np.tanh(sigmoid(r) * c) + (1 - u) * h


def reference_normed(p, h, z, a):
    x = dense(p["Layers_0"]["Dense_0"], np.concatenate([z, a], -1))
    x = np.where(x > 0, x, np.exp(x) - 1)
    x = np.concatenate([x, h], -1) @ np.float64(p["Dense_0"]["kernel"])
    x = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-6)
    x = x * np.float64(p["LayerNorm_0"]["scale"]) + np.float64(p["LayerNorm_0"]["bias"])
    return gates(h, *np.split(x, 3, -1))


def reference_block(p, h, z, a):
    each = [p[f"Layers_{i}"] for i in range(3)]
    seen = [rms_silu(q["Styled_0"], dense(q["Dense_0"], x)) for q, x in zip(each, (h, z, a), strict=True)]
    seen = np.concatenate(seen, -1)

    def blocks(p, parts):
        return [x @ np.float64(k) + np.float64(b) for x, k, b in zip(parts, p["kernel"], p["bias"][0], strict=True)]

    own = np.split(h, 4, -1)
    x = np.concatenate(blocks(p["BlockDense_0"], [np.concatenate([o, seen], -1) for o in own]), -1)
    made = blocks(p["BlockDense_1"], np.split(rms_silu(p["Styled_0"], x), 4, -1))
    r, c, u = (np.concatenate([np.split(m, 3, -1)[i] for m in made], -1) for i in range(3))
    return gates(h, r, c, u)


@pytest.mark.parametrize(
    ("core", "reference"), [(Normed(H, 5), reference_normed), (Block(H, 5, blocks=4), reference_block)]
)
def test_a_core_is_its_formula(core, reference):
    h, z, a = drawn(B, H), drawn(B, Z), drawn(B, A)
    made, params = begun(core, h, z, a)
    expected = reference(params["params"], *(np.float64(x) for x in (h, z, a)))
    np.testing.assert_allclose(made, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("core", ["gru", "norm", "block"])
def test_an_opening_row_knows_nothing_of_what_was_before(core):
    rssm = RSSM(KINDS["categorical"], H, 5, core, 4)
    before, action, first = Latent(drawn(B, H), drawn(B, Z)), drawn(B, A), jnp.array([True, False, True])
    h, _ = begun(rssm, before, action, first, method="recur")
    fresh, _ = begun(rssm, rssm.begin(B), 0 * action, 0 * first, method="recur")
    np.testing.assert_allclose(h[0], fresh[0], atol=1e-6)
    np.testing.assert_allclose(h[2], fresh[2], atol=1e-6)
    assert not np.allclose(h[1], fresh[1])


def test_blocks_must_divide_the_core():
    rssm = RSSM(KINDS["categorical"], 10, 5, "block", 4)
    with pytest.raises(ValueError, match="size: 10 must be a multiple of blocks, 4"):
        rssm.init(KEY, rssm.begin(1), jnp.zeros((1, A)), jnp.ones(1, bool), method="recur")


def test_draws_are_one_hot_with_the_gradient_of_their_probabilities():
    logits = drawn(B, 2, 3)
    z = Classes(logits).sample(KEY).reshape((B, 2, 3))
    np.testing.assert_allclose(np.sort(z, -1), np.broadcast_to([0.0, 0.0, 1.0], (B, 2, 3)), atol=1e-6)
    weight = drawn(B, 2, 3) + 1
    through = jax.jit(jax.grad(lambda x: (Classes(x).sample(KEY).reshape((B, 2, 3)) * weight).sum()))(logits)
    plain = jax.jit(jax.grad(lambda x: (jax.nn.softmax(x) * weight).sum()))(logits)
    np.testing.assert_allclose(through, plain, rtol=1e-6)
    assert (Classes(logits).sample(None).reshape((B, 2, 3)).argmax(-1) == logits.argmax(-1)).all()


def test_draws_have_their_probabilities_and_moments():
    logits = jnp.broadcast_to(jnp.log(jnp.array([0.7, 0.2, 0.1])), (20_000, 1, 3))
    np.testing.assert_allclose(Classes(logits).sample(KEY).mean(0), [0.7, 0.2, 0.1], atol=0.015)
    z = Normal(jnp.full((20_000, 1), 2.0), jnp.full((20_000, 1), 2 * jnp.log(0.5))).sample(KEY)
    np.testing.assert_allclose([z.mean(), z.std()], [2.0, 0.5], atol=0.015)


def test_no_class_is_impossible_and_no_normal_is_certain():
    extreme = jnp.full((1, 6), -1e4).at[0, 0].set(1e4)
    p = jax.nn.softmax(KINDS["categorical"].read(extreme).logits)
    np.testing.assert_allclose(p.min(), 0.01 / 3, rtol=1e-4)
    assert Kind("categorical", 2, 3, 0.0).read(extreme).logits.max() == 1e4
    spread = KINDS["gaussian"].read(jnp.full((1, 12), -1e4)).log_var
    np.testing.assert_allclose(jnp.exp(0.5 * spread), 0.1, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_stored_of_a_latent_is_all_of_it(kind):
    z = KINDS[kind].read(drawn(4, B, KINDS[kind].outputs)).sample(KEY)
    stored = KINDS[kind].packed(z)
    np.testing.assert_allclose(KINDS[kind].unpacked(stored), z, atol=1e-6)
    assert kind == "gaussian" or (stored.dtype == jnp.uint8 and stored.shape == (4, B, 2))


SPACES = {
    "vector": Box((3,)),
    "bits": Box((2, 2), 0.0, 1.0),
    "room": Discrete(4),
    "odd": Box((21, 10, 2), 0, 255, np.uint8),
    "tiny": Box((4, 3, 1), 0.0, 1.0),
}


def test_observations_of_all_kinds_are_encoded_and_decoded():
    seen = modalities(SPACES)
    observation = {
        "vector": drawn(B, 3),
        "bits": jnp.ones((B, 2, 2)),
        "room": jnp.arange(B),
        "odd": jnp.full((B, 21, 10, 2), 255, jnp.uint8),
        "tiny": jnp.ones((B, 4, 3, 1)),
    }
    code, _ = begun(Encoder(seen, 5, 1, 2), observation)
    made, _ = begun(Decoder(seen, 5, 1, 2), drawn(B, 9))
    assert code.ndim == 2 and len(code) == B
    shapes = {name: x.shape[1:] for name, x in made.items()}
    assert shapes == {name: space.shape or (4,) for name, space in SPACES.items()}
    assert ((made["odd"] > 0) & (made["odd"] < 1)).all()


def test_vectors_are_seen_as_symlogs():
    seen, x = modalities(Box((2,))), jnp.array([[1e6, -3.0]])
    plain, squashed = Encoder(seen, 5, symlog=False, style=Style()), Encoder(seen, 5)
    symlog = jnp.sign(x) * jnp.log1p(jnp.abs(x))
    np.testing.assert_allclose(begun(squashed, x)[0], begun(plain, symlog)[0], rtol=1e-5)


def test_policies_begin_close_to_even_and_within_their_bounds():
    x = drawn(B, 9)
    pi, _ = begun(Policy("categorical", 4, 5, 1), x)
    np.testing.assert_allclose(jax.nn.softmax(pi.logits), 0.25, atol=0.1)
    bounded, _ = begun(Policy("bounded", 2, 5, 1), x)
    assert (jnp.abs(bounded.mean) < 0.5).all()
    assert ((bounded.log_std > np.log(0.1)) & (bounded.log_std < 0)).all()
    squashed, _ = begun(Policy("tanh", 2, 5, 1), x)
    assert (jnp.abs(squashed.sample(KEY)) <= 1).all()
