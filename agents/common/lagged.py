"""Acting with parameters of some updates ago, as the actors of a distributed learner do."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep


class Actor(NamedTuple):
    """What acts, and what is evaluated."""

    past: Any
    now: Any


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
    """The agent, but it explores as it would have `lag` updates ago; until then, as it did at first.

    Without exploration it acts as it would now: what is evaluated and kept is the learner's policy.

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

    def actor(state: State) -> Actor:
        return Actor(jax.tree.map(lambda x: x[state.updates % lag], state.past), agent.actor(state.inner))

    def act(actor: Actor, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Any, Any, Any]:
        return agent.act(actor.past if explore else actor.now, key, carry, timestep, explore)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        # The actor before this update takes the place of the oldest, which is not needed again.
        now, slot = agent.actor(state.inner), state.updates % lag
        inner, info = agent.update(state.inner, key, sample)
        past = jax.tree.map(lambda x, new: x.at[slot].set(new), state.past, now)
        return State(inner, past, state.updates + 1), info

    return agent._replace(init=init, actor=actor, act=act, update=update)
