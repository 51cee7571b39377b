"""What agents learn from, and how fast."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    from jax.typing import ArrayLike

    from agents.base import Agent, Array
    from envs.base import Spec

    class _Clipping(Protocol):
        """Flags of an agent that can clip rewards."""

        @property
        def clip_rewards(self) -> bool: ...


def linear(start: "float | Array", end: "float | Array", over: "float | Array") -> "Callable[[ArrayLike], Array]":
    """A schedule of the number of updates: from `start` to `end` linearly over `over` updates, then constant."""
    import jax.numpy as jnp

    over = float(over) if isinstance(over, int) else over  # there can be more updates than a 32-bit integer holds

    def part(updates: "ArrayLike") -> "Array":
        return jnp.where(over > 0, jnp.clip(updates / jnp.maximum(over, 1e-9), 0.0, 1.0), 1.0)

    return lambda updates: start + (end - start) * part(updates)


def cosine(start: "float | Array", over: "float | Array") -> "Callable[[ArrayLike], Array]":
    """A schedule of the number of updates: from `start` to 0 along half a cosine over `over` updates."""
    import jax.numpy as jnp

    part = linear(0.0, jnp.pi, over)
    return lambda updates: start * 0.5 * (1 + jnp.cos(part(updates)))


def clipped(agent: "Agent", config: "_Clipping") -> "Agent":
    """The agent, which learns from clipped rewards if the flags say so; not for rewards that are summed before."""
    from agents.common import wrappers

    return wrappers.clip_rewards(agent) if config.clip_rewards else agent


def normalised(agent: "Agent", spec: "Spec", observations: bool, rewards: bool, discount: "float | Array") -> "Agent":
    """The agent behind `agents.common.wrappers`' normalisers that are asked for."""
    from agents.common import wrappers

    agent = wrappers.normalise_rewards(agent, discount) if rewards else agent
    return wrappers.normalise_observations(agent, spec.observation) if observations else agent


def check_bounds(spec: "Spec") -> None:
    """Refuses actions in whose bounds a Gaussian policy cannot start.

    Raises:
      ValueError: the bounds of the task's actions are empty, or open and on one side of 0.
    """
    from agents.common import wrappers
    from envs.base import Box

    try:
        if isinstance(spec.action, Box):
            wrappers.check_bounds(spec.action)
    except ValueError as error:
        raise ValueError(f"--env {spec.name}: {error}") from error


def centred(agent: "Agent", spec: "Spec") -> "Agent":
    """The agent; if actions are a Box, its Gaussian is centred in the bounds and has half their width as its unit."""
    from agents.common import wrappers
    from envs.base import Box

    return wrappers.centred_actions(agent, spec.action) if isinstance(spec.action, Box) else agent
