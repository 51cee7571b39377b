"""Wrappers of an agent's continuous actions, whose bounds are those of the task."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Info, Key, Sample, TimeStep
from envs.base import Box


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
