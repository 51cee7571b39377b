"""Encoders of texts: padding changes nothing, words do, and order only where it can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import Box, Vocabulary
from envs.tasks.instruction_grid import instruction_grid
from experiments import parts
from networks.text import BagOfWords, TextLSTM, encoder, reading

KINDS = ("lstm", "bag")


def made(module, tokens):
    """Parameters that are not zero anywhere, and the jitted function of tokens."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(module.init, jax.random.key(0), tokens)
    params = jax.tree.map(lambda s: jnp.float32(rng.normal(0, 0.5, s.shape)), shapes)
    return params, jax.jit(module.apply)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_does_not_count_and_words_do(kind):
    tokens = np.array([[2, 3, 4, 0, 0], [2, 3, 5, 0, 0], [0, 0, 0, 0, 0]], np.uint8)
    params, apply = made(encoder(kind, 6, 7), tokens)
    seen = apply(params, tokens)
    assert seen.shape == (3, 7) and seen.dtype == jnp.float32
    np.testing.assert_allclose(apply(params, tokens[:, :3].astype(np.int32)), seen, rtol=1e-5, atol=1e-6)
    assert np.abs(seen[0] - seen[1]).max() > 1e-2, "another word is another text"
    np.testing.assert_array_equal(seen[2], 0.0)


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_words_is_seen_by_the_lstm_alone(kind):
    tokens = np.array([[2, 3, 4], [4, 3, 2]])
    params, apply = made(encoder(kind, 5, 6), tokens)
    one, other = apply(params, tokens)
    assert (np.abs(one - other).max() > 1e-2) == (kind == "lstm")


def test_values_of_a_bag_of_words():
    tokens = np.array([[1, 2, 0, 0]])
    params, apply = made(BagOfWords(3, 2), tokens)
    table = np.asarray(params["params"]["words"]["embedding"], np.float64)
    np.testing.assert_allclose(apply(params, tokens)[0], (table[1] + table[2]) / 2, rtol=1e-6)


def test_values_of_the_lstm():
    tokens, size = np.array([[1, 2, 0], [2, 0, 0]]), 3
    params, apply = made(TextLSTM(3, size, embedding=4), tokens)
    numbers = jax.tree.map(lambda x: np.asarray(x, np.float64), params["params"])
    lstm, table = numbers["LSTM_0"], numbers["words"]["embedding"]
    sigmoid = lambda x: 1 / (1 + np.exp(-x))  # noqa: E731
    for row, seen in zip(tokens, apply(params, tokens), strict=True):
        c = h = np.zeros(size)
        for token in row[row > 0]:
            affine = table[token] @ lstm["input"]["kernel"] + lstm["input"]["bias"] + h @ lstm["recurrent"]
            i, f, g, o = np.split(affine, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        np.testing.assert_allclose(seen, h, rtol=2e-5, atol=1e-6)


def test_leading_axes_are_any():
    tokens = np.random.default_rng(0).integers(0, 5, (2, 3, 4))
    params, apply = made(encoder("lstm", 5, 6), tokens[0])
    np.testing.assert_allclose(apply(params, tokens)[1], apply(params, tokens[1]), rtol=1e-5, atol=1e-6)


def test_a_torso_reads_the_entry_that_the_vocabulary_names():
    known = Vocabulary("instruction", ("", "?", "go", "left", "right"))
    space = {"place": Box((2,)), "instruction": Box((3,), 0, 4, np.int32)}
    torso = reading(space, known, "bag", 8, mlp_sizes=(6,))
    seen = {"place": jnp.zeros((2, 2)), "instruction": jnp.array([[2, 3, 0], [2, 4, 0]])}
    params, apply = made(torso, seen)
    features = apply(params, seen)
    assert features.shape == (2, 6) and np.abs(features[0] - features[1]).max() > 1e-3


def test_commands_read_the_text_of_a_task():
    """The same words in another order are other features, which they are not to a torso that takes them for numbers."""
    env = instruction_grid(size=4)
    torso = parts.torso(env.spec, (6,), "none")
    lines = np.zeros((2, 4, 4), np.int32)
    lines[:, 0, :3] = [[2, 3, 4], [4, 3, 2]]
    seen = {"things": jnp.zeros((2, 8, 5)), "instruction": jnp.asarray(lines)}
    params, apply = made(torso, seen)
    assert params["params"]["embedding"]["words"]["embedding"].shape == (len(env.spec.vocabulary.words), 32)
    features = apply(params, seen)
    assert features.shape == (2, 6) and np.abs(features[0] - features[1]).max() > 1e-3
