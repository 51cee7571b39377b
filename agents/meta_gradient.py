"""Meta-gradients: an agent that learns its own discount and λ while it learns.

Xu, van Hasselt and Silver, "Meta-gradient reinforcement learning", NeurIPS 2018. An update f turns parameters θ into
θ' = θ + f(τ, θ, η) by a rollout τ and numbers η, such as γ and λ. The next rollout τ', played by θ', judges it by
a loss J' with numbers of its own, and η descends

    ∂J'(τ', θ')/∂η = ∂J'/∂θ' · z,        z ← μ z + ∂f(τ, θ, η)/∂η

The derivative of f goes through the optimiser. Each number lies between 0 and 1 and is the sigmoid of what is learned.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.base import Agent, Array, Info, Key, Sample, TimeStep
from agents.common import optimisers
from envs import parallel

MARGIN = 1e-4
"""How far numbers begin from 0 and 1, where a sigmoid has no slope."""


class State(NamedTuple):
    """An agent's state, and what is learned beside it."""

    inner: Any
    meta: Array  # [K], the numbers before the sigmoid, by name in the alphabet's order
    optimiser: Any
    trace: Any  # z, as the parameters, with an axis K behind


def gradient(agent: Agent, state: Any, key: Key, sample: Sample) -> Any:
    """The gradient that an update of one gradient step would descend."""
    seen: list[Any] = []

    def keep(optimiser: Any, gradients: Any, state: Any, params: Any, part: str) -> tuple[Any, Any, dict[str, Any]]:
        seen.append(gradients)
        return params, state, {}

    with optimisers.instead(keep):
        agent.update(state, key, sample)
    (found,) = seen
    return found


def inner_product(slope: Any, trace: Any) -> Array:
    """`[K]`, of a tree and one with an axis K behind, summed over all leaves."""
    each = jax.tree.map(lambda g, z: jnp.tensordot(g, z, axes=g.ndim), slope, trace)
    return jax.tree.reduce(jnp.add, each)


def meta_gradient(
    make: Callable[[Mapping[str, Any]], Agent],
    start: Mapping[str, float | Array],
    judged: Mapping[str, float | Array],
    *,
    learning_rate: float | Array = 1e-3,
    trace: float | Array = 0.0,
    params: Callable[[Any], Any] = lambda state: state.params,
) -> Agent:
    """An agent whose numbers are learned by meta-gradients.

    Args:
      make: numbers by name -> an agent that takes one gradient step per update, whose gradient can be differentiated by
        the numbers (`agents.a2c.a2c(..., through=True)`); learns from rollouts as they are played.
      start: what the numbers begin with, between 0 and 1.
      judged: those of the loss by which the next rollout judges an update.
      learning_rate: of Adam's steps on the numbers before the sigmoid.
      trace: μ.
      params: those of the agent's state.
    """
    names = sorted(start)
    begun = jnp.stack([jnp.clip(jnp.asarray(start[name], jnp.float32), MARGIN, 1 - MARGIN) for name in names])
    judge, optimiser = make(judged), optax.adam(learning_rate)

    def numbers(meta: Array) -> dict[str, Array]:
        return dict(zip(names, jax.nn.sigmoid(meta), strict=True))

    def init(key: Key, timestep: TimeStep) -> State:
        inner, meta = judge.init(key, timestep), jnp.log(begun) - jnp.log1p(-begun)
        still = jax.tree.map(lambda x: jnp.zeros((*x.shape, len(names)), x.dtype), params(inner))
        return State(inner, meta, optimiser.init(meta), still)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        slope = parallel.mean(inner_product(gradient(judge, state.inner, key, sample), state.trace))
        step, opt_state = optimiser.update(slope, state.optimiser, state.meta)
        meta = optax.apply_updates(state.meta, step)

        def stepped(meta: Array) -> tuple[Any, tuple[Any, Info]]:
            inner, info = make(numbers(meta)).update(state.inner, key, sample)
            return params(inner), (inner, info)

        moved, (inner, info) = jax.jacfwd(stepped, has_aux=True)(meta)
        # A parameter without any gradient has a root of 0 in the optimiser's step, and no slope there.
        moved = jax.tree.map(lambda z: jnp.where(jnp.isfinite(z), z, 0.0), moved)
        kept = jax.tree.map(lambda z, new: trace * z + new, state.trace, moved)
        told = {f"meta_{name.rstrip('_')}": x for name, x in numbers(meta).items()}
        told |= {f"meta_gradient_{name.rstrip('_')}": x for name, x in zip(names, slope, strict=True)}
        return State(inner, meta, opt_state, kept), info._replace(metrics={**info.metrics, **told})

    return Agent(init, lambda state: judge.actor(state.inner), judge.begin, judge.act, update, judge.stored)
