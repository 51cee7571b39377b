"""A world model: encoder, recurrent state-space model, decoder, and heads of reward and of what continues."""

import flax.linen as nn
import jax.numpy as jnp

from envs.base import Array, Key, Tree
from networks.predictor import Modality
from networks.world.coders import Decoder, Encoder, restored
from networks.world.heads import Head
from networks.world.latents import Classes, Normal
from networks.world.rssm import RSSM, Latent
from networks.world.style import Style


class World(nn.Module):
    """All parts of the model, to be applied by method; agents unroll it (`agents.world.dreams`)."""

    modalities: tuple[Modality, ...]
    rssm: RSSM
    rewards: int = 255
    """Numbers that tell a reward: bins of a distribution, or 1."""
    units: int = 64
    layers: int = 3
    """Of encoder and decoder; the heads have fewer."""
    head_layers: int = 1
    channels: int = 4
    symlog: bool = True
    style: Style = Style()

    def setup(self) -> None:
        """The parts."""
        sizes = (self.units, self.layers, self.channels)
        self.encoder = Encoder(self.modalities, *sizes, self.symlog, self.style)
        self.decoder = Decoder(self.modalities, *sizes, self.style)
        zero = 0.0 if self.rewards > 1 else 1.0
        self.of_reward = Head(self.rewards, self.units, self.head_layers, self.style, zero)
        self.of_discount = Head(1, self.units, self.head_layers, self.style)

    def encode(self, observation: Tree) -> Array:
        """`[N, ...] -> [N, E]`."""
        return self.encoder(observation)

    def observe(
        self, state: Latent, action: Array, code: Array, first: Array, key: Key | None
    ) -> tuple[Latent, Normal | Classes, Normal | Classes]:
        """One row that is seen: the state `[B]`, posterior and prior.

        Args:
          state: of the row before.
          action: taken from there, `[B, A]`.
          code: of the row, `[B, E]`.
          first: where the row opens an episode, `[B]`.
          key: to draw z with; None for the mode.
        """
        h = self.rssm.recur(state, action, first)
        posterior = self.rssm.posterior(h, code)
        return Latent(h, posterior.sample(key)), posterior, self.rssm.prior(h)

    def imagine(self, state: Latent, action: Array, key: Key | None) -> Latent:
        """One row that is not seen."""
        h = self.rssm.recur(state, action, jnp.zeros(len(action), bool))
        return Latent(h, self.rssm.prior(h).sample(key))

    def decode(self, features: Array) -> dict[str, Array]:
        """`[N, F] -> {name: [N, *event]}`."""
        return self.decoder(features)

    def shown(self, features: Array) -> Tree:
        """The likeliest observation, `[N, ...]`: bytes as numbers in [0, 1], categories as numbers."""
        made = self.decode(features)
        seen = {}
        for m in self.modalities:
            x = made[m.name]
            if m.kind in ("category", "text"):
                seen[m.name] = jnp.argmax(x, -1).astype(jnp.int32)
            elif m.kind == "binary":
                seen[m.name] = (x > 0).astype(jnp.float32)
            else:
                seen[m.name] = restored(x, self.symlog) if m.kind == "vector" else x
        return seen["observation"] if list(seen) == ["observation"] else seen

    def reward(self, features: Array) -> Array:
        """What tells the reward that arrived with the state, `[..., rewards]`."""
        return self.of_reward(features)

    def discount(self, features: Array) -> Array:
        """Logit of the discount that arrived with the state, `[...]`."""
        return self.of_discount(features)[..., 0]

    def whole(self, observation: Tree, action: Array) -> Tree:
        """Everything once, for `init`."""
        lanes = len(action)
        start = self.rssm.begin(lanes)
        state, *_ = self.observe(start, action, self.encode(observation), jnp.ones(lanes, bool), None)
        return self.decode(state.features), self.reward(state.features), self.discount(state.features)
