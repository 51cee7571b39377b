"""Values between two bounds."""

import flax.linen as nn
import numpy as np

from envs.base import Array
from networks.initializers import orthogonal


class BoundedValue(nn.Module):
    """`low` + (`high` - `low`) σ(...), close to `initial` at first: `[..., D] -> [...]`.

    As the critics of the hierarchical actor-critic have it, whose values count steps (Levy et al., ICLR 2019).

    Raises:
      ValueError: not low < initial < high.
    """

    low: float
    high: float
    initial: float

    def __post_init__(self) -> None:
        if not self.low < self.initial < self.high:
            raise ValueError(f"initial: {self.initial} must be between low, {self.low}, and high, {self.high}")
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [...]`."""
        offset = np.log((self.initial - self.low) / (self.high - self.initial))
        x = nn.Dense(1, kernel_init=orthogonal(0.01))(features)[..., 0]
        return self.low + (self.high - self.low) * nn.sigmoid(x + offset)
