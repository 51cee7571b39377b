"""Acting with parameters of some updates ago, as the actors of a distributed learner do."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep


class State(NamedTuple):
    """An agent's state and the actors of its last updates."""

    inner: Any
    past: Any  # actors [lag, ...], the oldest at `updates % lag`
    updates: Array  # int32

    @property
    def params(self) -> Any:
        """What the inner agent learns."""
        return self.inner.params


def lagged(agent: Agent, lag: int) -> Agent:
    """The agent, but it acts as it would have `lag` updates ago; until then, as it did at first.

    A distributed actor is behind its learner by the updates made while it collected a trajectory, and by those of the
    trajectories that wait before its own. Here the distance is fixed, so that it can be studied.

    Args:
      agent: any.
      lag: updates; 0 gives the agent itself.

    Raises:
      ValueError: the lag is negative.
    """
    if lag < 0:
        raise ValueError(f"lag: {lag} must not be negative")
    if lag == 0:
        return agent

    def init(key: Key, timestep: TimeStep) -> State:
        inner = agent.init(key, timestep)
        past = jax.tree.map(lambda x: jnp.repeat(x[None], lag, axis=0), agent.actor(inner))
        return State(inner, past, jnp.int32(0))

    def actor(state: State) -> Any:
        return jax.tree.map(lambda x: x[state.updates % lag], state.past)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        # The actor before this update takes the place of the oldest, which is not needed again.
        now, slot = agent.actor(state.inner), state.updates % lag
        inner, info = agent.update(state.inner, key, sample)
        past = jax.tree.map(lambda x, new: x.at[slot].set(new), state.past, now)
        return State(inner, past, state.updates + 1), info

    return Agent(init, actor, agent.begin, agent.act, update)
