"""Wrappers of what an agent observes: normalised, as floats, or with what it did last."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, select, valid
from agents.common.moments import Measured, Moments, fresh_moments, merge, variance
from envs.base import Box, Discrete, Space, byte_scale


def passes(space: Space) -> bool:
    """Whether observations of a space reach the network as they are: numbers to be one-hot, and images.

    Images are bytes of rank 2 or more; networks scale them.
    """
    return isinstance(space, Discrete) or (np.dtype(space.dtype) == np.uint8 and len(space.shape) >= 2)


def standardised(observation: Tree, space: Any, moments: Moments, clip: float, least: float = 1e-4) -> Tree:
    """Observations less their mean, over their standard deviation, clipped to ±`clip`; what `passes` stays untouched.

    Args:
      observation: `[..., *shape]`, or a tree of such.
      space: a Space or a tree of them.
      moments: of single observations.
      clip: as above.
      least: is added to the standard deviation in squares, for what hardly varies.
    """

    def scale(space: Space, x: Array, mean: Array, var: Array) -> Array:
        if passes(space):
            return x
        lead = (1,) * (x.ndim - mean.ndim)
        mean, var = mean.reshape(lead + mean.shape), var.reshape(lead + var.shape)
        return jnp.clip((x - mean) * jax.lax.rsqrt(var + least**2), -clip, clip)

    return jax.tree.map(scale, space, observation, moments.mean, variance(moments), is_leaf=_is_space)


def normalise_observations(agent: Agent, space: Any, clip: float = 10.0, least: float = 1e-4) -> Agent:
    """The inner agent sees observations with running mean 0 and variance 1, clipped to ±`clip`.

    Discrete observations and images (`passes`) stay untouched; all other boxes, whole numbers and vectors of bytes
    among them, become such floats. Statistics are of what is learned from, relabelled or not. What hardly varies is
    divided by `least`, which is added to the standard deviation in squares.

    Args:
      agent: any.
      space: of the task's observations, a Space or a tree of them.
      clip: as above.
      least: as above.
    """

    def see(moments: Moments, timestep: TimeStep) -> TimeStep:
        return timestep._replace(observation=standardised(timestep.observation, space, moments, clip, least))

    def init(key: Key, timestep: TimeStep) -> Measured:
        moments = fresh_moments(jax.tree.map(lambda x: x[0], timestep.observation))
        return Measured(agent.init(key, see(moments, timestep)), moments)

    def actor(state: Measured) -> Measured:
        return Measured(agent.actor(state.inner), state.moments)

    def act(actor: Measured, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor.inner, key, carry, see(actor.moments, timestep), explore)

    def update(state: Measured, key: Key, sample: Sample) -> tuple[Measured, Info]:
        steps = sample.steps
        seen = steps._replace(timestep=see(state.moments, steps.timestep))
        inner, info = agent.update(state.inner, key, sample._replace(steps=seen))
        new = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        return Measured(inner, merge(state.moments, new, jnp.ones_like(valid(steps)))), info

    return agent._replace(init=init, actor=actor, act=act, update=update)


class Known(NamedTuple):
    """The state or the actor of `normalise_by`."""

    inner: Any
    mean: Tree
    std: Tree


def normalise_by(agent: Agent, space: Any, mean: Tree, std: Tree, least: float = 1e-3) -> Agent:
    """The inner agent sees (x - mean) / (std + `least`), by statistics of a dataset that never change.

    They are kept in the state, so that a policy is played as it was learned where the dataset is not at hand. Discrete
    observations and images (`passes`) stay untouched.

    Args:
      agent: any.
      space: of the task's observations, a Space or a tree of them.
      mean: of single observations, a tree like `space` (`replay.Facts`).
      std: their standard deviation.
      least: is added to the standard deviation.
    """

    def see(known: Known, timestep: TimeStep) -> TimeStep:
        def scale(space: Space, x: Array, mean: Array, std: Array) -> Array:
            if passes(space):
                return x
            lead = (1,) * (x.ndim - mean.ndim)
            return (x - mean.reshape(lead + mean.shape)) / (std.reshape(lead + std.shape) + least)

        seen = jax.tree.map(scale, space, timestep.observation, known.mean, known.std, is_leaf=_is_space)
        return timestep._replace(observation=seen)

    def init(key: Key, timestep: TimeStep) -> Known:
        known = Known((), *jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), (mean, std)))
        return known._replace(inner=agent.init(key, see(known, timestep)))

    def actor(state: Known) -> Known:
        return state._replace(inner=agent.actor(state.inner))

    def act(actor: Known, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor.inner, key, carry, see(actor, timestep), explore)

    def update(state: Known, key: Key, sample: Sample) -> tuple[Known, Info]:
        steps = sample.steps
        seen = steps._replace(timestep=see(state, steps.timestep))
        inner, info = agent.update(state.inner, key, sample._replace(steps=seen))
        return state._replace(inner=inner), info

    return agent._replace(init=init, actor=actor, act=act, update=update)


def as_floats(agent: Agent, space: Box) -> Agent:
    """The inner agent sees whole numbers as floats, bytes in [0, 1]: for models, which predict no whole numbers.

    Args:
      agent: built for observations `Box(space.shape)`.
      space: of the task's observations.
    """
    if np.dtype(space.dtype).kind == "f":
        return agent
    scale = np.asarray(byte_scale(space), np.float32)

    def see(timestep: TimeStep) -> TimeStep:
        x = timestep.observation
        return timestep._replace(
            observation=x.astype(jnp.float32) / scale.reshape((1,) * (x.ndim - scale.ndim) + scale.shape)
        )

    return seeing(agent, see)


def seeing(agent: Agent, see: Callable[[TimeStep], TimeStep]) -> Agent:
    """The agent, which sees `see(timestep)` of every row alike."""

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor, key, carry, see(timestep), explore)

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        steps = sample.steps
        return agent.update(state, key, sample._replace(steps=steps._replace(timestep=see(steps.timestep))))

    return agent._replace(init=lambda key, timestep: agent.init(key, see(timestep)), act=act, update=update)


def untold(agent: Agent, names: Sequence[str]) -> Agent:
    """The agent, to which entries of its observations, a dict, are 0: an ablation of what a trial tells."""
    if not names:
        return agent

    def see(timestep: TimeStep) -> TimeStep:
        shown = dict(timestep.observation)
        for name in names:
            shown[name] = jnp.zeros_like(shown[name])
        return timestep._replace(observation=shown)

    return seeing(agent, see)


class Recalled(NamedTuple):
    """The memory of `recall`: the inner agent's, and what each lane did last."""

    inner: Any
    action: Array  # [B, ...]


