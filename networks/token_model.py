"""A transformer that goes on with frames of tokens and actions: the world model of IRIS.

Micheli, Alonso and Fleuret, "Transformers are sample-efficient world models", ICLR 2023. A step is the L tokens of a
frame and one of the action: what follows a token of a frame is the next one, what follows the action the first of the
next frame, and the action's token also tells the reward's sign and whether the episode ends.
"""

from typing import NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from envs.base import Array
from networks.transformer import INIT, Cache, Transformer, fresh_cache


class Foretold(NamedTuple):
    """Logits of what follows tokens."""

    token: Array  # [B, M, kinds]
    reward: Array  # [B, M, 3], of the signs -1, 0 and 1
    end: Array  # [B, M, 2], of going on and of ending


class TokenModel(nn.Module):
    """Frames and actions to what follows; see `Foretold`."""

    number: int  # L
    kinds: int
    actions: int
    steps: int  # of a sequence at most
    width: int = 64
    layers: int = 2
    heads: int = 2
    told: bool = True
    """Whether the token of the action says which; without, as an ablation, it is the same for all."""

    def setup(self) -> None:
        """The parts."""
        self.frame_tokens = nn.Embed(self.kinds, self.width, embedding_init=INIT)
        self.action_tokens = nn.Embed(self.actions, self.width, embedding_init=INIT)
        positions = self.steps * (self.number + 1)
        self.body = Transformer(self.layers, self.heads, positions=positions)
        self.token_head = nn.Dense(self.kinds, kernel_init=INIT)
        self.reward_head = nn.Dense(3, kernel_init=INIT)
        self.end_head = nn.Dense(2, kernel_init=INIT)

    def __call__(self, frames: Array, actions: Array) -> Foretold:
        """Frames int32 `[B, F, L]` and the actions after them `[B, F]`; the result is `[B, F, L + 1, ...]`."""
        batch, steps = actions.shape
        each = jnp.concatenate([self.frame_tokens(frames), self.named(actions)[:, :, None]], 2)
        out, _ = self.body(each.reshape((batch, steps * (self.number + 1), self.width)))
        out = out.reshape((batch, steps, self.number + 1, self.width))
        return Foretold(self.token_head(out), self.reward_head(out), self.end_head(out))

    def named(self, actions: Array) -> Array:
        """The tokens of actions, `[...] -> [..., width]`."""
        return self.action_tokens(actions if self.told else jnp.zeros_like(actions))

    def seen(self, cache: Cache, tokens: Array) -> tuple[Foretold, Cache]:
        """Goes on with tokens of a frame, int32 `[B, M]`."""
        return self._on(cache, self.frame_tokens(tokens))

    def done(self, cache: Cache, action: Array) -> tuple[Foretold, Cache]:
        """Goes on with an action, int32 `[B]`."""
        return self._on(cache, self.named(action)[:, None])

    def _on(self, cache: Cache, x: Array) -> tuple[Foretold, Cache]:
        out, after = self.body(x, cache=cache)
        assert after is not None
        return Foretold(self.token_head(out), self.reward_head(out), self.end_head(out)), after

    def fresh(self, batch: int) -> Cache:
        """A cache for whole sequences of so many lanes."""
        return fresh_cache(self.layers, batch, self.steps * (self.number + 1), self.width, self.heads)
