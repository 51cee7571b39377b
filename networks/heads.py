"""The last layer: from features to values, action values or an action distribution."""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jax.nn.initializers import orthogonal, zeros

from agents.base import Array
from networks.distributions import Categorical, Gaussian, TanhGaussian
from networks.torsos import Initializer, linear


class Value(nn.Module):
    """State values `[..., D] -> [...]`."""

    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [...]`."""
        return linear(features, 1, self.kernel_init, self.bias_init)[..., 0]


class QValues(nn.Module):
    """Action values `[..., D] -> [..., num_actions]`."""

    num_actions: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., num_actions]`."""
        return linear(features, self.num_actions, self.kernel_init, self.bias_init)


class CategoricalPolicy(nn.Module):
    """A `Categorical` over `num_actions`, close to uniform at first."""

    num_actions: int
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Categorical:
        """`[..., D] -> Categorical [..., num_actions]`."""
        return Categorical(linear(features, self.num_actions, self.kernel_init, self.bias_init))


class GaussianPolicy(nn.Module):
    """A `Gaussian` over `size` unbounded action dimensions.

    The log standard deviation is a parameter of its own, starting at `log_std_init`, or with `state_dependent` an
    output of the network offset by that much.
    """

    size: int
    log_std_init: float = 0.0
    state_dependent: bool = False
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Gaussian:
        """`[..., D] -> Gaussian [..., size]`."""
        if self.state_dependent:
            mean, spread = jnp.split(linear(features, 2 * self.size, self.kernel_init, self.bias_init), 2, -1)
            return Gaussian(mean, spread + self.log_std_init)
        mean = linear(features, self.size, self.kernel_init, self.bias_init)
        log_std = self.param("log_std", nn.initializers.constant(self.log_std_init), (self.size,))
        return Gaussian(mean, jnp.broadcast_to(log_std, mean.shape))


class TanhGaussianPolicy(nn.Module):
    """A `TanhGaussian` over `size` action dimensions between `low` and `high`, as in SAC.

    Mean and log standard deviation both depend on the state; the latter is clipped to `log_std_bounds`.

    Raises:
      ValueError: the bounds are not finite, or not low < high, or not of length `size`.
    """

    size: int
    low: Any = -1.0  # number or `size` numbers
    high: Any = 1.0
    log_std_bounds: tuple[float, float] = (-20.0, 2.0)
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    def __post_init__(self) -> None:
        self.low, self.high = _bounds("low", self.low, self.size), _bounds("high", self.high, self.size)
        if not all(low < high for low, high in zip(self.low, self.high, strict=True)):
            raise ValueError(f"low: {self.low} must be below high, {self.high}, in every dimension")
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> TanhGaussian:
        """`[..., D] -> TanhGaussian [..., size]`."""
        mean, log_std = jnp.split(linear(features, 2 * self.size, self.kernel_init, self.bias_init), 2, -1)
        low, high = (jnp.broadcast_to(jnp.float32(bound), mean.shape) for bound in (self.low, self.high))
        return TanhGaussian(mean, jnp.clip(log_std, *self.log_std_bounds), low, high)


def _bounds(name: str, bound: Any, size: int) -> tuple[float, ...]:
    """A hashable bound per dimension."""
    array = np.asarray(bound, float)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise ValueError(f"{name}: {bound} must be one finite number or {size} of them")
    return tuple(float(x) for x in np.broadcast_to(array, (size,)))
