"""A latent world model (`networks.world.World`) as agents use it: what it makes of windows, its losses, its dreams.

    observe:  h_t, z_t ~ q(· | h_t, x_t) along a window, and the prior p(· | h_t) of each row
    losses:   -ln p(x_t), -ln p(r_t), -ln p(γ d_t) from (h_t, z_t), and the divergence of posterior and prior
    imagine:  h_t, z_t ~ p(· | h_t) for the actions of a policy

`agents.world.latent_models` has it on the interface of planners and Dyna.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array, Key, TimeStep, Tree
from agents.world.scalars import Scalar
from envs import parallel
from envs.base import Discrete, Space
from networks.predictor import Modality
from networks.world import Classes, Latent, Normal, World
from networks.world.coders import named, target


class Balance(NamedTuple):
    """How posterior and prior are drawn to each other (`agents.losses.balanced_kl`)."""

    dynamics: float | Array = 1.0
    representation: float | Array = 0.1
    free: float | Array = 1.0
    averaged: bool = False
    """Compare the mean over the batch with the free nats, as v1 and v2 do, and not each step."""


class Modelling(NamedTuple):
    """How the model is learned."""

    rewards: Scalar
    discount: float | Array
    """γ, which the head of the discount learns as part of it."""
    balance: Balance = Balance()
    squares: float | Array = 1.0
    """Weight of the squared errors of vectors and images; ½ for normals of unit variance (v1, v2)."""
    ends: float | Array = 1.0
    """Weight of the discount's loss."""


class Seen(NamedTuple):
    """A window that was observed, `[T, N, ...]`."""

    state: Latent
    posterior: Normal | Classes
    prior: Normal | Classes


def call(module: Any, params: Any, *args: Any, method: str = "__call__") -> Any:
    """A method of a flax module."""
    return module.apply({"params": params}, *args, method=method)


def encoded(actions: Space, action: Array) -> Array:
    """Actions as the model reads them, `[..., A]`: one-hot, or numbers that are scaled down where they exceed 1."""
    if isinstance(actions, Discrete):
        return jax.nn.one_hot(action, actions.num)
    return action / jnp.maximum(1.0, jnp.abs(jax.lax.stop_gradient(action)))


def width(actions: Space) -> int:
    """Numbers of an encoded action."""
    return actions.num if isinstance(actions, Discrete) else actions.shape[0]


def split(key: Key | None, num: int) -> Any:
    """Keys, or as many None for the likeliest everywhere."""
    return (None,) * num if key is None else jax.random.split(key, num)


def flat(tree: Tree) -> Tree:
    """`[T, N, ...] -> [T N, ...]`."""
    return jax.tree.map(lambda x: x.reshape((-1, *x.shape[2:])), tree)


def observe(
    world: World, params: Any, key: Key | None, state: Latent, action: Array, observation: Tree, first: Array
) -> Seen:
    """What the model makes of rows `[T, N]`.

    Args:
      world: the module.
      params: its parameters.
      key: to draw latents with; None for their modes.
      state: of the row before the first, `[N]`.
      action: encoded ones that led into each row, `[T, N, A]`.
      observation: of each row.
      first: where a row opens an episode, `[T, N]`.
    """
    code = call(world, params, flat(observation), method="encode").reshape((*first.shape, -1))

    def step(state: Latent, row: tuple) -> tuple[Latent, Seen]:
        action, code, first, key = row
        state, posterior, prior = call(world, params, state, action, code, first, key, method="observe")
        return state, Seen(state, posterior, prior)

    keys = None if key is None else jax.random.split(key, len(first))
    return jax.lax.scan(step, state, (action, code, first, keys))[1]


