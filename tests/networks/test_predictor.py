"""What MERLIN's predictor takes observations for, and how it draws images."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.merlin import reconstruction_nll
from envs.base import Box, Discrete
from networks.predictor import Decoder, Encoder, Modality, modalities


def drawn(seed: int, shapes: Any) -> Any:
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda s: jnp.float32(rng.normal(0, 0.3, s.shape)), shapes)


def test_a_decoder_of_images_has_a_relu_before_every_convolution() -> None:
    decoder, z = (
        Decoder(Modality("x", "image", (8, 16, 3)), 4),
        jnp.float32(np.random.default_rng(0).normal(size=(2, 5))),
    )
    params = drawn(1, jax.eval_shape(decoder.init, jax.random.key(0), z))["params"]
    dense = lambda part, x: x @ part["kernel"] + np.asarray(part["bias"])  # noqa: E731
    with jax.numpy_rank_promotion("allow"):
        x = jax.nn.relu(dense(params["MLP_0"]["Dense_0"], z))
        x = dense(params["Dense_0"], x).reshape((2, 1, 2, 32))
        for i, size in enumerate((32, 32, 3)):
            part, numbers = params[f"Conv_{i}"], ("NHWC", "HWIO", "NHWC")
            x = jax.lax.conv_general_dilated(jax.nn.relu(x), part["kernel"], (1, 1), "SAME", dimension_numbers=numbers)
            blocks = np.asarray(x + part["bias"])
            grown = np.zeros((2, 2 * x.shape[1], 2 * x.shape[2], size), np.float32)
            for down in (0, 1):
                for right in (0, 1):
                    at = (2 * down + right) * size
                    grown[:, down::2, right::2] = blocks[..., at : at + size]
            x = jnp.asarray(grown)
    np.testing.assert_allclose(decoder.apply({"params": params}, z), x, rtol=1e-4, atol=1e-4)


def test_bytes_of_rank_1_are_texts_and_other_whole_numbers_are_vectors() -> None:
    spaces = {
        "counts": Box((3,), 0, 31, np.int32),
        "flags": Box((3,), 0, 1, np.uint8),
        "grey": Box((4, 4), 0, 255, np.uint8),
        "mission": Box((96,), 0, 255, np.uint8),
        "places": Box((4,), np.ones(4), np.full(4, 11.0), np.int32),
        "room": Discrete(3),
    }
    assert {m.name: m.kind for m in modalities(spaces)} == {
        "counts": "vector", "flags": "binary", "grey": "vector", "mission": "text", "places": "vector",
        "room": "category",
    }  # fmt: skip


def test_bytes_are_reconstructed_as_they_are_encoded() -> None:
    (grey,) = modalities(Box((4, 4), 0, 255, np.uint8))
    (flags,) = modalities(Box((4, 4), 0, 1, np.uint8))
    (board,) = modalities(Box((4, 4), 0, 102, np.uint8))
    (image,) = modalities(Box((4, 4, 1), 0, 102, np.uint8))
    x = np.full((2, 4, 4), 51, np.uint8)
    np.testing.assert_allclose(reconstruction_nll(grey, jnp.full((2, 4, 4), 0.2), jnp.asarray(x)), 0.0, atol=1e-10)
    (counts,) = modalities(Box((3,), 0, 31, np.int32))
    np.testing.assert_allclose(reconstruction_nll(counts, jnp.zeros((1, 3)), jnp.array([[0, 3, 4]])), 12.5)
    bits = np.eye(4, dtype=np.uint8)[None]
    for modality, raw, same in (
        (grey, x, np.float32(x) / 255),
        (flags, bits, np.float32(bits)),
        (board, x, np.float32(x) / 102),
        (image, x[..., None], np.float32(x)[..., None] / 102),
    ):
        encoder = Encoder((modality,), (5,))
        params = drawn(0, jax.eval_shape(encoder.init, jax.random.key(0), {"observation": raw}))
        np.testing.assert_allclose(modality.target(jnp.asarray(raw)), same, rtol=1e-6)
        codes = [encoder.apply(params, {"observation": jnp.asarray(seen)}) for seen in (raw, same)]
        np.testing.assert_allclose(*codes, rtol=1e-6)


@pytest.mark.parametrize(
    ("space", "told"),
    [
        (
            {"speed": Box((2,)), "place": {"row": Discrete(3)}},
            "observation 'place': is a dict; allowed: a Box or a Dis",
        ),
        ((Discrete(3), Discrete(2)), "observation 'observation': is a tuple; allowed: a Box or a Discrete"),
        ({}, "observation: is an empty dict"),
    ],
)
def test_observations_of_no_known_kind_are_refused(space: Any, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        modalities(space)
