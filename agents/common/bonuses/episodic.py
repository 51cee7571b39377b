"""What the episode has not shown yet: the episodic bonus of NGU (Badia et al., "Never give up", ICLR 2020)."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
from agents import losses
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common import optimisers
from agents.common.bonuses.encoders import Head, Modelled
from agents.common.curiosity import Module
from agents.common.moments import Moments, fresh_moments, merge, variance
from envs import parallel
from envs.base import Discrete, Spec


class Episode(NamedTuple):
    """What each lane remembers of its episode, and the running mean of distances to what is near."""

    codes: Array  # [B, capacity, F]
    size: Array  # int32 [B]
    near: Array  # [B]


def episodic(
    spec: Spec,
    optimiser: optax.GradientTransformation,
    *,
    hidden: tuple[int, ...] = (128, 128),
    features: int = 32,
    cnn: str | None = None,
    capacity: int = 256,
    neighbours: int = 10,
    kernel: float = 1e-3,
    closest: float = 8e-3,
    known: float = 8.0,
) -> Module:
    """1 / (√Σ K(φ(x), φ_i) + c) over the nearest states of the episode, in features that an inverse model learns.

    Args:
      spec: of the task; its actions are discrete.
      optimiser: of the inverse model.
      hidden: sizes of layers.
      features: F.
      cnn: convolutions for images, as in `networks.Torso`.
      capacity: states that an episode's memory holds; then the oldest go.
      neighbours: k.
      kernel: ε of the inverse kernel.
      closest: distance, in units of the mean one, below which two states are one.
      known: similarity from which nothing is paid.

    Raises:
      ValueError: the actions are not discrete.
    """
    if not isinstance(spec.action, Discrete):
        raise ValueError(f"episodic: actions are {spec.action}; must be Discrete")
    encoder = Head(networks.Torso(spec.observation, hidden, cnn), (features,))
    inverse = networks.MLP((hidden[-1], spec.action.num), activate_final=False)

    def begin(batch: int) -> Episode:
        return Episode(jnp.zeros((batch, capacity, features)), jnp.zeros(batch, jnp.int32), jnp.ones(batch))

    def init(key: Key, timestep: TimeStep) -> Modelled:
        k_encoder, k_inverse = jax.random.split(key)
        encoding = encoder.init(k_encoder, timestep.observation)
        code = jnp.zeros((timestep.reward.shape[0], 2 * features))
        params = {"encoder": encoding, "inverse": inverse.init(k_inverse, code)}
        return Modelled(params, (), optimiser.init(params))

    def bonus(actor: Any, memory: Episode, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Episode]:
        del x_tm1, a_tm1
        code = jnp.asarray(encoder.apply(actor, timestep.observation))
        size = jnp.where(timestep.first(), 0, memory.size)
        held = jnp.arange(capacity)[None] < size[:, None]
        distance = jnp.sum(jnp.square(memory.codes - code[:, None]), -1)
        nearest = -jax.lax.top_k(-jnp.where(held, distance, jnp.inf), min(neighbours, capacity))[0]
        found = jnp.isfinite(nearest)
        mean = jnp.sum(jnp.where(found, nearest, 0), -1) / jnp.maximum(jnp.sum(found, -1), 1)
        near = jnp.where(jnp.any(found, -1), 0.99 * memory.near + 0.01 * mean, memory.near)
        paid = losses.episodic_bonus(nearest, near, kernel, closest, known)
        lanes = jnp.arange(code.shape[0])
        return paid, Episode(memory.codes.at[lanes, size % capacity].set(code), size + 1, near)

    def update(state: Modelled, key: Key, steps: Step) -> tuple[Modelled, dict[str, Array]]:
        del key

        def loss(params: Any) -> Array:
            code = jnp.asarray(encoder.apply(params["encoder"], steps.timestep.observation))
            logits = jnp.asarray(inverse.apply(params["inverse"], jnp.concatenate([code[:-1], code[1:]], -1)))
            return parallel.masked_mean(losses.inverse_loss(logits, steps.action[:-1]), valid(steps))

        value, gradients = jax.value_and_grad(loss)(state.params)
        params, opt_state, told = optimisers.step(optimiser, gradients, state.optimiser, state.params, "bonus_")
        return state._replace(params=params, optimiser=opt_state), {"inverse_loss": value, **told}

    return Module(init, lambda s: s.params["encoder"], begin, bonus, update, pairs=False)


class Modulated(NamedTuple):
    """The states of two modules, and the moments of the second one's bonuses."""

    inner: Any
    lifelong: Any
    moments: Moments


def modulated(inner: Module, lifelong: Module, most: float = 5.0) -> Module:
    """The bonus of one module times that of another, standardised to mean 1 and kept within [1, `most`].

    So NGU pays for what an episode has not shown yet, and more where nothing like it was ever seen.

    Args:
      inner: the episodic module.
      lifelong: such as `distillation`.
      most: L, the largest factor.
    """

    def init(key: Key, timestep: TimeStep) -> Modulated:
        k_inner, k_lifelong = jax.random.split(key)
        return Modulated(
            inner.init(k_inner, timestep), lifelong.init(k_lifelong, timestep), fresh_moments(jnp.float32(0))
        )

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Tree, timestep: TimeStep) -> tuple[Array, Any]:
        first, second, moments = actor
        paid, own = inner.bonus(first, memory[0], x_tm1, a_tm1, timestep)
        factor, other = lifelong.bonus(second, memory[1], x_tm1, a_tm1, timestep)
        standard = 1 + (factor - moments.mean) * jax.lax.rsqrt(variance(moments) + 1e-8)
        return paid * jnp.clip(standard, 1.0, most), (own, other)

    def measure(state: Modulated, steps: Step) -> Modulated:
        return state._replace(inner=inner.measure(state.inner, steps), lifelong=lifelong.measure(state.lifelong, steps))

    def update(state: Modulated, key: Key, steps: Step) -> tuple[Modulated, dict[str, Array]]:
        k_inner, k_lifelong = jax.random.split(key)
        rows, lanes = steps.timestep.reward.shape
        count = (rows - 1) * lanes
        played = steps.timestep, steps.action
        before, after = (
            jax.tree.map(lambda x, s=s: x[s].reshape((count, *x.shape[2:])), played) for s in (np.s_[:-1], np.s_[1:])
        )
        told, _ = lifelong.bonus(
            lifelong.actor(state.lifelong), lifelong.begin(count), before[0].observation, before[1], after[0]
        )
        moments = merge(state.moments, told.reshape((rows - 1, lanes)), valid(steps))
        first, metrics = inner.update(state.inner, k_inner, steps)
        second, others = lifelong.update(state.lifelong, k_lifelong, steps)
        named = {f"lifelong_{name}": x for name, x in others.items()}
        return Modulated(first, second, moments), {**metrics, **named}

    def actor(state: Modulated) -> Any:
        return inner.actor(state.inner), lifelong.actor(state.lifelong), state.moments

    def begin(batch: int) -> Any:
        return inner.begin(batch), lifelong.begin(batch)

    return Module(init, actor, begin, bonus, update, measure, pairs=inner.pairs or lifelong.pairs)
