"""The last layer: from features to values, action values or an action distribution."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.nn.initializers import zeros

from envs.base import Array
from networks.distributions import Categorical, Categoricals, Gaussian, TanhGaussian
from networks.initializers import orthogonal
from networks.noisy import Noise
from networks.torsos import MLP, Initializer, linear


def midpoints(num: int) -> Array:
    """τ̂_i = (2i - 1) / 2N for i = 1, ..., N: the quantiles of QR-DQN, `[N]`."""
    return (jnp.arange(num, dtype=jnp.float32) + 0.5) / num


class Value(nn.Module):
    """State values `[..., D] -> [...]`."""

    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [...]`."""
        return linear(features, 1, self.kernel_init, self.bias_init)[..., 0]


class Values(nn.Module):
    """Several values of a state, of streams of rewards that are discounted apart: `[..., D] -> [..., num]`."""

    num: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., num]`."""
        return linear(features, self.num, self.kernel_init, self.bias_init)


class Embedding(nn.Module):
    """A vector `[..., D] -> [..., size]`, with `normalised` one of length √size."""

    size: int
    normalised: bool = False
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., size]`."""
        x = linear(features, self.size, self.kernel_init, self.bias_init)
        if not self.normalised:
            return x
        return x * jax.lax.rsqrt(jnp.mean(jnp.square(x), axis=-1, keepdims=True) + 1e-12)


class ActionValues(nn.Module):
    """K numbers for each of A actions, `[..., D] -> [..., A, K]`: what the heads below are made of.

    `hidden` layers come first. With `dueling` there are two streams of them, v_k and a_bk, joined as
    v_k + a_bk - mean_b a_bk (Wang et al., 2016; for distributions on their logits, as in Rainbow), and the gradient
    that both send into the torso is scaled by 1/√2.
    """

    num_actions: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros
    hidden: tuple[int, ...] = ()
    dueling: bool = False
    noise: Noise | None = None
    layer_norm: bool = False
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32  # of the hidden layers

    def values(self, features: Array, num: int) -> Array:
        """`[..., D] -> [..., A, num]`; to be called once, within a compact module."""

        def stream(x: Array, size: int, name: str) -> Array:
            mlp = MLP(self.hidden, self.activation, self.layer_norm, noise=self.noise, dtype=self.dtype)
            x = mlp(x) if self.hidden else x
            return linear(x, size, self.kernel_init, self.bias_init, self.noise, name=name)

        if self.dueling:
            features = optax.scale_gradient(features, 0.5**0.5)
            value = stream(features, num, "value")[..., None, :]
        advantage = stream(features, self.num_actions * num, "advantage" if self.dueling else "values")
        advantage = advantage.reshape((*advantage.shape[:-1], self.num_actions, num))
        return value + advantage - jnp.mean(advantage, axis=-2, keepdims=True) if self.dueling else advantage


class QValues(ActionValues):
    """Action values `[..., D] -> [..., A]`."""

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., A]`."""
        return self.values(features, 1)[..., 0]


class Behaving(NamedTuple):
    """Action values beside the logits of what is done in the data."""

    values: Array  # [..., A]
    logits: Array  # [..., A]


class BehaviourQ(ActionValues):
    """Action values, and a policy that imitates the data by `hidden` layers of its own: `[..., D] -> Behaving`."""

    @nn.compact
    def __call__(self, features: Array) -> Behaving:
        """`[..., D] -> Behaving [..., A]`."""
        seen = MLP(self.hidden, self.activation, dtype=self.dtype, name="behaviour")(features)
        logits = linear(seen, self.num_actions, orthogonal(0.01), self.bias_init, name="logits")
        return Behaving(self.values(features, 1)[..., 0], logits)


