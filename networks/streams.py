"""Two-stream networks of states and goals: each is embedded on its own, and a dot product joins them.

Schaul, Horgan, Gregor and Silver, "Universal value function approximators", ICML 2015, section 3: with φ(s) and ψ(g) in
R^n, V(s, g) = φ(s) · ψ(g); Q(s, a, g) has a φ for every action. The other architecture of the paper, a network of both
side by side, is a plain `Torso` over the dict.
"""

from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from envs.base import Array, Tree
from networks.torsos import Leaf, Torso, layout

GOAL = "desired_goal"


class Streams(nn.Module):
    """Features of the goal and of the rest of the observation, side by side: a dict to float32 `[..., 2 D]`.

    Raises:
      ValueError: the space is no dict with a `desired_goal` and something else.
    """

    space: Any  # of observations, a dict; kept as items
    sizes: tuple[int, ...] = (64, 64)

    def __post_init__(self) -> None:
        items = self.space.items() if isinstance(self.space, dict) else self.space
        self.space = tuple((name, _frozen(name, space)) for name, space in items)
        names = [name for name, _ in self.space]
        if GOAL not in names or len(names) < 2 or not self.sizes:
            raise ValueError(f"a two-stream network needs {GOAL!r}, something else, and a layer; it has {names}")
        super().__post_init__()

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`{...: [..., *shape]} -> [..., 2 D]`, the state's half first."""
        leaves = tuple(leaf for _, leaf in sorted(self.space))
        goal = tuple(leaf for leaf in leaves if leaf.name == GOAL)
        rest = tuple(leaf for leaf in leaves if leaf.name != GOAL)
        state = Torso(rest, self.sizes, cnn=None, name="state")(observation)
        return jnp.concatenate([state, Torso(goal, self.sizes, cnn=None, name="goal")(observation)], axis=-1)


def _frozen(name: str, space: Any) -> Leaf:
    """What a torso must know of the entry, which can be hashed, as modules' fields must be."""
    return space if isinstance(space, Leaf) else layout({name: space})[0]


class DotProduct(nn.Module):
    """φ · ψ of rank `rank` for each of `outputs`, from the two halves of `Streams`' features."""

    outputs: int
    rank: int = 32

    @nn.compact
    def __call__(self, features: Array) -> Array:
        """`[..., 2 D] -> [..., outputs]`."""
        state, goal = jnp.split(features, 2, axis=-1)
        phi = nn.Dense(self.outputs * self.rank, name="phi")(state)
        psi = nn.Dense(self.rank, name="psi")(goal)
        return jnp.sum(phi.reshape((*phi.shape[:-1], self.outputs, self.rank)) * psi[..., None, :], axis=-1)
