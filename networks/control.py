"""The networks of TD-MPC2: latents that are several distributions, and what is predicted of them and of actions."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, Key, Tree
from networks.distributions import TanhGaussian
from networks.initializers import orthogonal
from networks.torsos import MLP


def simplicial(x: Array, group: int = 8) -> Array:
    """SimNorm: each `group` numbers of `[..., D]` become a distribution by a softmax (Hansen et al., 2024, section 3).

    Raises:
      ValueError: `group` does not divide D.
    """
    if x.shape[-1] % group:
        raise ValueError(f"group: {group} must divide the width of a latent, {x.shape[-1]}")
    return jax.nn.softmax(x.reshape((*x.shape[:-1], -1, group))).reshape(x.shape)


class Normed(nn.Module):
    """Dense layers with layer normalisation and Mish, and a linear one: `[..., D] -> [..., outputs]`."""

    hidden: tuple[int, ...]
    outputs: int
    still: bool = False
    """The last layer begins with zeros."""
    level: bool = False
    """What the last layer makes is normalised as well, which a latent is before `simplicial`."""

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """`[..., D] -> [..., outputs]`."""
        init = zeros if self.still else nn.initializers.truncated_normal(0.02)
        y = nn.Dense(self.outputs, kernel_init=init)(MLP(self.hidden, jax.nn.mish, True)(x))
        return nn.LayerNorm()(y) if self.level else y


class Encoder(nn.Module):
    """A torso, a dense layer and the normalisation of latents: `observation[N] -> [N, width]`."""

    torso: nn.Module
    width: int
    squash: Callable[[Array], Array]
    level: bool = True

    @nn.compact
    def __call__(self, observation: Tree) -> Array:
        """`observation[N] -> [N, width]`."""
        y = nn.Dense(self.width)(self.torso(observation))
        return self.squash(nn.LayerNorm()(y) if self.level else y)


class Squashed(nn.Module):
    """A policy of latents, sure of its actions at first: `[N, D] -> TanhGaussian` in [-1, 1]."""

    hidden: tuple[int, ...]
    actions: int
    log_std_bounds: tuple[float, float] = (-10.0, 2.0)

    @nn.compact
    def __call__(self, latent: Array) -> TanhGaussian:
        """`[N, D] -> TanhGaussian`, whose log standard deviation begins in the middle of its bounds."""
        features = MLP(self.hidden, jax.nn.mish, True)(latent)
        mean, spread = jnp.split(nn.Dense(2 * self.actions, kernel_init=orthogonal(0.01))(features), 2, -1)
        low, high = self.log_std_bounds
        ones = jnp.ones_like(mean)
        return TanhGaussian(mean, low + (high - low) / 2 * (jnp.tanh(spread) + 1), -ones, ones)


class Control(NamedTuple):
    """Pure functions of parameters, a dict with `encoder`, `dynamics`, `reward`, `policy` and `critics`."""

    init: Callable[[Key, Tree], dict[str, Any]]
    """`(key, observation[N]) -> params`; those of the critics `[E, ...]`."""
    encode: Callable[[Any, Tree], Array]
    """`(params, observation[N]) -> latent[N, D]`."""
    step: Callable[[Any, Array, Array], Array]
    """`(params, latent[N, D], action[N, A]) -> latent[N, D]`."""
    reward: Callable[[Any, Array, Array], Array]
    """`(params, latent[N, D], action[N, A]) -> logits[N, atoms]`."""
    policy: Callable[[Any, Array], TanhGaussian]
    """`(params, latent[N, D]) -> TanhGaussian [N, A]`."""
    values: Callable[[Any, Array, Array], Array]
    """`(parameters of the critics, latent[N, D], action[N, A]) -> logits[E, N, atoms]`."""


def control(
    torso: nn.Module,
    actions: int,
    atoms: int,
    width: int = 64,
    hidden: tuple[int, ...] = (64, 64),
    critics: int = 5,
    squash: Callable[[Array], Array] = simplicial,
    level: bool = True,
) -> Control:
    """The networks of TD-MPC2.

    Args:
      torso: `observation[N] -> [N, F]`.
      actions: A.
      atoms: of the support of rewards and values, whose logits are equal at first.
      width: D, of a latent.
      hidden: dense layers of each network.
      critics: E.
      squash: what latents go through, `[..., D] -> [..., D]`; SimNorm by default.
      level: latents go through layer normalisation before that.
    """
    encoder, policy = Encoder(torso, width, squash, level), Squashed(hidden, actions)
    dynamics = Normed(hidden, width, level=level)
    reward, critic = Normed(hidden, atoms, True), Normed(hidden, atoms, True)
    join = lambda latent, action: jnp.concatenate([latent, action], -1)  # noqa: E731

    def call(module: nn.Module, params: Any, *args: Any) -> Any:
        return module.apply({"params": params}, *args)

    def init(key: Key, observation: Tree) -> dict[str, Any]:
        k_encoder, k_dynamics, k_reward, k_policy, k_critics = jax.random.split(key, 5)
        params = {"encoder": encoder.init(k_encoder, observation)["params"]}
        latent = call(encoder, params["encoder"], observation)
        pair = join(latent, jnp.zeros((latent.shape[0], actions)))
        params["dynamics"] = dynamics.init(k_dynamics, pair)["params"]
        params["reward"] = reward.init(k_reward, pair)["params"]
        params["policy"] = policy.init(k_policy, latent)["params"]
        params["critics"] = jax.vmap(lambda k: critic.init(k, pair)["params"])(jax.random.split(k_critics, critics))
        return params

    def values(params: Any, latent: Array, action: Array) -> Array:
        made: Any = jax.vmap(lambda p: call(critic, p, join(latent, action)))(params)
        return made

    return Control(
        init,
        lambda p, observation: call(encoder, p["encoder"], observation),
        lambda p, z, a: squash(call(dynamics, p["dynamics"], join(z, a))),
        lambda p, z, a: call(reward, p["reward"], join(z, a)),
        lambda p, z: call(policy, p["policy"], z),
        values,
    )
