"""The recurrent state-space model, one step at a time, with the three cores that the Dreamers had.

    h_t = f(h_{t-1}, z_{t-1}, a_{t-1}),    prior p(z_t | h_t),    posterior q(z_t | h_t, code of x_t)

Hafner et al., arXiv:1811.04551 (normal latents, GRU), arXiv:2010.02193 (categorical latents, GRU with layer norm) and
arXiv:2301.04104 (block-diagonal GRU).
"""

from typing import Literal, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from envs.base import Array, select
from networks.cores import GRU
from networks.world.latents import Classes, Kind, Normal
from networks.world.style import Layers, Style, Styled

Core = Literal["gru", "norm", "block"]


class Latent(NamedTuple):
    """The state of the model, `[..., D]` and `[..., Z]`."""

    h: Array
    z: Array

    @property
    def features(self) -> Array:
        """What heads read, `[..., D + Z]`."""
        return jnp.concatenate([self.h, self.z], -1)


class Plain(nn.Module):
    """Dreamer v1's core: a layer on latent and action, and a GRU."""

    size: int
    hidden: int
    style: Style = Style("elu", "none")

    @nn.compact
    def __call__(self, h: Array, z: Array, action: Array) -> Array:
        """`([B, D], [B, Z], [B, A]) -> [B, D]`."""
        x = Layers(self.hidden, 1, self.style)(jnp.concatenate([z, action], -1))
        return GRU(self.size)(h, x[None], jnp.zeros((1, len(h)), bool))[0]


def gated(h: Array, reset: Array, candidate: Array, update: Array) -> Array:
    """u tanh(σ(r) c) + (1 - u) h with u = σ(update - 1), so that at first most of h is kept."""
    u = nn.sigmoid(update - 1)
    return u * jnp.tanh(nn.sigmoid(reset) * candidate) + (1 - u) * h


class Normed(nn.Module):
    """Dreamer v2's core: one product on layer and memory, normalised before the gates."""

    size: int
    hidden: int
    style: Style = Style("elu", "none")

    @nn.compact
    def __call__(self, h: Array, z: Array, action: Array) -> Array:
        """`([B, D], [B, Z], [B, A]) -> [B, D]`."""
        x = Layers(self.hidden, 1, self.style)(jnp.concatenate([z, action], -1))
        gates = nn.LayerNorm()(nn.Dense(3 * self.size, use_bias=False)(jnp.concatenate([x, h], -1)))
        return gated(h, *jnp.split(gates, 3, -1))


class BlockDense(nn.Module):
    """A dense layer whose kernel is block-diagonal: `[B, G, D] -> [B, G, size]`, each of G blocks with its own."""

    size: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[B, G, D] -> [B, G, size]`."""
        init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", 1, 2, (0,))
        kernel = self.param("kernel", init, (x.shape[1], x.shape[2], self.size))
        bias = self.param("bias", nn.initializers.zeros, (1, x.shape[1], self.size))
        return jnp.einsum("bgi,gio->bgo", x, kernel) + bias


class Block(nn.Module):
    """Dreamer v3's core: memory, latent and action each through a layer, then block-diagonal layers and gates."""

    size: int
    hidden: int
    style: Style = Style()
    blocks: int = 8

    @nn.compact
    def __call__(self, h: Array, z: Array, action: Array) -> Array:
        """`([B, D], [B, Z], [B, A]) -> [B, D]`."""
        seen = jnp.concatenate([Layers(self.hidden, 1, self.style)(x) for x in (h, z, action)], -1)
        own = h.reshape((len(h), self.blocks, -1))
        all_ = jnp.broadcast_to(seen[:, None], (len(h), self.blocks, seen.shape[-1]))
        x = BlockDense(self.size // self.blocks)(jnp.concatenate([own, all_], -1))
        x = Styled(self.style)(x.reshape((len(h), self.size))).reshape((len(h), self.blocks, -1))
        gates = jnp.split(BlockDense(3 * self.size // self.blocks)(x), 3, -1)
        return gated(h, *(gate.reshape(h.shape) for gate in gates))


class RSSM(nn.Module):
    """Core, prior and posterior.

    Raises:
      ValueError: the block core's size is no multiple of the blocks.
    """

    kind: Kind = Kind()
    size: int = 512
    """D, numbers of h."""
    hidden: int = 64
    core: Core = "block"
    blocks: int = 8
    """Of the block core."""
    prior_layers: int = 2
    """2 in v3, 1 before."""
    style: Style = Style()

    def setup(self) -> None:
        """The parts."""
        if self.core == "block" and self.size % self.blocks:
            raise ValueError(f"size: {self.size} must be a multiple of blocks, {self.blocks}")
        if self.core == "block":
            self.recurrent: nn.Module = Block(self.size, self.hidden, self.style, self.blocks)
        else:
            self.recurrent = (Plain if self.core == "gru" else Normed)(self.size, self.hidden, self.style)
        layers = lambda depth: Layers(self.hidden, depth, self.style)  # noqa: E731
        self.of_prior = nn.Sequential([layers(self.prior_layers), nn.Dense(self.kind.outputs)])
        self.of_posterior = nn.Sequential([layers(1), nn.Dense(self.kind.outputs)])

    @nn.nowrap
    def begin(self, batch: int) -> Latent:
        """Zeros of `batch` lanes."""
        return Latent(jnp.zeros((batch, self.size)), jnp.zeros((batch, self.kind.width)))

    def recur(self, state: Latent, action: Array, first: Array) -> Array:
        """h_t `[B, D]` from what was before; zeros before a row that opens an episode, and the action ignored there."""
        before, action = select(first, (self.begin(len(first)), jnp.zeros_like(action)), (state, action))
        return self.recurrent(before.h, before.z, action)

    def prior(self, h: Array) -> Normal | Classes:
        """p(z_t | h_t)."""
        return self.kind.read(self.of_prior(h))

    def posterior(self, h: Array, code: Array) -> Normal | Classes:
        """q(z_t | h_t, code)."""
        return self.kind.read(self.of_posterior(jnp.concatenate([h, code], -1)))