def terms(world: World, params: Any, how: Modelling, seen: Seen, timestep: TimeStep) -> dict[str, Array]:
    """The losses of rows `[T, N]`, without their weights: reconstruction, reward, ends, and kl with its weights."""
    features = flat(seen.state.features)
    shape = timestep.reward.shape
    made = call(world, params, features, method="decode")
    observation = named(flat(timestep.observation))
    each = [reconstruction(m, made[m.name], observation[m.name], world.symlog, how.squares) for m in world.modalities]
    kl = losses.categorical_kl if isinstance(seen.prior, Classes) else losses.gaussian_kl
    weights = how.balance._asdict()
    mean = (lambda x: parallel.mean(jnp.mean(x))) if weights.pop("averaged") else None
    found = {
        "reconstruction": sum(each[1:], start=each[0]),
        "reward": how.rewards.nll(call(world, params, features, method="reward"), timestep.reward.reshape(-1)),
        "ends": losses.bernoulli_nll(
            call(world, params, features, method="discount"), how.discount * timestep.discount.reshape(-1), 0
        ),
    }
    return {name: x.reshape(shape) for name, x in found.items()} | {
        "kl": losses.balanced_kl(kl, seen.posterior, seen.prior, **weights, mean=mean)
    }


def reconstruction(modality: Modality, output: Array, x: Array, symlog: bool, squares: float | Array) -> Array:
    """What an entry of the observation costs, `[N]`: squared errors, or the cross-entropy of what is a choice."""
    wished = target(modality, x, symlog)
    if modality.kind == "text":
        return losses.text_nll(output, x)
    if modality.kind == "category":
        return losses.categorical_nll(output, wished)
    if modality.kind == "binary":
        return losses.bernoulli_nll(output, wished, len(modality.shape))
    return 2 * squares * losses.unit_gaussian_nll(output, wished, len(modality.shape))


def model_loss(
    world: World, params: Any, how: Modelling, seen: Seen, timestep: TimeStep
) -> tuple[Array, dict[str, Array]]:
    """The weighted mean over rows `[T, N]`, and what is told of it."""
    each = terms(world, params, how, seen, timestep)
    means = {name: parallel.masked_mean(x, jnp.ones_like(x, bool)) for name, x in each.items()}
    scales = {"reconstruction": 1.0, "reward": 1.0, "ends": how.ends, "kl": 1.0}
    total = losses.weighted(means, scales)
    words = {"reconstruction": "reconstruction", "reward": "reward", "ends": "end", "kl": "kl"}
    return total, {"model_loss": total} | {f"{word}_loss": means[name] for name, word in words.items()}


def imagine(
    world: World,
    params: Any,
    key: Key | None,
    state: Latent,
    policy: Callable[[Array], Any],
    actions: Space,
    depth: int,
) -> tuple[Latent, Array]:
    """States of rows 0, ..., depth, `[depth + 1, N]`, and the actions `[depth, N]` taken from all but the last.

    Gradients pass through draws of latents and actions (straight-through where they are discrete), and not into the
    policy through what it reads.

    Args:
      world: the module.
      params: its parameters.
      key: to draw with; None for the likeliest.
      state: row 0.
      policy: from features to a distribution of actions.
      actions: of the task.
      depth: rows to imagine, at least 1.
    """

    def step(state: Latent, key: Key | None) -> tuple[Latent, tuple[Latent, Array]]:
        k_action, k_latent = split(key, 2)
        pi = policy(jax.lax.stop_gradient(state.features))
        action = pi.mode() if k_action is None else pi.sample(k_action)
        done = encoded(actions, action)
        if isinstance(actions, Discrete):
            chance = jax.nn.softmax(pi.logits)
            done = done + (chance - jax.lax.stop_gradient(chance))
        after = call(world, params, state, done, k_latent, method="imagine")
        return after, (after, action)

    keys = None if key is None else jax.random.split(key, depth)
    _, (states, taken) = jax.lax.scan(step, state, keys, depth)
    return jax.tree.map(lambda x, y: jnp.concatenate([x[None], y]), state, states), taken


def discounts(world: World, params: Any, features: Array) -> Array:
    """What the model says of γ times the discount of rows `[..., F]`."""
    return jax.nn.sigmoid(call(world, params, features, method="discount"))
