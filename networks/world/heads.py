"""Heads on the latent state: numbers, and policies over discrete or bounded actions."""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array
from networks.distributions import Categorical, Gaussian, TanhGaussian
from networks.world.style import Layers, Style


class Head(nn.Module):
    """Dense layers and a linear one, `[..., F] -> [..., outputs]`; with `scale` 0 it says 0 at first."""

    outputs: int
    units: int = 64
    layers: int = 1
    style: Style = Style()
    scale: float = 1.0

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., F] -> [..., outputs]`."""
        init: Any = nn.initializers.zeros
        if self.scale:
            init = nn.initializers.variance_scaling(self.scale, "fan_in", "truncated_normal")
        return nn.Dense(self.outputs, kernel_init=init)(Layers(self.units, self.layers, self.style)(features))


class Policy(nn.Module):
    """A distribution of actions.

    `categorical` has `size` actions, with a share `unimix` of the uniform distribution. `bounded` is a normal with its
    mean in [-1, 1] and a standard deviation from 0.1 to 1, whose draws the task cuts at its bounds (v3); `tanh` is a
    squashed normal, whose standard deviation is 5 at first (v1).
    """

    kind: Literal["categorical", "bounded", "tanh"]
    size: int
    units: int = 64
    layers: int = 3
    style: Style = Style()
    unimix: float = 0.01

    @nn.compact
    def __call__(self, features: Array) -> Categorical | Gaussian | TanhGaussian:
        """`[..., F] ->` a distribution of `[...]` or `[..., size]`."""
        outputs = self.size if self.kind == "categorical" else 2 * self.size
        x = Head(outputs, self.units, self.layers, self.style, 1e-4)(features)  # of the variance: 0.01 of the weights
        if self.kind == "categorical":
            if not self.unimix:
                return Categorical(x)
            return Categorical(jnp.log((1 - self.unimix) * jax.nn.softmax(x) + self.unimix / self.size))
        mean, spread = jnp.split(x, 2, -1)
        if self.kind == "bounded":
            return Gaussian(jnp.tanh(mean), jnp.log(0.9 * nn.sigmoid(spread + 2) + 0.1))
        high = jnp.ones_like(mean)
        return TanhGaussian(5 * jnp.tanh(mean / 5), jnp.log(nn.softplus(spread + 5) + 1e-4), -high, high)