class CategoricalQ(ActionValues):
    """Logits of a distribution over `atoms` returns, for C51: `[..., D] -> [..., A, atoms]`."""

    atoms: int = 51

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., A, atoms]`."""
        return self.values(features, self.atoms)


class Quantiles(NamedTuple):
    """Quantiles of the return and their levels."""

    values: Array  # [..., A, N]
    tau: Array  # [..., N]


class QuantileQ(ActionValues):
    """Quantiles at the midpoints of QR-DQN: `[..., D] -> Quantiles`."""

    quantiles: int = 51

    @nn.compact
    def __call__(self, features: Array) -> Quantiles:
        """`[..., D] -> Quantiles [..., A, quantiles]`."""
        values = self.values(features, self.quantiles)
        return Quantiles(values, jnp.broadcast_to(midpoints(self.quantiles), (*values.shape[:-2], self.quantiles)))


class ImplicitQ(ActionValues):
    """Quantiles at sampled levels, f(ψ ⊙ φ(τ)) (IQN: Dabney et al., 2018): `[..., D] -> Quantiles`.

    φ_j(τ) = relu(Σ_i cos(π i τ) w_ij + b_j) for i = 0, ..., embedding - 1. Every element of the batch draws its own τ
    from the stream "noise"; without that stream they are the midpoints.
    """

    samples: int = 64
    embedding: int = 64

    @nn.compact
    def __call__(self, features: Array) -> Quantiles:
        """`[..., D] -> Quantiles [..., A, samples]`."""
        shape = (*features.shape[:-1], self.samples)
        if self.has_rng("noise"):
            tau = jax.random.uniform(self.make_rng("noise"), shape)
        else:
            tau = jnp.broadcast_to(midpoints(self.samples), shape)
        order = jnp.arange(self.embedding, dtype=jnp.float32).reshape((1,) * len(shape) + (-1,))
        phi = nn.relu(linear(jnp.cos(jnp.pi * order * tau[..., None]), features.shape[-1], orthogonal(2**0.5), zeros))
        return Quantiles(jnp.moveaxis(self.values(features[..., None, :] * phi, 1)[..., 0], -2, -1), tau)


class PixelValues(nn.Module):
    """Action values of changing each cell of an image, dueling: `[..., D] -> [..., *cells, A]`.

    A dense layer stands where UNREAL has a deconvolution.
    """

    cells: tuple[int, int]
    num_actions: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., *cells, A]`."""
        size = self.cells[0] * self.cells[1] * (1 + self.num_actions)
        x = linear(features, size, self.kernel_init, self.bias_init)
        x = x.reshape((*features.shape[:-1], *self.cells, 1 + self.num_actions))
        value, advantage = x[..., :1], x[..., 1:]
        return value + advantage - jnp.mean(advantage, axis=-1, keepdims=True)


class CategoricalPolicy(nn.Module):
    """A `Categorical` over `num_actions`, close to uniform at first."""

    num_actions: int
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Categorical:
        """`[..., D] -> Categorical [..., num_actions]`."""
        return Categorical(linear(features, self.num_actions, self.kernel_init, self.bias_init))


class CategoricalsPolicy(nn.Module):
    """`Categoricals` of `nums` numbers each, close to uniform at first."""

    nums: tuple[int, ...]
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Categoricals:
        """`[..., D] -> Categoricals [..., len(nums), max(nums)]`."""
        shape = (len(self.nums), max(self.nums))
        logits = linear(features, shape[0] * shape[1], self.kernel_init, self.bias_init)
        logits = logits.reshape((*features.shape[:-1], *shape))
        there = jnp.broadcast_to(np.arange(shape[1]) < np.array(self.nums)[:, None], logits.shape)
        return Categoricals(jnp.where(there, logits, -jnp.inf))


class GaussianPolicy(nn.Module):
    """A `Gaussian` over `size` unbounded action dimensions.

    The log standard deviation is a parameter of its own, starting at `log_std_init`, or with `fixed` stays there, or
    with `state_dependent` is an output of the network offset by that much. With `bounded` the mean is in [-1, 1] and
    the log standard deviation between -5 and 2, as in IQL; the actions themselves are not.
    """

    size: int
    log_std_init: float = 0.0
    state_dependent: bool = False
    bounded: bool = False
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros
    fixed: bool = False

    @nn.compact
    def __call__(self, features: Array) -> Gaussian:
        """`[..., D] -> Gaussian [..., size]`."""
        if self.state_dependent:
            mean, spread = jnp.split(linear(features, 2 * self.size, self.kernel_init, self.bias_init), 2, -1)
            return self._limited(Gaussian(mean, spread + self.log_std_init))
        mean = linear(features, self.size, self.kernel_init, self.bias_init)
        if self.fixed:
            return self._limited(Gaussian(mean, jnp.full_like(mean, self.log_std_init)))
        log_std = self.param("log_std", nn.initializers.constant(self.log_std_init), (self.size,))
        return self._limited(Gaussian(mean, jnp.broadcast_to(log_std, mean.shape)))

    def _limited(self, policy: Gaussian) -> Gaussian:
        return Gaussian(jnp.tanh(policy.mean), jnp.clip(policy.log_std, -5.0, 2.0)) if self.bounded else policy


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


class DeterministicPolicy(nn.Module):
    """Actions `tanh(...)` of `size` dimensions in [-1, 1], close to 0 at first."""

    size: int
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., D] -> [..., size]`."""
        return jnp.tanh(linear(features, self.size, self.kernel_init, self.bias_init))


class Quadratic(NamedTuple):
    """An action value that is quadratic in the action, for NAF."""

    value: Array  # [...], the largest
    action: Array  # [..., D], where it is
    lower: Array  # [..., D, D], the Cholesky factor of its negative curvature


class QuadraticQ(nn.Module):
    """A `Quadratic` over `size` action dimensions, its best action in [-1, 1], or anywhere without `squash`.

    The factor is "full" with a diagonal of exponentials, "diagonal", or the "identity", which nothing changes.

    Raises:
      ValueError: another `precision`.
    """

    size: int
    precision: str = "full"
    squash: bool = True
    kernel_init: Initializer = orthogonal(0.01)
    bias_init: Initializer = zeros

    def __post_init__(self) -> None:
        if self.precision not in ("full", "diagonal", "identity"):
            raise ValueError(f"precision: {self.precision!r} is not one of 'full', 'diagonal', 'identity'")
        super().__post_init__()

    @nn.compact
    def __call__(self, features: Array) -> Quadratic:
        """`[..., D] -> Quadratic [...]`."""
        init = (self.kernel_init, self.bias_init)
        value = Value(*init)(features)
        action = linear(features, self.size, *init, name="action")
        action = jnp.tanh(action) if self.squash else action
        shape = (*action.shape, self.size)
        lower = jnp.broadcast_to(jnp.eye(self.size).reshape((1,) * (len(shape) - 2) + shape[-2:]), shape)
        if self.precision != "identity":
            log_diagonal = linear(features, self.size, *init, name="log_diagonal")
            lower = lower * jnp.exp(5 * jnp.tanh(log_diagonal / 5))[..., None]  # bounded, with a gradient everywhere
        if self.precision == "full":
            entries = linear(features, self.size**2, *init, name="below").reshape(shape)
            lower = lower + jnp.tril(entries, -1)
        return Quadratic(value, action, lower)


def _bounds(name: str, bound: Any, size: int) -> tuple[float, ...]:
    """A hashable bound per dimension."""
    array = np.asarray(bound, float)
    if array.shape not in ((), (size,)) or not np.isfinite(array).all():
        raise ValueError(f"{name}: {bound} must be one finite number or {size} of them")
    return tuple(float(x) for x in np.broadcast_to(array, (size,)))
