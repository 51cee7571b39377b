"""How options are followed: what a lane remembers, and when it leaves the option it follows for another."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key


class Carry(NamedTuple):
    """Memory of the lanes, `[B, ...]`."""

    option: Array  # int32, of the last row
    memory: Any = ()  # of the network


def fresh(batch: int, memory: Any = ()) -> Carry:
    """Memory of lanes that have followed nothing yet."""
    return Carry(jnp.zeros(batch, jnp.int32), memory)


def followed(
    key: Key, before: Array, first: Array, stop: Array, chosen: Array, explore: bool = True
) -> tuple[Array, Array]:
    """The option of now, and whether the last one ended on arriving.

    Args:
      key: of the draw.
      before: the option of the last row, int `[B]`.
      first: whether an episode opens, `[B]`: then there is none.
      stop: probabilities that each option ends here, `[B, W]`.
      chosen: the option that is followed where a new one is, int `[B]`.
      explore: draw the end; if not, it comes where it is the likelier.

    Returns:
      int `[B]` and bool `[B]`; an option that opens an episode counts as one that follows an end.
    """
    likely = jnp.take_along_axis(stop, before[:, None], axis=1)[:, 0]
    level = jax.random.uniform(key, before.shape) if explore else 0.5
    stops = first | (likely > level)
    return jnp.where(stops, chosen, before), stops
