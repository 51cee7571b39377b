"""Models that live in a space of their own: what MuZero plans in."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, Tree
from envs.extremes import greatest, least
from networks.torsos import MLP


def unit_range(x: Array) -> Array:
    """Each vector `[..., D]` shifted and scaled to [0, 1] (MuZero, appendix G)."""
    low, high = least(x, -1)[..., None], greatest(x, -1)[..., None]
    return (x - low) / (high - low + 1e-5)


class PolicyValue(nn.Module):
    """Logits of a policy and of a value over a support, both uniform at first: `[N, D] -> ([N, A], [N, atoms])`."""

    num_actions: int
    atoms: int
    hidden: tuple[int, ...] = ()

    @nn.compact
    def __call__(self, features: Array) -> tuple[Array, Array]:
        """`[N, D] -> ([N, A], [N, atoms])`."""
        policy, value = (MLP(self.hidden)(features) if self.hidden else features for _ in range(2))
        return nn.Dense(self.num_actions, kernel_init=zeros)(policy), nn.Dense(self.atoms, kernel_init=zeros)(value)


class LatentModel(nn.Module):
    """Three functions: an observation to a latent, a latent and an action to the next, a latent to policy and value.

    s⁰ = h(x),  (r^k, s^k) = g(s^{k-1}, a),  (π^k, v^k) = f(s^k), with latents in [0, 1] and what g adds to its input
    as its output. Rewards, values and policy are logits, and uniform at first.
    """

    torso: nn.Module  # observation[N] -> [N, D]
    num_actions: int
    atoms: int
    width: int = 64  # of a latent
    hidden: tuple[int, ...] = (64,)
    squash: Callable[[Array], Array] = unit_range

    def setup(self) -> None:
        """The parts."""
        self.encoder = nn.Dense(self.width)
        self.moved = MLP((*self.hidden, self.width), activate_final=False)
        self.paid = nn.Sequential([MLP(self.hidden), nn.Dense(self.atoms, kernel_init=zeros)])
        self.judged = PolicyValue(self.num_actions, self.atoms, self.hidden)

    def __call__(self, observation: Tree) -> tuple[Array, Array]:
        """All three, so that they have parameters: policy and value after action 0."""
        latent = self.start(observation)
        latent, _ = self.step(latent, jnp.zeros(latent.shape[0], jnp.int32))
        return self.judge(latent)

    def start(self, observation: Tree) -> Array:
        """h: `observation[N] -> [N, width]`."""
        return self.squash(self.encoder(self.torso(observation)))

    def step(self, latent: Array, action: Array) -> tuple[Array, Array]:
        """g: `[N, width], int32 [N] -> [N, width]`, and logits of the reward `[N, atoms]`."""
        x = jnp.concatenate([latent, jax.nn.one_hot(action, self.num_actions)], -1)
        return self.squash(latent + self.moved(x)), self.paid(x)

    def judge(self, latent: Array) -> tuple[Array, Array]:
        """f: `[N, width] -> ([N, A], [N, atoms])`."""
        return self.judged(latent)
