"""Images as rows of tokens: read off binary cells, or learned by an autoencoder whose codes come from a book.

van den Oord, Vinyals and Kavukcuoglu, "Neural discrete representation learning", NeurIPS 2017, of patches that do not
overlap: a token is the code of a patch.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Key
from networks.torsos import MLP


class Coded(NamedTuple):
    """What an autoencoder makes of patches `[N, L, P]`."""

    latent: Array  # [N, L, D], before the code
    code: Array  # [N, L, D], the nearest of the book
    patches: Array  # [N, L, P], what was to be told
    told: Array  # [N, L, P]


class Tokeniser(NamedTuple):
    """Pure functions between images and L tokens of so many kinds."""

    number: int
    """L."""
    kinds: int
    init: Callable[[Key], Any]
    """`(key) -> params`; `()` where nothing is learned."""
    encode: Callable[[Any, Array], Array]
    """`(params, image[N, *shape]) -> int32 [N, L]`."""
    decode: Callable[[Any, Array], Array]
    """`(params, tokens[N, L]) -> float32 [N, *shape]`."""
    coded: Callable[[Any, Array], Coded] | None = None
    """`(params, image[N, *shape]) -> Coded`, for what is learned."""


def checked(shape: tuple[int, ...], patch: tuple[int, int]) -> tuple[int, int, int]:
    """Height, width and channels of images that fall into patches.

    Raises:
      ValueError: the shape is of no image, or the patches do not cover it.
    """
    if len(shape) not in (2, 3) or shape[0] % patch[0] or shape[1] % patch[1]:
        raise ValueError(f"patch: {patch} must divide the sides of an image, whose shape is {shape}")
    return shape[0], shape[1], shape[2] if len(shape) == 3 else 1


def patches(image: Array, patch: tuple[int, int]) -> Array:
    """`[N, H, W(, C)] -> [N, L, P]`: patches row by row, and in each its cells row by row."""
    height, width, channels = checked(image.shape[1:], patch)
    h, w = patch
    cut = image.reshape((-1, height // h, h, width // w, w, channels)).swapaxes(2, 3)
    return cut.reshape((image.shape[0], (height // h) * (width // w), h * w * channels))


def joined(parts: Array, shape: tuple[int, ...], patch: tuple[int, int]) -> Array:
    """The inverse of `patches`: `[N, L, P] -> [N, *shape]`."""
    height, width, channels = checked(shape, patch)
    h, w = patch
    cut = parts.reshape((-1, height // h, width // w, h, w, channels)).swapaxes(2, 3)
    return cut.reshape((parts.shape[0], *shape))


def cells(shape: tuple[int, ...], patch: tuple[int, int] = (1, 1)) -> Tokeniser:
    """Tokens of images of zeros and ones: the bits of each patch as a number.

    Raises:
      ValueError: patches of more than 12 bits, or as `checked`.
    """
    height, width, channels = checked(shape, patch)
    bits = patch[0] * patch[1] * channels
    if bits > 12:
        raise ValueError(f"patch: {patch} of an image of shape {shape} has {bits} bits; at most 12 are allowed")
    powers = 2 ** np.arange(bits, dtype=np.int32)

    def encode(params: Any, image: Array) -> Array:
        return jnp.sum((patches(image, patch) > 0.5) * powers.reshape((1, 1, -1)), -1, dtype=jnp.int32)

    def decode(params: Any, tokens: Array) -> Array:
        return joined((tokens[..., None] // powers.reshape((1, 1, -1)) % 2).astype(jnp.float32), shape, patch)

    return Tokeniser((height // patch[0]) * (width // patch[1]), 2**bits, lambda key: (), encode, decode)


class _Autoencoder(nn.Module):
    outputs: int
    kinds: int
    size: int
    hidden: tuple[int, ...]

    def setup(self) -> None:
        self.inwards = MLP((*self.hidden, self.size), activate_final=False)
        self.norm = nn.LayerNorm(use_scale=False, use_bias=False)
        self.book = self.param("book", nn.initializers.normal(1.0), (self.kinds, self.size))
        self.outwards = MLP((*self.hidden, self.outputs), activate_final=False)

    def __call__(self, parts: Array) -> Coded:
        latent = self.latent(parts)
        code = self.book[self.nearest(latent)]
        through = latent + jax.lax.stop_gradient(code - latent)
        return Coded(latent, code, parts, self.outwards(through))

    def latent(self, parts: Array) -> Array:
        return self.norm(self.inwards(parts))

    def nearest(self, latent: Array) -> Array:
        # |z - e|² without |z|², which is the same for all codes.
        far = jnp.sum(jnp.square(self.book), -1).reshape((1, 1, -1)) - 2 * latent @ self.book.T
        return jnp.argmin(far, -1).astype(jnp.int32)

    def encode(self, parts: Array) -> Array:
        return self.nearest(self.latent(parts))

    def decode(self, tokens: Array) -> Array:
        return self.outwards(self.book[tokens])


def autoencoder(
    shape: tuple[int, ...],
    patch: tuple[int, int],
    kinds: int = 64,
    size: int = 16,
    hidden: tuple[int, ...] = (64,),
    scale: float = 1.0,
) -> Tokeniser:
    """Tokens that are learned: the code of each patch, from a book of `kinds`, by the straight-through gradient.

    Args:
      shape: of images.
      patch: cells of a patch; all patches share their networks.
      kinds: codes of the book.
      size: D, of a code.
      hidden: dense layers of encoder and decoder.
      scale: what images are divided by before, and multiplied with after.

    Raises:
      ValueError: as `checked`.
    """
    height, width, channels = checked(shape, patch)
    number = (height // patch[0]) * (width // patch[1])
    module = _Autoencoder(math.prod(patch) * channels, kinds, size, hidden)

    def call(name: str, params: Any, x: Array) -> Any:
        return module.apply({"params": params}, x, method=name)

    def cut(image: Array) -> Array:
        return patches(image.astype(jnp.float32) / scale, patch)

    return Tokeniser(
        number,
        kinds,
        lambda key: module.init(key, jnp.zeros((1, number, module.outputs)))["params"],
        lambda params, image: call("encode", params, cut(image)),
        lambda params, tokens: joined(scale * call("decode", params, tokens), shape, patch),
        lambda params, image: call("__call__", params, cut(image)),
    )