def recall(agent: Agent, actions: Space) -> Agent:
    """The inner agent also observes what it did last and the reward that came of it, as R2D2's network does.

    Its observation is a dict: the entries of the timestep's if that is a dict, else `observation`; `last_action`
    (one-hot if Discrete, and 0 where an episode starts) and `last_reward` [1]. `recalled` is its space.

    Args:
      agent: any; wrappers that rewrite rewards go inside, so that acting and learning see the same ones.
      actions: the task's.
    """

    def see(timestep: TimeStep, last: Array) -> TimeStep:
        own = timestep.observation if isinstance(timestep.observation, dict) else {"observation": timestep.observation}
        done = jax.nn.one_hot(last, actions.num) if isinstance(actions, Discrete) else last.astype(jnp.float32)
        told = {"last_action": select(timestep.first(), jnp.zeros_like(done), done)}
        return timestep._replace(observation={**own, **told, "last_reward": timestep.reward[..., None]})

    def begin(batch: int) -> Recalled:
        return Recalled(agent.begin(batch), jnp.zeros((batch, *actions.shape), actions.dtype))

    def init(key: Key, timestep: TimeStep) -> Any:
        return agent.init(key, see(timestep, begin(timestep.reward.shape[0]).action))

    def act(actor: Any, key: Key, carry: Recalled, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        action, inner, extras = agent.act(actor, key, carry.inner, see(timestep, carry.action), explore)
        return action, Recalled(inner, action), {**extras, "last_action": carry.action}

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        extras = dict(sample.steps.extras)
        timestep = see(sample.steps.timestep, extras.pop("last_action"))
        return agent.update(state, key, sample._replace(steps=sample.steps._replace(timestep=timestep, extras=extras)))

    return Agent(init, agent.actor, begin, act, update, lambda carry: agent.stored(carry.inner))


def recalled(observation: Any, actions: Space) -> dict[str, Space]:
    """The space of what an agent inside `recall` observes, from the task's spaces; to build its network from."""
    own = observation if isinstance(observation, dict) else {"observation": observation}
    shape = (actions.num,) if isinstance(actions, Discrete) else actions.shape
    return {**own, "last_action": Box(shape), "last_reward": Box((1,))}


def _is_space(x: Any) -> bool:
    return isinstance(x, Discrete | Box)
