"""Encoders and decoders of observations: vectors through dense layers, images through convolutions of stride 2.

What an entry of the observation is, and as what it is reconstructed, is told by `networks.predictor.modalities`.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Tree
from networks.predictor import Modality
from networks.torsos import Conv
from networks.world.style import Layers, Style, Styled

LEAST = 4
"""Side of the maps that images are halved down to."""


def named(observation: Tree) -> dict[str, Array]:
    """The observation as a dict, a bare array as its entry `observation`."""
    return observation if isinstance(observation, dict) else {"observation": observation}


def sides(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Heights and widths of an image's maps, halved (odd ones rounded up) until none is above `LEAST`."""
    found = [(shape[0], shape[1])]
    while max(found[-1]) > LEAST:
        height, width = found[-1]
        found.append((-(-height // 2), -(-width // 2)))
    return found


def squashed(x: Array, symlog: bool) -> Array:
    """Numbers as a world model sees and predicts them: sign(x) ln(1 + |x|), or as they are."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x)) if symlog else x


def restored(x: Array, symlog: bool) -> Array:
    """The inverse of `squashed`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x)) if symlog else x


def target(modality: Modality, x: Array, symlog: bool) -> Array:
    """An entry of the observation as it is encoded and reconstructed, float32 `[..., *shape]`."""
    if modality.kind == "text":
        return jax.nn.one_hot(x, modality.num)
    y = modality.target(x).astype(jnp.float32)
    return squashed(y, symlog) if modality.kind == "vector" else y


class Encoder(nn.Module):
    """The code of an observation."""

    modalities: tuple[Modality, ...]
    units: int = 64
    layers: int = 3
    channels: int = 4
    """Of the first convolution; each next one has twice as many."""
    symlog: bool = True
    style: Style = Style()

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`[N, ...] -> [N, E]`."""
        seen, codes = named(observation), []
        flat = []
        for m in self.modalities:
            x = target(m, seen[m.name], self.symlog)
            if m.kind != "image":
                flat.append(x.reshape((len(x), -1)))
                continue
            for i, (height, width) in enumerate(sides(m.shape)[:-1]):
                x = jnp.pad(x, ((0, 0), (1, 1 + height % 2), (1, 1 + width % 2), (0, 0)))
                x = Styled(self.style)(Conv(self.channels * 2**i, 4, 2)(x))
            codes.append(x.reshape((len(x), -1)))
        if flat:
            codes.append(Layers(self.units, self.layers, self.style)(jnp.concatenate(flat, -1)))
        return jnp.concatenate(codes, -1)


class Decoder(nn.Module):
    """What a latent says of each entry of the observation: means, or logits of categories and of binary numbers."""

    modalities: tuple[Modality, ...]
    units: int = 64
    layers: int = 3
    channels: int = 4
    style: Style = Style()

    @nn.compact
    def __call__(self, features: Array) -> dict[str, Array]:
        """`[N, F] -> {name: [N, *event]}`."""
        made = {}
        if any(m.kind != "image" for m in self.modalities):
            flat = Layers(self.units, self.layers, self.style)(features)
        for m in self.modalities:
            if m.kind == "image":
                made[m.name] = self.image(m, features)
                continue
            event = (m.num,) if m.kind == "category" else (*m.shape, m.num) if m.kind == "text" else m.shape
            made[m.name] = nn.Dense(int(np.prod(event)))(flat).reshape((len(features), *event))
        return made

    @nn.nowrap
    def image(self, m: Modality, features: Array) -> Array:
        """Maps that are doubled until they have the size of the image; a mean in [0, 1]."""
        maps = sides(m.shape)
        (height, width), depth = maps[-1], self.channels * 2 ** max(len(maps) - 2, 0)
        x = nn.Dense(height * width * depth)(features).reshape((-1, height, width, depth))
        for i, (height, width) in enumerate(reversed(maps[:-1])):
            last = i == len(maps) - 2
            size = m.shape[-1] if last else self.channels * 2 ** (len(maps) - 3 - i)
            x = Conv(4 * size, 3, same=True)(Styled(self.style)(x))
            n, h, w, _ = x.shape
            x = x.reshape((n, h, w, 2, 2, size)).transpose((0, 1, 3, 2, 4, 5)).reshape((n, 2 * h, 2 * w, size))
            x = x[:, :height, :width]
        if len(maps) == 1:
            x = Conv(m.shape[-1], 3, same=True)(Styled(self.style)(x))
        return nn.sigmoid(x)
