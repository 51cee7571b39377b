"""What an agent holds the starts of episodes to be worth: beside the returns, it tells whether values are too high."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep
from envs import parallel

ROWS = 64
"""Windows of a sample that are looked at, of which few open an episode."""
KEPT = 0.99
"""What is kept of the running mean with each update."""


class Valued(NamedTuple):
    """An agent's state, and a sum of values with the sum of their weights."""

    inner: Any
    total: Array
    weight: Array


def told(agent: Agent, value: Callable[[Any, TimeStep], Array]) -> Agent:
    """The agent, which tells `start_value`: a running mean of what it holds rows that open an episode to be worth.

    It is in units of the rewards that the agent learns from, and 0 until such a row was in a sample.

    Args:
      agent: any that learns from windows.
      value: `(state, timestep[1, N]) -> [1, N]`.
    """

    def init(key: Key, timestep: TimeStep) -> Valued:
        return Valued(agent.init(key, timestep), jnp.float32(0), jnp.float32(0))

    def update(state: Valued, key: Key, sample: Sample) -> tuple[Valued, Info]:
        opening = jax.tree.map(lambda x: x[:1, :ROWS], sample.steps.timestep)
        values = value(state.inner, opening)
        sums = parallel.total((jnp.sum(jnp.where(opening.first(), values, 0.0)), jnp.sum(opening.first())))
        total, weight = (KEPT * old + new for old, new in zip((state.total, state.weight), sums, strict=True))
        inner, info = agent.update(state.inner, key, sample)
        metrics = {**info.metrics, "start_value": total / jnp.maximum(weight, 1e-6)}
        return Valued(inner, total, weight), info._replace(metrics=metrics)

    return agent._replace(init=init, actor=lambda state: agent.actor(state.inner), update=update)
