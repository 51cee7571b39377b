"""How the dense layers of a world model look: activation and normalisation, the same in all of its parts."""

from typing import Literal, NamedTuple

import flax.linen as nn

from envs.base import Array


class Style(NamedTuple):
    """Activation and normalisation of every hidden layer."""

    activation: Literal["elu", "silu"] = "silu"
    """ELU in Dreamer v1 and v2, SiLU in v3."""
    norm: Literal["none", "rms"] = "rms"
    """Root mean square in v3, none before."""


class Styled(nn.Module):
    """Normalisation and activation `[..., D] -> [..., D]`."""

    style: Style

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """What follows a layer."""
        x = nn.RMSNorm(epsilon=1e-4)(x) if self.style.norm == "rms" else x
        return nn.silu(x) if self.style.activation == "silu" else nn.elu(x)


class Layers(nn.Module):
    """Dense layers `[..., D] -> [..., units]`, each of them followed by normalisation and activation."""

    units: int
    depth: int = 1
    style: Style = Style()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., D] -> [..., units]`; without layers what went in."""
        for _ in range(self.depth):
            x = Styled(self.style)(nn.Dense(self.units)(x))
        return x
