"""Causal transformers over tokens `[B, L, D]`: for whole sequences, and token by token with the keys of the past kept.

Vaswani et al., "Attention is all you need", NeurIPS 2017, with layer normalisation after each part; with `pre_norm`
before each and once at the end, as GPT-2.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array

INIT = nn.initializers.normal(0.02)


class Cache(NamedTuple):
    """Keys and values of the tokens so far, of every layer, in B lanes with room for M tokens."""

    keys: Array  # [layers, B, M, heads, D / heads]
    values: Array
    filled: Array  # int32 [B], how many tokens are there; 0 forgets them


def fresh_cache(layers: int, batch: int, room: int, width: int, heads: int) -> Cache:
    """A cache without tokens."""
    nothing = jnp.zeros((layers, batch, room, heads, width // heads))
    return Cache(nothing, nothing, jnp.zeros(batch, jnp.int32))


class Attention(nn.Module):
    """Attention of several heads among tokens, `[B, L, D] -> [B, L, D]`."""

    heads: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, allowed: Array, past: tuple[Array, Array, Array] | None = None) -> tuple[Array, Any]:
        """Of tokens, and their keys and values.

        Args:
          x: `[B, L, D]`.
          allowed: booleans `[B, L, M]`: which keys each token sees, M = L without a past.
          past: keys and values `[B, M, heads, D / heads]` and where in them those of `x` are to be, int32 `[B, L]`.

        Returns:
          `[B, L, D]`, and keys and values `[B, M, heads, D / heads]`.
        """
        batch, length, width = x.shape
        joint = nn.Dense(3 * width, kernel_init=INIT)(x).reshape(batch, length, 3, self.heads, width // self.heads)
        query, key, value = joint[:, :, 0], joint[:, :, 1], joint[:, :, 2]
        if past is not None:
            keys, values, place = past
            lane = jnp.arange(batch)[:, None]
            key = keys.at[lane, place].set(key, mode="drop")
            value = values.at[lane, place].set(value, mode="drop")
        score = jnp.einsum("blhd,bmhd->bhlm", query, key) * (width // self.heads) ** -0.5
        weight = jax.nn.softmax(jnp.where(allowed[:, None], score, -1e30), axis=-1)
        weight = dropped(self, weight)
        out = jnp.einsum("bhlm,bmhd->blhd", weight, value).reshape(batch, length, width)
        return nn.Dense(width, kernel_init=INIT)(out), (key, value)


def dropped(module: Any, x: Array) -> Array:
    """The array under the dropout of a module with a field of that name; without the stream "noise" there is none."""
    if (isinstance(module.dropout, float) and not module.dropout) or not module.has_rng("noise"):
        return x
    kept = jax.random.bernoulli(module.make_rng("noise"), 1 - module.dropout, x.shape)
    return jnp.where(kept, x / (1 - module.dropout), 0.0)


class Block(nn.Module):
    """A layer: attention, and a dense network for each token, both added to what came in."""

    heads: int
    inner: int
    pre_norm: bool = True
    activation: Callable[[Array], Array] = nn.gelu
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, allowed: Array, past: Any = None) -> tuple[Array, Any]:
        """As `Attention`."""
        first, second = nn.LayerNorm(), nn.LayerNorm()
        seen, kept = Attention(self.heads, self.dropout)(first(x) if self.pre_norm else x, allowed, past)
        x = x + dropped(self, seen)
        x = x if self.pre_norm else first(x)
        y = nn.Dense(self.inner, kernel_init=INIT)(second(x) if self.pre_norm else x)
        y = nn.Dense(x.shape[-1], kernel_init=INIT)(self.activation(y))
        x = x + dropped(self, y)
        return x if self.pre_norm else second(x), kept


class Transformer(nn.Module):
    """Layers of causal attention.

    With `positions` each token has a learned vector of its place added, for sequences of up to so many; without, the
    caller tells places. Dropout needs the stream "noise".

    Raises:
      ValueError: the width of the tokens is not a multiple of `heads`, or there are more tokens than positions.
    """

    layers: int = 2
    heads: int = 2
    inner: int = 0  # of the dense networks; 0 for four times the width of a token
    positions: int = 0
    pre_norm: bool = True
    activation: Callable[[Array], Array] = nn.gelu
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: Array, mask: Array | None = None, cache: Cache | None = None) -> tuple[Array, Cache | None]:
        """Tokens in the light of those before them.

        Args:
          x: `[B, L, D]`.
          mask: booleans `[B, L]`, False for padding, which only pads see; there is none by default. With a cache,
            False for a lane's tokens that are not to be kept, at the end.
          cache: of the tokens before these.

        Returns:
          `[B, L, D]`, and the cache with these tokens in it; None if none was given.
        """
        batch, length, width = x.shape
        if width % self.heads:
            raise ValueError(f"heads: {self.heads} must divide the width of a token, {width}")
        real = jnp.ones((batch, length), bool) if mask is None else mask
        start = jnp.zeros(batch, jnp.int32) if cache is None else cache.filled
        place = start[:, None] + jnp.arange(length, dtype=jnp.int32)[None]
        if cache is None:
            causal = jnp.tril(jnp.ones((length, length), bool))[None]
            allowed = causal & (real[:, None, :] | jnp.eye(length, dtype=bool)[None])
        else:
            allowed = jnp.arange(cache.keys.shape[2], dtype=jnp.int32)[None, None] <= place[..., None]
        if self.positions:
            if cache is None and length > self.positions:
                raise ValueError(f"positions: {self.positions} are fewer than the {length} tokens")
            x = x + nn.Embed(self.positions, width, embedding_init=INIT, name="places")(place)
        x = dropped(self, x)
        kept = []
        for i in range(self.layers):
            past = None if cache is None else (cache.keys[i], cache.values[i], place)
            inner = self.inner or 4 * width
            block = Block(self.heads, inner, self.pre_norm, self.activation, self.dropout)
            x, after = block(x, allowed, past)
            kept.append(after)
        x = nn.LayerNorm()(x) if self.pre_norm else x
        if cache is None:
            return x, None
        keys, values = (jnp.stack(y) for y in zip(*kept, strict=True))
        return x, Cache(keys, values, start + jnp.sum(real, axis=1, dtype=jnp.int32))
