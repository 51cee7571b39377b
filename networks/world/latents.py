"""Stochastic latents of a world model: normal or categorical, each drawn so that gradients pass through the draw."""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Array, Key
from networks.distributions import Categorical


class Normal(NamedTuple):
    """Independent normal numbers."""

    mean: Array  # [..., Z]
    log_var: Array  # [..., Z]

    def sample(self, key: Key | None) -> Array:
        """μ + σ ε, `[..., Z]`; without a key μ."""
        if key is None:
            return self.mean
        return self.mean + jnp.exp(0.5 * self.log_var) * jax.random.normal(key, self.mean.shape)


class Classes(NamedTuple):
    """G independent numbers of K classes each."""

    logits: Array  # [..., G, K]

    def sample(self, key: Key | None) -> Array:
        """One-hot, with the gradient of the probabilities (straight-through), `[..., G K]`; without a key the mode."""
        drawn = jnp.argmax(self.logits, -1) if key is None else Categorical(self.logits).sample(key)
        probability = jax.nn.softmax(self.logits)
        hot = jax.nn.one_hot(drawn, self.logits.shape[-1])
        hot = hot + (probability - jax.lax.stop_gradient(probability))
        return hot.reshape((*hot.shape[:-2], -1))


class Kind(NamedTuple):
    """What a latent is made of."""

    kind: Literal["gaussian", "categorical"] = "categorical"
    size: int = 32
    """Numbers Z of a normal latent, or groups G of a categorical one."""
    classes: int = 4
    """K of each group."""
    unimix: float = 0.01
    """Share of the uniform distribution in each group, without which a divergence can be infinite; 0 before v3."""
    floor: float = 0.1
    """Least standard deviation of a normal latent."""

    @property
    def width(self) -> int:
        """Numbers of a drawn latent."""
        return self.size * self.classes if self.kind == "categorical" else self.size

    @property
    def outputs(self) -> int:
        """Numbers that tell its distribution."""
        return self.width if self.kind == "categorical" else 2 * self.size

    def read(self, x: Array) -> Normal | Classes:
        """The distribution that `[..., outputs]` numbers tell."""
        if self.kind == "gaussian":
            mean, spread = jnp.split(x, 2, -1)
            return Normal(mean, 2 * jnp.log(jax.nn.softplus(spread) + self.floor))
        logits = x.reshape((*x.shape[:-1], self.size, self.classes))
        if not self.unimix:
            return Classes(logits)
        mixed = (1 - self.unimix) * jax.nn.softmax(logits) + self.unimix / self.classes
        return Classes(jnp.log(mixed))

    def packed(self, z: Array) -> Array:
        """A drawn latent `[..., width]` as it is stored: classes as bytes `[..., G]`, normal numbers as they are."""
        if self.kind == "gaussian":
            return z
        return jnp.argmax(z.reshape((*z.shape[:-1], self.size, self.classes)), -1).astype(jnp.uint8)

    def unpacked(self, stored: Array) -> Array:
        """The inverse of `packed`."""
        if self.kind == "gaussian":
            return stored
        hot = jax.nn.one_hot(stored, self.classes)
        return hot.reshape((*hot.shape[:-2], -1))
