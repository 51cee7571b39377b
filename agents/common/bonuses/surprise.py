"""Surprise: Achiam and Sastry, "Surprise-based intrinsic motivation for deep reinforcement learning", 2017.

A model P_φ(x'|x, a), a normal distribution whose mean and deviation have a network each, pays

    surprisal   -ln P_φ(x'|x, a)          progress   ln P_φ(x'|x, a) - ln P_φ'(x'|x, a), with φ' of k updates ago

each over max(1, |mean of the last window's bonuses|), so that their mean is bounded. Surprisal never ends where the
world is random; progress does, since what cannot be learned is in both terms. Each update fits the model by one step
within a trust region: least mean -ln P subject to KL(P_φ ‖ P_φ_before) ≤ κ.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

import networks
from agents import losses
from agents.base import Array, Key, Step, TimeStep, Tree, valid
from agents.common.bonuses.encoders import check_actions, coded, flat
from agents.common.curiosity import Module
from agents.trpo import Region, natural_step, search
from envs import parallel
from envs.base import Spec, blank
from networks.initializers import orthogonal


class Surprised(NamedTuple):
    """The model's parameters as one vector, those of the last k updates, and the scale of bonuses."""

    params: Array  # [P]
    past: Array  # [k, P], the oldest at `updates % k`
    updates: Array  # int32
    mean: Array  # |mean bonus| of the last window


class _Net(nn.Module):
    """Layers with tanh and a linear one that begins close to 0."""

    hidden: tuple[int, ...]
    size: int

    @nn.compact
    def __call__(self, x: Array) -> Array:
        x = networks.MLP(self.hidden, nn.tanh)(x)
        return nn.Dense(self.size, kernel_init=orthogonal(0.01))(x)


def surprise(
    spec: Spec,
    *,
    kind: Literal["surprisal", "progress"] = "progress",
    lag: int = 1,
    hidden: tuple[int, ...] = (64, 64),
    radius: float | Array = 1e-3,
    decay: float | Array = 1.0,
    iterations: int = 10,
    floor: float = 1e-3,
) -> Module:
    """Surprisal, or what was learned in the last `lag` updates.

    The model learns from the windows that the agent learns from; the paper's has a replay of its own.

    Args:
      spec: of the task. Observations are predicted as `encoders.flat` gives them, bytes unscaled.
      kind: what is paid.
      lag: k; with 0 progress is nothing at all.
      hidden: layers of either network, with tanh.
      radius: κ, in nats.
      decay: weight of ½ |φ|² / P beside the mean -ln P, P being the number of parameters.
      iterations: of conjugate gradients.
      floor: least standard deviation, without which surprisal of what is certain has no bound.

    Raises:
      ValueError: a lag below 0, or actions that are neither discrete nor a vector.
    """
    if lag < 0:
        raise ValueError(f"surprise: lag is {lag}; must be at least 0")
    check_actions("surprise", spec.action)
    region = Region(radius=radius, iterations=iterations, slack=1.5, damping=1e-3)

    def inputs(x_tm1: Tree, a_tm1: Array) -> Array:
        return jnp.concatenate([flat(spec.observation, x_tm1), coded(spec.action, a_tm1)], -1)

    def net(size: int) -> "_Net":
        return _Net(hidden, size)

    opening = blank(spec, 1)
    row = inputs(opening.observation, jnp.zeros((1, *spec.action.shape), spec.action.dtype))
    size = flat(spec.observation, opening.observation).shape[-1]

    def fresh(key: Key) -> Any:
        k_mean, k_spread = jax.random.split(key)
        return {"mean": net(size).init(k_mean, row), "spread": net(size).init(k_spread, row)}

    shapes = jax.eval_shape(fresh, jax.random.key(0))
    unravel = ravel_pytree(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes))[1]

    def model(vector: Array, rows: Array) -> tuple[Array, Array]:
        params = unravel(vector)
        mean = jnp.asarray(net(size).apply(params["mean"], rows))
        spread = jnp.asarray(net(size).apply(params["spread"], rows))
        return mean, 2 * jnp.maximum(spread, np.log(floor))

    def surprisal(vector: Array, rows: Array, after: Array) -> Array:
        return losses.surprisal(*model(vector, rows), after)

    def raw(params: Array, past: Array, rows: Array, after: Array) -> Array:
        now = surprisal(params, rows, after)
        return now if kind == "surprisal" else surprisal(past, rows, after) - now

    def init(key: Key, timestep: TimeStep) -> Surprised:
        del timestep
        params, _ = ravel_pytree(fresh(key))
        past = jnp.repeat(params[None], max(lag, 1), axis=0)
        return Surprised(params, past, jnp.int32(0), jnp.float32(1))

    def then(state: Surprised) -> Array:
        return state.past[state.updates % lag] if lag else state.params

    def actor(state: Surprised) -> Any:
        return state.params, then(state), jnp.maximum(1.0, state.mean)

    def bonus(actor: Any, memory: Any, x_tm1: Tree, a_tm1: Array, timestep: TimeStep) -> tuple[Array, Any]:
        params, past, scale = actor
        after = flat(spec.observation, timestep.observation)
        return raw(params, past, inputs(x_tm1, a_tm1), after) / scale, memory

    def update(state: Surprised, key: Key, steps: Step) -> tuple[Surprised, dict[str, Array]]:
        del key
        mask = valid(steps)
        seen = steps.timestep.observation
        rows = inputs(jax.tree.map(lambda x: x[:-1], seen), steps.action[:-1])
        after = flat(spec.observation, jax.tree.map(lambda x: x[1:], seen))
        old, at = model(state.params, rows), state.params

        def loss(vector: Array) -> Array:
            nll = parallel.masked_mean(surprisal(vector, rows, after), mask)
            return nll + 0.5 * decay * jnp.mean(jnp.square(vector))

        def divergence(vector: Array) -> Array:
            return parallel.masked_mean(losses.gaussian_kl(*old, *model(vector, rows)), mask)

        def outcome(part: Array) -> tuple[Array, Array]:
            return parallel.mean((loss(at + part * step), divergence(at + part * step)))

        value, gradient = parallel.mean(jax.value_and_grad(loss)(at))
        step = natural_step(
            -gradient, divergence, at, radius=radius, damping=region.damping, iterations=region.iterations
        )
        part, found = search(outcome, value, region)
        mean = parallel.mean(parallel.masked_mean(raw(at, then(state), rows, after), mask))
        past = state.past.at[state.updates % lag].set(at) if lag else state.past
        metrics = {"bonus_loss": value, "bonus_kl": found["kl"], "bonus_gradient_norm": jnp.linalg.norm(gradient)}
        return Surprised(at + part * step, past, state.updates + 1, jnp.abs(mean)), metrics

    return Module(init, actor, lambda batch: (), bonus, update)
