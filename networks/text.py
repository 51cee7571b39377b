"""What networks make of a text: arrays of the numbers of its words, padded with zeros (`envs.text`).

Both encoders take `tokens[..., L]` of any whole dtype to `[..., size]`. A text of no words is zeros to both.
"""

from typing import Any, Literal

import flax.linen as nn
import jax.numpy as jnp

from envs.base import Array, Box, Vocabulary
from networks.cores import LSTM
from networks.torsos import Represented, Torso

Encoder = Literal["lstm", "bag"]


class BagOfWords(nn.Module):
    """The mean of the embeddings of a text's words; blind to their order."""

    words: int  # in the vocabulary, padding and unknown ones among them
    size: int

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """`[..., L] -> float32 [..., size]`."""
        embedded, there = _embedded(tokens, self.words, self.size)
        return jnp.sum(embedded, axis=-2) / jnp.maximum(jnp.sum(there, axis=-1, keepdims=True), 1)


class TextLSTM(nn.Module):
    """What an LSTM holds after a text's last word."""

    words: int
    size: int
    embedding: int = 32  # numbers for each word

    @nn.compact
    def __call__(self, tokens: Array) -> Array:
        """`[..., L] -> float32 [..., size]`."""
        lead, length = tokens.shape[:-1], tokens.shape[-1]
        embedded, there = _embedded(tokens.reshape((-1, length)), self.words, self.embedding)
        core = LSTM(self.size)
        first = jnp.zeros((length, embedded.shape[0]), bool)
        _, held = core(core.begin(embedded.shape[0]), jnp.swapaxes(embedded, 0, 1), first)
        last = jnp.sum(there, axis=-1).astype(jnp.int32) - 1
        chosen = jnp.take_along_axis(held, jnp.maximum(last, 0)[None, :, None], axis=0)[0]
        return jnp.where(last[:, None] >= 0, chosen, 0.0).reshape((*lead, self.size))


def encoder(kind: Encoder, words: int, size: int) -> nn.Module:
    """`TextLSTM` for "lstm", `BagOfWords` for "bag"."""
    return TextLSTM(words, size) if kind == "lstm" else BagOfWords(words, size)


def reading(space: dict[str, Any], vocabulary: Vocabulary, kind: Encoder, size: int, **torso: Any) -> nn.Module:
    """A torso that reads: the text's entry of the observation is seen as what an encoder makes of it.

    Args:
      space: of the observation, a dict; its text `[L]`, or lines of it `[lines, L]`.
      vocabulary: of the text, which names its entry.
      kind: of the encoder.
      size: of its output.
      **torso: of `networks.Torso`.
    """
    lines = space[vocabulary.entry].shape[:-1]
    seen = {**space, vocabulary.entry: Box((*lines, size))}
    return Represented(encoder(kind, len(vocabulary.words), size), Torso(seen, **torso), vocabulary.entry)


def _embedded(tokens: Array, words: int, size: int) -> tuple[Array, Array]:
    """Embeddings `[..., L, size]`, zeros for padding, and where there is a word, float32 `[..., L]`."""
    there = (tokens > 0).astype(jnp.float32)
    table = nn.Embed(words, size, embedding_init=nn.initializers.normal(1.0), name="words")
    return table(tokens.astype(jnp.int32)) * there[..., None], there
