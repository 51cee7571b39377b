"""A task without a task: random observations and no reward, to measure throughput and to smoke-test any agent."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Box, Discrete, Environment, Key, Space, Spec, Tree, episodic

OBSERVATIONS: dict[str, Any] = {
    "vector": Box((8,), -1.0, 1.0),
    "image": Box((84, 84, 4), 0, 255, np.uint8),
    "discrete": Discrete(10),
    "dict": {"goal": Box((2,), -1.0, 1.0), "image": Box((16, 16, 3), 0, 255, np.uint8), "room": Discrete(4)},
}
ACTIONS: dict[str, Space] = {"discrete": Discrete(4), "continuous": Box((3,), -1.0, 1.0)}


def noise(
    observation: Any = "vector", action: Any = "discrete", length: int = 100, geometric: bool = False
) -> Environment:
    """Every observation is drawn anew, uniformly within its bounds; every reward is 0; actions do nothing.

    One random word is drawn per step and spread over the observation by an integer hash: cheap, so that what is
    measured is the agent. It is noise to a network, not to a statistician.

    Args:
      observation: a key of `OBSERVATIONS`, a Space, or a dict of Spaces. Where there is no bound, ±1 is used.
      action: a key of `ACTIONS` or a Space.
      length: steps per episode, at least 1; every episode is truncated there.
      geometric: episodes terminate instead, with probability 1/length at each step, and are never truncated.

    Raises:
      ValueError: for an unknown name or a length below 1.
    """
    space = _named("observation", observation, OBSERVATIONS)
    actions = _named("action", action, ACTIONS)
    if length < 1:
        raise ValueError(f"noise: length must be at least 1, got {length}")
    spec = Spec("noise", space, actions, None if geometric else length)

    def draw(word: Array) -> Tree:
        leaves, structure = jax.tree.flatten(space, is_leaf=lambda x: isinstance(x, Space))
        starts = np.cumsum([0] + [math.prod(leaf.shape) for leaf in leaves[:-1]])
        drawn = [_sample(leaf, word, int(start)) for leaf, start in zip(leaves, starts, strict=True)]
        return jax.tree.unflatten(structure, drawn)

    def transition(key: Key, state: Array, action: Tree) -> tuple[Array, Array, Array]:
        del state, action
        word = jax.random.bits(key, (2,))
        ended = word[1] < np.uint32((2**32 - 1) / length) if geometric else jnp.bool_(False)
        return word[0], jnp.float32(0), ended

    return episodic(jax.random.bits, transition, draw, spec)


def _named(argument: str, value: Any, known: dict[str, Any]) -> Any:
    if not isinstance(value, str):
        return value
    if value not in known:
        raise ValueError(f"noise: {argument} must be a space or one of {', '.join(known)}, got {value!r}")
    return known[value]


def _sample(space: Space, word: Array, start: int) -> Array:
    """Element i hashes `word` and its place `start + i`, so that no two elements are alike."""
    place = np.uint32(start) + np.arange(math.prod(space.shape), dtype=np.uint32)
    mixed = _mix(word + jnp.asarray(place * np.uint32(0x9E3779B9))).reshape(space.shape)
    if isinstance(space, Discrete):
        return (mixed % space.num).astype(jnp.int32)
    if space.dtype == np.uint8:
        return (mixed >> 24).astype(jnp.uint8)
    low, high = (np.broadcast_to(np.clip(bound, -1e9, 1e9), space.shape) for bound in (space.low, space.high))
    low, high = np.where(low <= -1e9, -1.0, low), np.where(high >= 1e9, 1.0, high)
    unit = (mixed >> 8).astype(jnp.float32) / 2**24
    return (jnp.float32(low) + jnp.float32(high - low) * unit).astype(space.dtype)


def _mix(x: Array) -> Array:
    """Spreads the bits of uint32 words (the finaliser of MurmurHash3)."""
    x = (x ^ (x >> 16)) * np.uint32(0x85EBCA6B)
    x = (x ^ (x >> 13)) * np.uint32(0xC2B2AE35)
    return x ^ (x >> 16)
