"""Wrappers of the rewards that an agent learns from: rewritten, clipped or normalised."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, valid
from agents.common.moments import Measured, fresh_moments, merge, variance


def rewards(agent: Agent, rewrite: Callable[[Array], Array]) -> Agent:
    """The inner agent learns from `rewrite(reward)`; acting and the reported returns keep the reward itself."""

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        timestep = sample.steps.timestep
        steps = sample.steps._replace(timestep=timestep._replace(reward=rewrite(timestep.reward)))
        return agent.update(state, key, sample._replace(steps=steps))

    return agent._replace(update=update)


def clip_rewards(agent: Agent, low: float = -1.0, high: float = 1.0) -> Agent:
    """The inner agent learns from rewards clipped to `[low, high]`."""
    return rewards(agent, lambda reward: jnp.clip(reward, low, high))


class Discounted(NamedTuple):
    """The memory of `normalise_rewards`: the inner agent's, and each lane's discounted return so far."""

    inner: Any
    returns: Array  # [B]


def normalise_rewards(agent: Agent, discount: float | Array = 0.99, clip: float = 10.0) -> Agent:
    """The inner agent learns from rewards over the standard deviation of the running discounted return, clipped.

    The mean is not subtracted: it would change the task (Engstrom et al., "Implementation matters in deep RL", 2020).
    """

    def init(key: Key, timestep: TimeStep) -> Measured:
        return Measured(agent.init(key, timestep), fresh_moments(timestep.reward[0]))

    def begin(batch: int) -> Discounted:
        return Discounted(agent.begin(batch), jnp.zeros(batch))

    def act(actor: Any, key: Key, carry: Discounted, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        action, inner, extras = agent.act(actor, key, carry.inner, timestep, explore)
        returns = jnp.where(timestep.first(), 0.0, carry.returns * discount + timestep.reward)
        return action, Discounted(inner, returns), {**extras, "discounted_return": returns}

    def update(state: Measured, key: Key, sample: Sample) -> tuple[Measured, Info]:
        timestep, extras = sample.steps.timestep, dict(sample.steps.extras)
        returns = extras.pop("discounted_return")
        scale = jax.lax.rsqrt(variance(state.moments) + 1e-8)
        reward = jnp.clip(timestep.reward * scale, -clip, clip)
        steps = sample.steps._replace(timestep=timestep._replace(reward=reward), extras=extras)
        inner, info = agent.update(state.inner, key, sample._replace(steps=steps))
        return Measured(inner, merge(state.moments, returns[1:], valid(sample.steps))), info

    stored = lambda carry: agent.stored(carry.inner)  # noqa: E731
    return Agent(init, lambda state: agent.actor(state.inner), begin, act, update, stored)
