"""The Decision Transformer's network: actions from the returns that are still asked for, what was seen and what was
done.

Chen et al., "Decision Transformer: reinforcement learning via sequence modeling", NeurIPS 2021. A row is three tokens
(return to go, observation, action), each embedded linearly with the same learned vector of the time in the episode
added; the action is read from the observation's token, which does not see it.
"""

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import Array, Key, Tree
from networks.base import Network
from networks.transformer import INIT, Transformer, dropped


class DecisionTransformer(nn.Module):
    """Rows `[B, K]` of an episode to what the head makes of each observation's token."""

    torso: nn.Module
    head: nn.Module
    num_actions: int  # 0 for continuous ones
    transformer: Transformer
    width: int = 128
    times: int = 1024
    """How many steps of an episode are told apart; later ones are taken for the last."""
    dropout: float = 0.0

    @nn.compact
    def __call__(self, to_go: Array, observation: Tree, action: Array, time: Array, mask: Array) -> Any:
        """`to_go`, `time` and `mask` are `[B, K]`, the others `[B, K, ...]`; the head's output is `[B, K, ...]`."""
        batch, rows = to_go.shape
        when = nn.Embed(self.times, self.width, embedding_init=INIT)(jnp.clip(time, 0, self.times - 1))
        done = jax.nn.one_hot(action, self.num_actions) if self.num_actions else action
        flat = jax.tree.map(lambda x: x.reshape(batch * rows, *x.shape[2:]), observation)
        seen = self.torso(flat).reshape(batch, rows, -1)
        parts = [nn.Dense(self.width, kernel_init=INIT)(x) + when for x in (to_go[..., None], seen, done)]
        tokens = jnp.stack(parts, axis=2).reshape(batch, 3 * rows, self.width)
        tokens = dropped(self, nn.LayerNorm()(tokens))
        out, _ = self.transformer(tokens, jnp.repeat(mask, 3, axis=1))
        output = self.head(out.reshape(batch * rows, 3, self.width)[:, 1])
        return jax.tree.map(lambda x: x.reshape(batch, rows, *x.shape[1:]), output)


def decision(module: DecisionTransformer) -> Network:
    """The network; its observation is a dict of `to_go`, `observation`, `action`, `time` and `mask`.

    It is applied to windows `[T, B]`, which it takes as one context each.
    """
    turn = lambda tree: jax.tree.map(lambda x: jnp.swapaxes(x, 0, 1), tree)  # noqa: E731

    def init(key: Key, observation: Tree) -> Any:
        return module.init(key, **jax.tree.map(lambda x: x[:, None], observation))["params"]

    def apply(params: Any, key: Key | None, carry: Any, observation: Tree, first: Array) -> tuple[Any, Any]:
        del first
        rngs = {} if key is None else {"noise": key}
        return turn(module.apply({"params": params}, **turn(observation), rngs=rngs)), carry

    return Network(init, apply, lambda batch: ())
