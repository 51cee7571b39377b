"""Auxiliary losses beside an agent's own: they shape the features that it shares with them.

A task is a function `(output[T+1, N], steps[T+1, N]) -> {name: loss[T, N]}` of what a network says of a window, and a
dict of scales weighs what it returns; so tasks are joined by joining dicts, and one is switched off by the scale 0.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import a2c, memory, parallel
from agents.base import Agent, Array, Info, Key, Sample, Step, TimeStep, valid
from networks.base import Network

Tasks = Callable[[Any, Step], Mapping[str, Array]]


class State(NamedTuple):
    """An agent's state and the optimiser of the auxiliary losses."""

    inner: Any
    optimiser: Any

    @property
    def params(self) -> Any:
        """What both learn."""
        return self.inner.params


def attached(
    agent: Agent,
    network: Network,
    optimiser: optax.GradientTransformation,
    tasks: Tasks,
    scales: Mapping[str, float | Array],
    replayed: int = 0,
) -> Agent:
    """The agent, each of whose updates is followed by a gradient step on Σ scale · loss, in the same parameters.

    Args:
      agent: any whose state has `params`, made with (a `networks.view` of) the network.
      network: with heads for the tasks.
      optimiser: an `agents.optimisers` chain.
      tasks: per-step losses by name.
      scales: the weight of each.
      replayed: the last lanes of a sample, from a replay that stands `beside` the agent's, are for the tasks alone and
        the others for the agent alone; 0 gives every lane to both.
    """

    def init(key: Key, timestep: TimeStep) -> State:
        inner = agent.init(key, timestep)
        return State(inner, optimiser.init(inner.params))

    def loss(params: Any, key: Key, steps: Step) -> tuple[Array, dict[str, Array]]:
        each = tasks(memory.unroll(network, params, key, steps), steps)
        means = {name: parallel.masked_mean(x, valid(steps)) for name, x in each.items()}
        return sum((scales[name] * x for name, x in means.items()), jnp.float32(0)), means

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        k_agent, k_tasks = jax.random.split(key)
        own = others = sample.steps
        if replayed:
            own = jax.tree.map(lambda x: x[:, :-replayed], sample.steps)
            others = jax.tree.map(lambda x: x[:, -replayed:], sample.steps)
        inner, info = agent.update(state.inner, k_agent, sample._replace(steps=own))
        after, means = a2c.descend(optimiser, loss, a2c.State(inner.params, state.optimiser), k_tasks, others)
        state = State(inner._replace(params=after.params), after.optimiser)
        return state, info._replace(metrics={**info.metrics, **means})

    return Agent(init, lambda state: agent.actor(state.inner), agent.begin, agent.act, update)
