"""The networks of World Models (Ha and Schmidhuber, 2018): an autoencoder of single frames, and a memory of them.

V makes a latent z of an observation; M is an LSTM on z and the action, and tells the next z by a mixture of normals for
each of its numbers, the reward, and whether the episode goes on.
"""

from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array, Key, Tree
from networks.cores import LSTM
from networks.distributions import Categorical
from networks.predictor import Modality
from networks.world.coders import Decoder, Encoder, named, target
from networks.world.latents import Normal
from networks.world.style import Style

PLAIN = Style("elu", "none")
MEAN, STD = "mean_", "std_"
"""What the names of the statistics of vectors begin with, among the parameters."""


class VAE(nn.Module):
    """V, a variational autoencoder (Kingma and Welling, 2014)."""

    modalities: tuple[Modality, ...]
    latent: int = 32
    units: int = 64
    layers: int = 2
    channels: int = 8

    def setup(self) -> None:
        """The parts."""
        sizes = (self.units, self.layers, self.channels)
        self.encoder = Encoder(self.modalities, *sizes, symlog=False, style=PLAIN)
        self.decoder = Decoder(self.modalities, *sizes, style=PLAIN)
        self.of_latent = nn.Dense(2 * self.latent)
        vectors = self.vectors()
        self.means = {m.name: self.param(MEAN + m.name, nn.initializers.zeros, m.shape) for m in vectors}
        self.stds = {m.name: self.param(STD + m.name, nn.initializers.ones, m.shape) for m in vectors}

    def vectors(self) -> list[Modality]:
        """The entries of observations that are standardised."""
        return [m for m in self.modalities if m.kind == "vector"]

    def scaled(self, observation: Tree) -> dict[str, Array]:
        """The entries of observations `[N, ...]` by name, vectors less their means and by their standard deviations."""
        seen = dict(named(observation))
        for m in self.vectors():
            mean, std = (jax.lax.stop_gradient(of[m.name])[None] for of in (self.means, self.stds))
            seen[m.name] = (target(m, seen[m.name], False) - mean) / (std + 1e-3)
        return seen

    def encode(self, observation: Tree) -> Normal:
        """q(z | x) of observations `[N, ...]`."""
        return Normal(*jnp.split(self.of_latent(self.encoder(self.scaled(observation))), 2, -1))

    def decode(self, z: Array) -> dict[str, Array]:
        """What z `[N, Z]` says of each entry of the observation, as `scaled` has it."""
        return self.decoder(z)

    def whole(self, observation: Tree) -> dict[str, Array]:
        """Everything once, for `init`."""
        return self.decode(self.encode(observation).mean)


def standardised(vision: VAE, params: Tree, observation: Tree) -> Tree:
    """Parameters of V whose statistics of vectors are those of observations `[N, ...]`; no gradient moves them."""
    found = dict(params)
    for m in vision.vectors():
        x = target(m, named(observation)[m.name], False)
        found |= {MEAN + m.name: jnp.mean(x, 0), STD + m.name: jnp.std(x, 0)}
    return found


class Mixture(NamedTuple):
    """A mixture of K normals for each of Z numbers."""

    logits: Array  # [..., Z, K]
    mean: Array  # [..., Z, K]
    log_std: Array  # [..., Z, K]

    def sample(self, key: Key, temperature: float | Array = 1.0) -> Array:
        """A draw `[..., Z]`: of the component by logits / τ, and about its mean with √τ σ."""
        k_component, k_noise = jax.random.split(key)
        hot = jax.nn.one_hot(Categorical(self.logits / temperature).sample(k_component), self.logits.shape[-1])
        mean, std = jnp.sum(hot * self.mean, -1), jnp.sum(hot * jnp.exp(self.log_std), -1)
        return mean + jnp.sqrt(temperature) * std * jax.random.normal(k_noise, mean.shape)


class Foretold(NamedTuple):
    """What M says of the next row, `[...]`."""

    z: Mixture
    reward: Array
    going: Array  # logit


class MixtureMemory(nn.Module):
    """M, a recurrent mixture density network."""

    latent: int = 32
    size: int = 64
    """Of the LSTM."""
    components: int = 5

    def setup(self) -> None:
        """The parts."""
        self.core = LSTM(self.size)
        self.of_mixture = nn.Dense(3 * self.latent * self.components)
        self.of_rest = nn.Dense(2)

    @nn.nowrap
    def begin(self, batch: int) -> tuple[Array, Array]:
        """The LSTM's zeros, `(c, h)`."""
        return (jnp.zeros((batch, self.size)),) * 2

    def __call__(
        self, carry: tuple[Array, Array], z: Array, action: Array, first: Array
    ) -> tuple[tuple[Array, Array], Foretold]:
        """Rows `z[T, N, Z]` and `action[T, N, A]`; the memory is fresh where `first[T, N]`."""
        carry, h = self.core(carry, jnp.concatenate([z, action], -1), first)
        logits, mean, log_std = jnp.split(self.of_mixture(h), 3, -1)
        shape = (*z.shape, self.components)
        rest = self.of_rest(h)
        mixture = Mixture(logits.reshape(shape), mean.reshape(shape), jnp.clip(log_std, -5.0, 3.0).reshape(shape))
        return carry, Foretold(mixture, rest[..., 0], rest[..., 1])
