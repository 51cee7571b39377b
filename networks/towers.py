"""Towers: networks that bring what they see into one space with what others see, to be compared there."""

from typing import Any

import flax.linen as nn

from envs.base import Array, Tree
from networks.torsos import Torso


class Tower(nn.Module):
    """A torso and a linear layer: observations of a space `[..., *shape] -> [..., features]`."""

    space: Any
    features: int = 8
    hidden: tuple[int, ...] = (64, 64)
    cnn: str | None = None

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """Where it lies."""
        return nn.Dense(self.features)(Torso(self.space, self.hidden, cnn=self.cnn)(observation))
