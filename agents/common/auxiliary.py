"""Auxiliary losses beside an agent's own: they shape the features that it shares with them.

A task is a function `(output[T+1, N], steps[T+1, N]) -> {name: loss[T, N]}` of what a network says of a window, and a
dict of scales weighs what it returns; so tasks are joined by joining dicts, and one is switched off by the scale 0.

The agent's loss and the tasks' are one sum with one gradient step, as in Jaderberg et al. (ICLR 2017): a step of their
own would undo the scales, because Adam and RMSProp divide by the size of what they are given.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents.base import Agent, Array, Info, Key, Sample, Step, valid
from agents.common import recurrence
from envs import parallel
from networks.base import Network

Tasks = Callable[[Any, Step], Mapping[str, Array]]


class Receiving(NamedTuple):
    """An optimiser's state, and a gradient that its next step takes in."""

    pending: Any
    inner: Any


def receiving(optimiser: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimiser, which adds what is `pending` in its state to the next gradient it is given, once."""

    def init(params: Any) -> Receiving:
        return Receiving(jax.tree.map(jnp.zeros_like, params), optimiser.init(params))

    def update(gradients: Any, state: Receiving, params: Any = None, **extra: Any) -> tuple[Any, Receiving]:
        whole, apply = jax.tree.map(jnp.add, gradients, state.pending), optax.with_extra_args_support(optimiser).update
        updates, inner = apply(whole, state.inner, params, **extra)
        return updates, Receiving(jax.tree.map(jnp.zeros_like, state.pending), inner)

    return optax.GradientTransformationExtraArgs(init, update)


def attached(
    make: Callable[[optax.GradientTransformation], Agent],
    network: Network,
    optimiser: optax.GradientTransformation,
    tasks: Tasks,
    scales: Mapping[str, float | Array],
    replayed: int = 0,
) -> Agent:
    """The agent, with Σ scale · loss added to its own loss.

    An agent that takes several gradient steps per update has the tasks in the first of them.

    Args:
      make: from an optimiser to the agent, of (a `networks.view` of) the network; its state has `params` and
        `optimiser`.
      network: with heads for the tasks.
      optimiser: an `agents.common.optimisers` chain.
      tasks: per-step losses by name.
      scales: the weight of each.
      replayed: the last lanes of a sample, from a replay that stands `beside` the agent's, are for the tasks alone and
        the others for the agent alone; 0 gives every lane to both.
    """
    agent = make(receiving(optimiser))

    def loss(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        each = tasks(recurrence.unroll(network, params, key, steps), steps)
        means = {name: parallel.masked_mean(x, valid(steps)) for name, x in each.items()}
        return sum((scales[name] * x for name, x in means.items()), jnp.float32(0)), means

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        k_agent, k_tasks = jax.random.split(key)
        own = others = sample.steps
        if replayed:
            own = jax.tree.map(lambda x: x[:, :-replayed], sample.steps)
            others = jax.tree.map(lambda x: x[:, -replayed:], sample.steps)
        gradients, means = jax.grad(loss, has_aux=True)(state.params, k_tasks, others)
        told = state._replace(optimiser=state.optimiser._replace(pending=gradients))
        state, info = agent.update(told, k_agent, sample._replace(steps=own))
        return state, info._replace(metrics={**info.metrics, **means})

    return agent._replace(update=update)
