"""Feature extractors: from an observation to a vector. All take any number of leading axes.

Initialisers are flax's, `(key, shape, dtype) -> array`, plus `fan_in_uniform`. `orthogonal` is the default: with scale
√2 in the torsos, as actor-critic agents use it.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, Box, Discrete, Key, Tree, byte_scale
from networks.initializers import orthogonal
from networks.noisy import Noise, NoisyDense

Initializer = Callable[..., Array]


@dataclasses.dataclass(frozen=True)
class FanInUniform:
    """U(-1/√n, 1/√n) where n is the number of inputs; biases get the n of their layer."""

    fan_in: int | None = None

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        """An array of `shape`; n is the product of all axes but the last, if it was not given."""
        bound = (self.fan_in or math.prod(shape[:-1])) ** -0.5
        return jax.random.uniform(key, shape, dtype, -bound, bound)


def fan_in_uniform() -> FanInUniform:
    """The initialiser of the DQN line of work, for kernels and biases alike (LeCun et al., "Efficient BackProp")."""
    return FanInUniform()


def linear(
    x: Array, size: int, kernel_init: Initializer, bias_init: Initializer, noise: Noise | None = None, **kwargs: Any
) -> Array:
    """A dense layer `[..., D] -> [..., size]`, with `noise` a noisy one; to be called within a compact module."""
    if noise is not None:
        return NoisyDense(size, noise, **kwargs)(x)
    return nn.Dense(size, kernel_init=kernel_init, bias_init=bias_for(bias_init, x.shape[-1]), **kwargs)(x)


def bias_for(bias_init: Initializer, fan_in: int) -> Initializer:
    """The initialiser of a bias that follows `fan_in` inputs."""
    if isinstance(bias_init, FanInUniform):
        return FanInUniform(fan_in)
    return bias_init


def scaled(x: Array, dtype: Any, scale: float | tuple[float, ...] = 255.0) -> Array:
    """Numbers `[N, ...]` as `dtype`, bytes over `scale`, that of their space (`envs.base.byte_scale`)."""
    if x.dtype != jnp.uint8:
        return x.astype(dtype)
    return x.astype(dtype) / (jnp.asarray(scale, dtype)[None] if isinstance(scale, tuple) else scale)


def _pixels(image: Array, dtype: Any) -> tuple[Array, tuple[int, ...]]:
    """Images `[..., H, W, C]` as `[N, H, W, C]` of `dtype`, bytes over 255; and the leading axes."""
    return scaled(image.reshape((-1, *image.shape[-3:])), dtype), image.shape[:-3]


class MLP(nn.Module):
    """Dense layers `[..., D] -> [..., sizes[-1]]`, each followed by layer normalisation (if asked for) and activation.

    `activate_final=False` leaves the last layer linear.
    """

    sizes: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    layer_norm: bool = False
    kernel_init: Initializer = orthogonal(math.sqrt(2))
    bias_init: Initializer = zeros
    activate_final: bool = True
    noise: Noise | None = None
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        self.sizes = _sizes("sizes", self.sizes)
        super().__post_init__()

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., D] -> [..., sizes[-1]]`."""
        for i, size in enumerate(self.sizes):
            x = linear(x, size, self.kernel_init, self.bias_init, self.noise, dtype=self.dtype)
            if i + 1 < len(self.sizes) or self.activate_final:
                x = self.activation(nn.LayerNorm()(x) if self.layer_norm else x)
        return x.astype(jnp.float32)


