"""What spaces of gymnasium become, and how batches of their elements are converted."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from envs.base import Box, Discrete, MultiDiscrete, Space
from envs.host import finite_or_inf, narrowed

Convert = Callable[[Any], Any]
MOST = 1024
"""Values of one of several whole numbers that are chosen at once."""
SEEN = "a Box, a Discrete, a MultiDiscrete, a MultiBinary, or a Dict or a Tuple of them"


def observed(id: str, gym: Any, space: Any) -> tuple[Any, Convert]:
    """What a space of observations becomes, and the conversion of a batch of its elements.

    Dicts and Tuples, nested or not, become one dict; names of several levels are joined by dots, and places in a Tuple
    are names "0", "1" and so on. A MultiDiscrete becomes the one-hot vectors of its numbers side by side. Entries
    without elements are left out.

    Raises:
      ValueError: another kind of space, two entries of one name, or no element at all.
    """
    leaves = [(path, *_leaf(id, gym, leaf)) for path, leaf in _leaves(gym, space)]
    leaves = [(path, made, convert) for path, made, convert in leaves if math.prod(made.shape)]
    if not leaves:
        raise ValueError(f"gymnasium/{id} observes nothing, {space}; allowed: {SEEN}, with elements")
    if not leaves[0][0]:
        return leaves[0][1:]
    names = [".".join(map(str, path)) for path, *_ in leaves]
    if len(set(names)) < len(names):
        raise ValueError(f"gymnasium/{id} observes {sorted(names)}; allowed: names that differ when joined by dots")

    def convert(batch: Any) -> dict[str, Any]:
        return {name: part(_at(batch, path)) for name, (path, _, part) in zip(names, leaves, strict=True)}

    return {name: made for name, (_, made, _) in zip(names, leaves, strict=True)}, convert


def acted(id: str, gym: Any, space: Any) -> tuple[Space | MultiDiscrete, Callable[[Any, int], np.ndarray]]:
    """The space of actions, and what turns N of them into gymnasium's array.

    A float Box of any shape becomes a vector; a MultiDiscrete, a MultiBinary and a Box of whole numbers become a
    MultiDiscrete, whose numbers count from their lowest values.

    Raises:
      ValueError: another kind of space, one without elements, or more than 1024 values of a whole number.
    """
    known = isinstance(space, gym.spaces.Box | gym.spaces.Discrete | gym.spaces.MultiDiscrete | gym.spaces.MultiBinary)
    made, start = _numbers(gym, space) if known else (None, 0)
    if made is None:
        raise ValueError(
            f"gymnasium/{id} takes actions of {space}; allowed: a Discrete, a float Box, or a MultiDiscrete, a "
            f"MultiBinary or a Box of whole numbers with up to {MOST} values each, with elements"
        )

    def convert(actions: Any, num_envs: int) -> np.ndarray:
        batch = np.array(actions, space.dtype)
        if batch.shape != (num_envs, *made.shape):
            raise ValueError(f"actions have shape {batch.shape}; allowed: {(num_envs, *made.shape)}")
        batch = batch.reshape(num_envs, *space.shape)
        return np.clip(batch, space.low, space.high) if isinstance(made, Box) else batch + start

    return made, convert


def _numbers(gym: Any, space: Any) -> tuple[Space | MultiDiscrete | None, Any]:
    """What a space of actions becomes, None if nothing, and the lowest values of what is counted."""
    if isinstance(space, gym.spaces.Discrete):
        return Discrete(int(space.n)), space.start
    if not math.prod(space.shape):
        return None, 0
    if isinstance(space, gym.spaces.Box) and space.dtype.kind == "f":
        low, high = (finite_or_inf(bound.ravel(), np.float32) for bound in (space.low, space.high))
        return Box(low.shape, low, high), 0
    if isinstance(space, gym.spaces.MultiDiscrete):
        nums, start = space.nvec, space.start
    elif isinstance(space, gym.spaces.MultiBinary):
        nums, start = np.full(space.shape, 2), space.dtype.type(0)
    else:
        nums, start = space.high.astype(object) - space.low.astype(object) + 1, space.low
    nums = tuple(int(n) for n in np.ravel(nums))
    return (MultiDiscrete(nums) if max(nums) <= MOST else None), start


def _leaves(gym: Any, space: Any, path: tuple = ()) -> Iterator[tuple[tuple, Any]]:
    """Paths and spaces of what Dicts and Tuples hold, at any depth."""
    if not isinstance(space, gym.spaces.Dict | gym.spaces.Tuple):
        yield path, space
        return
    parts = space.items() if isinstance(space, gym.spaces.Dict) else enumerate(space)
    for name, part in parts:
        yield from _leaves(gym, part, (*path, name))


def _at(batch: Any, path: tuple) -> Any:
    for name in path:
        batch = batch[name]
    return batch


def _leaf(id: str, gym: Any, space: Any) -> tuple[Space, Convert]:
    spaces = gym.spaces
    if isinstance(space, spaces.Discrete):
        start = int(space.start)
        return Discrete(int(space.n)), lambda batch: (batch - start).astype(np.int32)
    if isinstance(space, spaces.MultiBinary):
        return Box(tuple(space.shape), 0.0, 1.0), lambda batch: batch.astype(np.float32)
    if isinstance(space, spaces.MultiDiscrete):
        tables = [np.eye(n, dtype=np.float32) for n in space.nvec.ravel()]

        def one_hot(batch: Any) -> np.ndarray:
            numbers = (batch - space.start).reshape(-1, len(tables)).T
            return np.concatenate([table[number] for table, number in zip(tables, numbers, strict=True)], -1)

        return Box((int(space.nvec.sum()),), 0.0, 1.0), one_hot
    if isinstance(space, spaces.Box):
        dtype = narrowed(space.dtype, space.low, space.high)
        low, high = finite_or_inf(space.low, dtype), finite_or_inf(space.high, dtype)
        # A copy: a task's own batched implementation may write its next step over what it gave, and JAX reads late.
        return Box(tuple(space.shape), low, high, dtype), lambda batch: np.array(batch, dtype)
    raise ValueError(f"gymnasium/{id} observes a {type(space).__name__}; allowed: {SEEN}")
