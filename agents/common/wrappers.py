"""Agents around agents: what the inner one sees is normalised, clipped or rewritten; it does not know.

Statistics live in the wrapper's state and change only after an update, so that what was acted on is learned from with
the same scale. Over several devices they are merged exactly.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, select, valid
from agents.common.moments import Moments, fresh_moments, merge, variance
from envs.base import Box, Discrete, Space, byte_scale


class State(NamedTuple):
    """An inner agent's state with the statistics kept around it."""

    inner: Any
    moments: Moments


def _is_space(x: Any) -> bool:
    return isinstance(x, Discrete | Box)


def passes(space: Space) -> bool:
    """Whether observations of a space reach the network as they are: numbers to be one-hot, and images.

    Images are bytes of rank 2 or more; networks scale them.
    """
    return isinstance(space, Discrete) or (np.dtype(space.dtype) == np.uint8 and len(space.shape) >= 2)


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
        def scale(space: Space, x: Array, mean: Array, var: Array) -> Array:
            if passes(space):
                return x
            lead = (1,) * (x.ndim - mean.ndim)
            mean, var = mean.reshape(lead + mean.shape), var.reshape(lead + var.shape)
            return jnp.clip((x - mean) * jax.lax.rsqrt(var + least**2), -clip, clip)

        seen = (timestep.observation, moments.mean, variance(moments))
        return timestep._replace(observation=jax.tree.map(scale, space, *seen, is_leaf=_is_space))

    def init(key: Key, timestep: TimeStep) -> State:
        moments = fresh_moments(jax.tree.map(lambda x: x[0], timestep.observation))
        return State(agent.init(key, see(moments, timestep)), moments)

    def actor(state: State) -> State:
        return State(agent.actor(state.inner), state.moments)

    def act(actor: State, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        return agent.act(actor.inner, key, carry, see(actor.moments, timestep), explore)

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        steps = sample.steps
        seen = steps._replace(timestep=see(state.moments, steps.timestep))
        inner, info = agent.update(state.inner, key, sample._replace(steps=seen))
        new = jax.tree.map(lambda x: x[1:], steps.timestep.observation)
        return State(inner, merge(state.moments, new, jnp.ones_like(valid(steps)))), info

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

    def init(key: Key, timestep: TimeStep) -> State:
        return State(agent.init(key, timestep), fresh_moments(timestep.reward[0]))

    def begin(batch: int) -> Discounted:
        return Discounted(agent.begin(batch), jnp.zeros(batch))

    def act(actor: Any, key: Key, carry: Discounted, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        action, inner, extras = agent.act(actor, key, carry.inner, timestep, explore)
        returns = jnp.where(timestep.first(), 0.0, carry.returns * discount + timestep.reward)
        return action, Discounted(inner, returns), {**extras, "discounted_return": returns}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        timestep, extras = sample.steps.timestep, dict(sample.steps.extras)
        returns = extras.pop("discounted_return")
        scale = jax.lax.rsqrt(variance(state.moments) + 1e-8)
        reward = jnp.clip(timestep.reward * scale, -clip, clip)
        steps = sample.steps._replace(timestep=timestep._replace(reward=reward), extras=extras)
        inner, info = agent.update(state.inner, key, sample._replace(steps=steps))
        return State(inner, merge(state.moments, returns[1:], valid(sample.steps))), info

    stored = lambda carry: agent.stored(carry.inner)  # noqa: E731
    return Agent(init, lambda state: agent.actor(state.inner), begin, act, update, stored)


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


def unit_actions(agent: Agent, space: Box) -> Agent:
    """The inner agent acts in [-1, 1], the outer one between the bounds of the task's actions.

    Raises:
      ValueError: the bounds are not finite, or not low < high.
    """
    low, high = _bounds(space)
    if not (np.isfinite(low).all() and np.isfinite(high).all() and (low < high).all()):
        raise ValueError(f"actions between {space.low} and {space.high}: needs finite bounds, low < high")
    return _mapped_actions(agent, (low + high) / 2, (high - low) / 2, lambda action: jnp.clip(action, -1.0, 1.0))


def centred_actions(agent: Agent, space: Box) -> Agent:
    """The inner agent's 0 is the middle of the task's bounds, and its 1 half their width: for unbounded policies.

    Nothing is clipped. Densities are those of the inner action, which differ from the outer one's by a constant.
    Dimensions that are unbounded on a side are left as they are, and so is the agent of a box that is [-1, 1].

    Raises:
      ValueError: not low < high, or 0, where a policy starts, is outside of a dimension that is unbounded on one side.
    """
    check_bounds(space)
    low, high = _bounds(space)
    finite = np.isfinite(low) & np.isfinite(high)
    low, high = np.where(finite, low, np.float32(-1)), np.where(finite, high, np.float32(1))
    if (low == -1).all() and (high == 1).all():
        return agent
    return _mapped_actions(agent, low / 2 + high / 2, high / 2 - low / 2, lambda action: action)


def check_bounds(space: Box) -> None:
    """Refuses actions that `centred_actions` cannot act in.

    Raises:
      ValueError: not low < high, or 0, where a policy starts, is outside of a dimension that is unbounded on one side.
    """
    low, high = _bounds(space)
    finite = np.isfinite(low) & np.isfinite(high)
    if not (low < high).all() or not ((low <= 0) & (high >= 0) | finite).all():
        raise ValueError(f"actions between {space.low} and {space.high}: needs low < high, and 0 within open bounds")


def _bounds(space: Box) -> tuple[np.ndarray, np.ndarray]:
    """float32 `[*shape]`."""
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), space.shape) for bound in (space.low, space.high))
    return low, high


def _mapped_actions(agent: Agent, middle: np.ndarray, half: np.ndarray, known: Callable[[Array], Array]) -> Agent:
    """The agent, whose action a is the task's `middle + half · a`; it learns from `known(a)`."""

    def fit(bound: np.ndarray, x: Array) -> Array:
        return jnp.asarray(bound).reshape((1,) * (x.ndim - bound.ndim) + bound.shape)

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        action, carry, extras = agent.act(actor, key, carry, timestep, explore)
        return fit(middle, action) + fit(half, action) * action, carry, extras

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        action = sample.steps.action
        inner = known((action - fit(middle, action)) / fit(half, action))
        return agent.update(state, key, sample._replace(steps=sample.steps._replace(action=inner)))

    return agent._replace(act=act, update=update)