class Conv(nn.Module):
    """A square convolution `[N, H, W, C] -> [N, H', W', channels]`, VALID or, with stride 1, SAME.

    On the CPU it is a matrix product over shifted slices: inside a scan XLA differentiates its own convolution there
    some 15 times slower than that (NatureCNN, 32 images: 610 ms against 37 ms, on two cores).
    """

    channels: int
    kernel: int
    stride: int = 1
    same: bool = False
    kernel_init: Initializer = orthogonal(math.sqrt(2))
    bias_init: Initializer = zeros
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[N, H, W, C] -> dtype [N, H', W', channels]`."""
        shape = (self.kernel, self.kernel, x.shape[-1], self.channels)
        kernel = self.param("kernel", self.kernel_init, shape).astype(self.dtype)
        bias = self.param("bias", bias_for(self.bias_init, math.prod(shape[:-1])), (1, 1, 1, self.channels))
        x = self._padded(x)
        return convolve(x, kernel, self.stride, jax.default_backend() == "cpu") + bias.astype(self.dtype)

    def patches(self, x: Array) -> Array:
        """What each output sees: `[N, H, W, C] -> [N, H', W', kernel² C]`, in the order of the kernel's numbers."""
        return jnp.concatenate(_windows(self._padded(x), self.kernel, self.stride), -1)

    def _padded(self, x: Array) -> Array:
        margin = (self.kernel - 1) // 2 if self.same else 0
        return jnp.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))


def convolve(x: Array, kernel: Array, stride: int, as_product: bool) -> Array:
    """VALID convolution of `[N, H, W, C]` with `[K, K, C, D]`, either as one matrix product or as XLA's own."""
    if not as_product:
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(x, kernel, (stride, stride), "VALID", dimension_numbers=numbers)
    if kernel.shape[0] % stride == 0:
        # Blocks of stride × stride become channels: fewer slices, which compile twice as fast.
        h, w = ((n - kernel.shape[0]) // stride * stride + kernel.shape[0] for n in x.shape[1:3])
        x, kernel, stride = _blocks(x[:, :h, :w], stride), _blocks(kernel.transpose((3, 0, 1, 2)), stride), 1
        kernel = kernel.transpose((1, 2, 3, 0))
    return jnp.concatenate(_windows(x, kernel.shape[0], stride), -1) @ kernel.reshape((-1, kernel.shape[-1]))


def _blocks(x: Array, size: int) -> Array:
    """`[N, H, W, C] -> [N, H / size, W / size, size² C]`."""
    n, h, w, c = x.shape
    x = x.reshape((n, h // size, size, w // size, size, c)).transpose((0, 1, 3, 2, 4, 5))
    return x.reshape((n, h // size, w // size, size * size * c))


def _windows(x: Array, size: int, stride: int) -> list[Array]:
    """The entries (i, j) of every size × size window, one array per i and j."""
    h, w = (n - size + 1 for n in x.shape[1:3])
    return [x[:, i : i + h : stride, j : j + w : stride] for i in range(size) for j in range(size)]


def _max_pool(x: Array) -> Array:
    """3×3/2 SAME max pooling, as maxima of slices for the sake of its gradient."""
    margins = ((max(2 * ((n + 1) // 2) + 1 - n, 0)) for n in x.shape[1:3])
    pads = [(margin // 2, margin - margin // 2) for margin in margins]
    return functools.reduce(jnp.maximum, _windows(jnp.pad(x, ((0, 0), *pads, (0, 0)), constant_values=-jnp.inf), 3, 2))


def _dense(x: Array, hidden: int, kernel_init: Initializer, bias_init: Initializer, dtype: Any) -> Array:
    """Feature maps `[N, ...]` flattened and, unless `hidden` is 0, through a dense layer of that size; float32."""
    x = x.reshape((x.shape[0], -1))
    x = nn.relu(linear(x, hidden, kernel_init, bias_init, dtype=dtype)) if hidden else x
    return x.astype(jnp.float32)


class NatureCNN(nn.Module):
    """The torso of DQN (Mnih et al., 2015): 32 of 8×8/4, 64 of 4×4/2, 64 of 3×3/1, VALID, and a dense layer.

    `hidden=0`, here and in the torsos below, leaves the dense layer out; the features are then the flattened maps, at
    84×84 7·7·64 = 3136 of them. Parameters are float32, computation is in `dtype`.
    """

    hidden: int = 512
    dtype: Any = jnp.float32
    kernel_init: Initializer = orthogonal(math.sqrt(2))
    bias_init: Initializer = zeros

    @nn.compact
    def __call__(self, image: Array) -> Array:
        """`[..., H, W, C] -> float32 [..., hidden]`; H and W at least 36."""
        if min(image.shape[-3:-1]) < 36:
            raise ValueError(f"NatureCNN: image is {image.shape[-3:]}, but height and width must be at least 36")
        x, lead = _pixels(image, self.dtype)
        init = (self.kernel_init, self.bias_init)
        for channels, kernel, stride in ((32, 8, 4), (64, 4, 2), (64, 3, 1)):
            x = nn.relu(Conv(channels, kernel, stride, False, *init, self.dtype)(x))
        return _dense(x, self.hidden, *init, self.dtype).reshape((*lead, -1))


class ImpalaCNN(nn.Module):
    """The residual torso of IMPALA (Espeholt et al., arXiv:1802.01561, figure 3 right).

    Per entry of `channels`: 3×3 convolution, 3×3/2 max pooling, two residual blocks of two 3×3 convolutions.
    """

    channels: tuple[int, ...] = (16, 32, 32)
    hidden: int = 256
    dtype: Any = jnp.float32
    kernel_init: Initializer = orthogonal(math.sqrt(2))
    bias_init: Initializer = zeros

    def __post_init__(self) -> None:
        self.channels = _sizes("channels", self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Array) -> Array:
        """`[..., H, W, C] -> float32 [..., hidden]`."""
        x, lead = _pixels(image, self.dtype)
        init = (self.kernel_init, self.bias_init)
        for channels in self.channels:
            x = _max_pool(Conv(channels, 3, 1, True, *init, self.dtype)(x))
            for _ in range(2):
                y = Conv(channels, 3, 1, True, *init, self.dtype)(nn.relu(x))
                x = x + Conv(channels, 3, 1, True, *init, self.dtype)(nn.relu(y))
        return _dense(nn.relu(x), self.hidden, *init, self.dtype).reshape((*lead, -1))


class SmallCNN(nn.Module):
    """3×3 convolutions (VALID) and a dense layer, for tiny images like MinAtar's (Young and Tian, arXiv:1903.03176)."""

    channels: tuple[int, ...] = (16,)
    hidden: int = 128
    dtype: Any = jnp.float32
    kernel_init: Initializer = orthogonal(math.sqrt(2))
    bias_init: Initializer = zeros

    def __post_init__(self) -> None:
        self.channels = _sizes("channels", self.channels)
        super().__post_init__()

    @nn.compact
    def __call__(self, image: Array) -> Array:
        """`[..., H, W, C] -> float32 [..., hidden]`; H and W at least 3, and 2 more for every further convolution."""
        if min(image.shape[-3:-1]) <= 2 * len(self.channels):
            least = 2 * len(self.channels) + 1
            raise ValueError(f"SmallCNN: image is {image.shape[-3:]}, but height and width must be at least {least}")
        x, lead = _pixels(image, self.dtype)
        init = (self.kernel_init, self.bias_init)
        for channels in self.channels:
            x = nn.relu(Conv(channels, 3, 1, False, *init, self.dtype)(x))
        return _dense(x, self.hidden, *init, self.dtype).reshape((*lead, -1))


_CNNS: dict[str, Callable[..., nn.Module]] = {"nature": NatureCNN, "impala": ImpalaCNN, "small": SmallCNN}
LEAST_SIDES = {"nature": 36, "impala": 1, "small": 3}
"""Of the images that each of a torso's convolutions takes."""


class Leaf(NamedTuple):
    """What a torso must know of one array of the observation."""

    name: str | None  # its key, None where the observation is a bare array
    shape: tuple[int, ...]  # of one element
    num: int | None = None  # of classes, where it is a number to be one-hot
    scale: float | tuple[float, ...] = 255.0  # of its bytes, where it has any


def layout(space: Any) -> tuple[Leaf, ...]:
    """The observation space (a Box, a Discrete, or a dict of them) as a hashable tuple.

    Raises:
      ValueError: the space is something else, or none of its arrays has an element.
    """
    if isinstance(space, tuple) and space and all(isinstance(leaf, Leaf) for leaf in space):
        return space
    spaces = {None: space} if isinstance(space, Box | Discrete) else space
    if not isinstance(spaces, dict) or not all(isinstance(s, Box | Discrete) for s in spaces.values()) or not spaces:
        raise ValueError(f"space: {space!r} is not a Box, a Discrete or a non-empty dict of them")
    if not any(math.prod(s.shape) for s in spaces.values()):
        raise ValueError(f"space: {space!r} has no elements, and hence shows nothing")
    return tuple(
        Leaf(name, tuple(s.shape), s.num if isinstance(s, Discrete) else None, byte_scale(s))
        for name, s in sorted(spaces.items(), key=lambda item: str(item[0]))
    )


class Torso(nn.Module):
    """Features of any observation that the specification describes.

    Images (Box of rank 3) pass through the convolutions of `cnn`, discrete numbers become one-hot, all else is
    flattened; bytes, of images, texts or memory, are scaled to [0, 1] by their bound (`envs.base.byte_scale`). What
    results is joined in the order of the keys and passes through an MLP, which for the networks of the papers holds the
    dense layer that follows the convolutions: (512,) for Nature's, (256,) for IMPALA's. With `cnn=None` images are
    flattened as well. Entries of the observation that the space does not name are ignored.

    Raises:
      ValueError: `space`, `mlp_sizes` or `cnn` is not one of those allowed; the observation does not fit the space.
    """

    space: Any  # Spec.observation; kept as the tuple that `layout` makes of it
    mlp_sizes: tuple[int, ...] = (64, 64)
    cnn: str | None = "nature"  # 'nature', 'impala', 'small' or None
    activation: Callable[[Array], Array] = nn.relu
    layer_norm: bool = False
    kernel_init: Initializer = orthogonal(math.sqrt(2))
    bias_init: Initializer = zeros
    dtype: Any = jnp.float32  # of the computation; parameters and features are float32
    noise: Noise | None = None  # in the dense layers

    def __post_init__(self) -> None:
        self.space = layout(self.space)
        self.mlp_sizes = _sizes("mlp_sizes", self.mlp_sizes)
        if self.cnn is not None and self.cnn not in _CNNS:
            raise ValueError(f"cnn: {self.cnn!r} is not one of {', '.join(map(repr, _CNNS))} or None")
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """Arrays `[..., *shape]`, in a dict where the space is one, to float32 `[..., F]`."""
        missing = [leaf.name for leaf in self.space if leaf.name is not None and leaf.name not in observation]
        if missing:
            raise ValueError(f"observation: has no entry {', '.join(map(repr, missing))}; it has {list(observation)}")
        named = [(leaf, observation if leaf.name is None else observation[leaf.name]) for leaf in self.space]
        for leaf, x in named:
            if x.shape[x.ndim - len(leaf.shape) :] != leaf.shape:
                raise ValueError(f"observation {leaf.name or ''}: shape {x.shape} does not end in {leaf.shape}")
        leaf, x = named[0]
        lead = x.shape[: x.ndim - len(leaf.shape)]
        features = jnp.concatenate([self._features(leaf, x) for leaf, x in named], -1)
        init = (self.kernel_init, self.bias_init)
        features = MLP(self.mlp_sizes, self.activation, self.layer_norm, *init, noise=self.noise, dtype=self.dtype)(
            features
        )
        return features.reshape((*lead, -1))

    def _features(self, leaf: Leaf, x: Array) -> Array:
        x = x.reshape((-1, *leaf.shape))
        if leaf.num is not None:
            return jax.nn.one_hot(x, leaf.num)
        if len(leaf.shape) != 3 or self.cnn is None:
            return scaled(x, jnp.float32, leaf.scale).reshape((x.shape[0], -1))
        convolutions = _CNNS[self.cnn](
            hidden=0, dtype=self.dtype, kernel_init=self.kernel_init, bias_init=self.bias_init
        )
        return convolutions(scaled(x, self.dtype, leaf.scale))


class Represented(nn.Module):
    """A torso that sees a representation of one entry of the observation in its place."""

    embedding: nn.Module  # `[..., N] -> [..., D]`
    torso: nn.Module
    entry: str = "observation"

    def __call__(self, observation: dict[str, Array]) -> Array:
        """What `torso` makes of the observation with that entry replaced."""
        return self.torso({**observation, self.entry: self.embedding(observation[self.entry])})


def _sizes(name: str, sizes: Any) -> tuple[int, ...]:
    if any(size < 1 for size in sizes):
        raise ValueError(f"{name}: {tuple(sizes)} must be positive layer widths")
    return tuple(int(size) for size in sizes)
