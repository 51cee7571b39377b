"""Memory Q-networks against their equations in plain numpy, over windows and episodes."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks.mqn import MemoryQ

T, B, D, H, M = 7, 2, 3, 6, 3
INPUTS = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
FIRST = np.zeros((T, B), bool)
FIRST[0] = True
FIRST[4, 1] = True


@functools.cache
def core(kind, **kwargs):
    module = MemoryQ(kind, H, M, kernel_init=jax.nn.initializers.normal(0.8), **kwargs)
    params = module.init(jax.random.key(0), module.begin(B), INPUTS[:1], FIRST[:1])["params"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(lambda x: jnp.float32(rng.normal(0, 0.7, x.shape)), params)
    return module, params, jax.jit(lambda carry, x, first: module.apply({"params": params}, carry, x, first))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(kind, params, inputs, first, timed):
    """One lane, float64."""
    p = jax.tree.map(np.float64, params)
    keys, values, c, h, o, outputs = [], [], np.zeros(H), np.zeros(H), np.zeros(H), []
    for x, new in zip(np.float64(inputs), first, strict=True):
        if new:
            keys, values, c, h, o = [], [], np.zeros(H), np.zeros(H), np.zeros(H)
        if kind == "mqn":
            h = x @ p["context"]["kernel"]
        else:
            seen = np.concatenate([h, o]) if kind == "frmqn" else h
            i, f, g, out = np.split(x @ p["input"]["kernel"] + p["input"]["bias"] + seen @ p["recurrent"], 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(out) * np.tanh(c)
        o = np.zeros(H)
        if keys:
            scores = np.stack(keys) @ h
            if timed:
                scores = scores + p["ages"][: len(keys)][::-1]
            weights = np.exp(scores - scores.max())
            o = weights / weights.sum() @ np.stack(values)
        y = h @ p["hidden"]["kernel"] + o
        outputs.append(np.concatenate([y[: H // 2], np.maximum(y[H // 2 :], 0)]))
        keys = [*keys, x @ p["key"]["kernel"]][-M:]
        values = [*values, x @ p["value"]["kernel"]][-M:]
    return np.stack(outputs)


@pytest.mark.parametrize(("kind", "timed"), [("mqn", True), ("rmqn", False), ("frmqn", False)])
def test_equations_over_one_window_several_and_single_steps(kind, timed):
    module, params, apply = core(kind, timed=timed)
    for cuts in ((0, T), (0, 3, T), tuple(range(T + 1))):
        carry, outputs = module.begin(B), []
        for start, end in itertools.pairwise(cuts):
            carry, output = apply(carry, INPUTS[start:end], FIRST[start:end])
            outputs.append(output)
        for lane in range(B):
            expected = reference(kind, params, INPUTS[:, lane], FIRST[:, lane], timed)
            np.testing.assert_allclose(np.concatenate(outputs)[:, lane], expected, atol=1e-4)


def test_a_blind_core_sees_the_current_row_alone():
    module, _, apply = core("mqn", blind=True)
    _, outputs = apply(module.begin(B), INPUTS, FIRST)
    _, single = apply(module.begin(B), INPUTS[-1:], FIRST[-1:])
    np.testing.assert_allclose(outputs[-1], single[0], atol=1e-6)


def test_a_longer_memory_takes_the_same_parameters():
    module, params, _ = core("frmqn")
    longer = module.clone(memory=2 * M)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(
        jnp.shape, longer.init(jax.random.key(0), longer.begin(B), INPUTS[:1], FIRST[:1])["params"]
    )
