"""The networks of MERLIN: a predictor that makes a state variable of what is seen, and a policy that reads along.

Wayne et al., arXiv:1803.10760; sizes by default are theirs, as far as they are known. Both are modules of single steps,
to be joined by `agents.merlin`.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Box, Discrete, Space, Tree, byte_scale
from networks import memory
from networks.cores import DeepLSTM, outputs_of
from networks.distributions import Categorical
from networks.initializers import orthogonal
from networks.torsos import MLP, Conv, Torso, scaled

Kind = Literal["image", "binary", "vector", "category", "text"]


class Modality(NamedTuple):
    """One entry of the observation, and as what it is reconstructed."""

    name: str
    kind: Kind
    shape: tuple[int, ...]  # of one element; of a text, its length
    num: int = 0  # of categories or of words
    scale: Any = 255.0  # of its bytes, if it is an image or a vector

    def target(self, x: Array) -> Array:
        """The entry as its reconstruction should be: bytes in [0, 1] as the encoder scales them, categories one-hot."""
        if self.kind == "category" and not self.shape:
            return jax.nn.one_hot(x, self.num)
        return scaled(x, jnp.float32, self.scale) if x.dtype == jnp.uint8 and self.kind in ("image", "vector") else x


def modalities(observation: Any, action: Space | None = None) -> tuple[Modality, ...]:
    """What a task shows.

    Discrete entries are categories; arrays of rank 3 are images; bytes of rank 1 that reach beyond 1 are texts; what
    lies in [0, 1] is binary, all else a vector of unit variance.

    Args:
      observation: the task's space, a Box, a Discrete or a dict of them.
      action: its actions, if the agent also sees its last action and reward (`agents.common.wrappers.recall`).

    Raises:
      ValueError: an entry is neither a Box nor a Discrete, or there is none.
    """
    own = observation if isinstance(observation, dict) else {"observation": observation}
    if not own:
        raise ValueError("observation: is an empty dict; allowed: a Box, a Discrete, or a dict of them")
    found = [_modality(name, space) for name, space in sorted(own.items())]
    if action is not None:
        shape, num = ((action.num,), action.num) if isinstance(action, Discrete) else (action.shape, 0)
        kind: Kind = "category" if num else "vector"
        found += [Modality("last_action", kind, shape, num), Modality("last_reward", "vector", (1,))]
    return tuple(found)


def _modality(name: str, space: Any) -> Modality:
    if isinstance(space, Discrete):
        return Modality(name, "category", (), space.num)
    if not isinstance(space, Box):
        raise ValueError(f"observation {name!r}: is a {type(space).__name__}; allowed: a Box or a Discrete")
    if len(space.shape) == 3:
        return Modality(name, "image", space.shape, scale=byte_scale(space))
    low, high = np.min(space.low), np.max(space.high)
    if space.dtype == np.uint8 and len(space.shape) == 1 and high > 1:
        return Modality(name, "text", space.shape, int(high) + 1)
    kind: Kind = "binary" if low >= 0 and high <= 1 else "vector"
    return Modality(name, kind, space.shape, scale=byte_scale(space))


class Encoder(nn.Module):
    """The code of an observation: images through `cnn`, words through an embedding, all joined and through `sizes`."""

    modalities: tuple[Modality, ...]
    sizes: tuple[int, ...] = (64,)
    cnn: str | None = None
    embedding: int = 8

    @nn.compact
    def __call__(self, observation: dict[str, Array]) -> Array:
        """A dict of `[N, ...]` to `[N, E]`."""
        seen, space = {}, {}
        for m in self.modalities:
            x = observation[m.name]
            if m.kind == "text":
                x = nn.Embed(m.num, self.embedding)(x.astype(jnp.int32)).reshape((len(x), -1))
            elif m.kind == "binary":
                x = x.astype(jnp.float32)
            elif m.kind in ("image", "vector"):
                x = m.target(x)
            seen[m.name] = x
            whole = m.kind == "category" and not m.shape
            space[m.name] = Discrete(m.num) if whole else Box(x.shape[1:])
        return Torso(space, self.sizes, self.cnn, jnp.tanh)(seen)


class Decoder(nn.Module):
    """What z says of one modality: logits, or the mean of a vector.

    Images whose sides are multiples of 8 grow from an eighth of their size by three convolutions.
    """

    modality: Modality
    width: int = 200

    @nn.compact
    def __call__(self, z: Array) -> Array:
        """`[N, Z] -> [N, *event]`."""
        m = self.modality
        x = MLP((self.width,), nn.relu)(z)
        event = (m.num,) if m.kind == "category" else (*m.shape, m.num) if m.kind == "text" else m.shape
        if m.kind == "image" and not m.shape[0] % 8 and not m.shape[1] % 8:
            height, width, channels = m.shape
            x = nn.Dense(height * width // 64 * 32)(x).reshape((-1, height // 8, width // 8, 32))
            for size in (32, 32, channels):
                x = Conv(size * 4, 3, same=True)(nn.relu(x))
                n, h, w, _ = x.shape
                x = x.reshape((n, h, w, 2, 2, size)).transpose((0, 1, 3, 2, 4, 5)).reshape((n, 2 * h, 2 * w, size))
            return x
        return nn.Dense(int(np.prod(event)), kernel_init=orthogonal(0.1))(x).reshape((len(z), *event))


class Normal(NamedTuple):
    """Mean and ln σ², `[..., Z]`; or what a posterior adds to them."""

    mean: Array
    log_var: Array


class Predictor(nn.Module):
    """The memory-based predictor, χ."""

    modalities: tuple[Modality, ...]
    actions: int
    latent: int = 200
    lstm: tuple[int, ...] = (256, 256)
    keys: int = 3
    encoder: tuple[int, ...] = (64,)
    cnn: str | None = None
    width: int = 200

    def setup(self) -> None:
        """The parts."""
        inner = (2 * self.latent,) * 2
        self.code = Encoder(self.modalities, self.encoder, self.cnn)
        self.prior = nn.Sequential([MLP(inner, jnp.tanh), nn.Dense(2 * self.latent, kernel_init=orthogonal(0.1))])
        self.posterior = nn.Sequential([MLP(inner, jnp.tanh), nn.Dense(2 * self.latent, kernel_init=orthogonal())])
        self.core = DeepLSTM(self.lstm)
        self.queries = nn.Dense(self.keys * (2 * self.latent + 1), kernel_init=orthogonal())
        self.decoders = {m.name: Decoder(m, self.width) for m in self.modalities}
        self.value = nn.Sequential([MLP((self.width,), jnp.tanh), nn.Dense(1, kernel_init=orthogonal())])
        narrow = (max(self.width // 4, 1),) * 2
        self.advantage = nn.Sequential([MLP(narrow, jnp.tanh), nn.Dense(1, kernel_init=orthogonal(0.1))])

    def encode(self, observation: Tree) -> Array:
        """e of observations `[N, ...]`: `[N, E]`."""
        return self.code(observation)

    def infer(self, code: Array, h: Array, read: Array, noise: Array) -> tuple[Array, Normal, Normal]:
        """z `[B, Z]`, the prior, and what the posterior adds to it, from e, h_{t-1}, m_{t-1} and ε."""
        past = jnp.concatenate([h, read], -1)
        prior = self.prior(past)
        shift = self.posterior(jnp.concatenate([code, past, prior], -1))
        mean, log_var = jnp.split(prior + shift, 2, -1)
        z = mean + jnp.exp(0.5 * log_var) * noise
        return z, Normal(*jnp.split(prior, 2, -1)), Normal(*jnp.split(shift, 2, -1))

    def recur(self, layers: tuple, z: Array, action: Array, read: Array) -> tuple[tuple, Array, Array]:
        """The LSTM's layers after z_t, a_t and m_{t-1}, and the keys and strengths to read with."""
        done = jax.nn.one_hot(action, self.actions)
        layers, h = self.core(layers, jnp.concatenate([z, done, read], -1))
        return layers, *memory.split_keys(self.queries(h), self.keys)

    def decode(self, z: Array) -> dict[str, Array]:
        """What each modality's decoder makes of z `[N, Z]`."""
        return {name: decoder(z) for name, decoder in self.decoders.items()}

    def returns(self, z: Array, log_policy: Array, action: Array) -> tuple[Array, Array]:
        """V(z, ln π) and A(z, a), `[N]`."""
        value = self.value(jnp.concatenate([z, log_policy], -1))
        done = jax.nn.one_hot(action, self.actions)
        return value[..., 0], self.advantage(jnp.concatenate([z, done], -1))[..., 0]

    def whole(self, observation: Tree, layers: tuple, read: Array, noise: Array) -> Any:
        """Everything once, for `init`."""
        z, *_ = self.infer(self.encode(observation), outputs_of(layers), read, noise)
        action = jnp.zeros(len(z), jnp.int32)
        log_policy = jnp.zeros((len(z), self.actions))
        return self.recur(layers, z, action, read), self.decode(z), self.returns(z, log_policy, action)


