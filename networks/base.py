"""What agents take as a network: three pure functions, feed-forward and recurrent alike."""

from collections.abc import Callable
from typing import Any, NamedTuple

from envs.base import Array, Key, Tree


class Network(NamedTuple):
    """A function approximator over windows of time."""

    init: Callable[[Key, Tree], Any]
    """`(key, observation[B, ...]) -> params`."""

    apply: Callable[[Any, Key | None, Any, Tree, Array], tuple[Any, Any]]
    """`(params, key, carry[B], observation[T, B, ...], first[T, B]) -> (output[T, B, ...], carry[B])`. The key feeds
    noisy layers and sampled quantiles, other networks ignore it; None is for no noise and evenly spaced quantiles.
    Memory is reset on rows where `first`."""

    begin: Callable[[int], Any]
    """`(B) -> carry`: `()` for a feed-forward network."""