class MemoryPolicy(nn.Module):
    """The policy, θ: an LSTM of its own that reads the memory and does not write to it."""

    actions: int
    latent: int = 200
    lstm: tuple[int, ...] = (256, 256)
    keys: int = 1
    width: int = 200

    def setup(self) -> None:
        """The parts."""
        self.core = DeepLSTM(self.lstm)
        self.queries = nn.Dense(self.keys * (2 * self.latent + 1), kernel_init=orthogonal())
        self.logits = nn.Sequential(
            [MLP((self.width,), jnp.tanh), nn.Dense(self.actions, kernel_init=orthogonal(0.01))]
        )

    def recur(self, layers: tuple, z: Array, read: Array, rows: Array) -> tuple[tuple, Array, Array]:
        """The layers after m̃_{t-1} and z_t, what is read now from rows `[B, N, 2 Z]`, and the features of `head`."""
        layers, h = self.core(layers, jnp.concatenate([z, read], -1))
        read, _ = memory.read(rows, *memory.split_keys(self.queries(h), self.keys))
        return layers, read, jnp.concatenate([z, h, read], -1)

    def head(self, features: Array) -> Categorical:
        """π from `[z, h̃, m̃]`."""
        return Categorical(self.logits(features))

    def whole(self, layers: tuple, z: Array, read: Array, rows: Array) -> Categorical:
        """Everything once, for `init`."""
        return self.head(self.recur(layers, z, read, rows)[2])
