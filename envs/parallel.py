"""The one place where an agent meets the device axis.

A data-parallel run maps `Agent.update` over devices under the axis name `AXIS`, each device holding its own lanes and
an identical copy of the parameters. The helpers below reduce over that axis where it is bound and do nothing where it
is not, so an agent is written once and never names a device.

Actors that play for one learner share nothing but the count: `among` tells the code inside which of them it acts for,
so that `index`, `size` and `own_key` number the lanes and keys of all of them; nothing is reduced over actors.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import jax
import jax.numpy as jnp

from envs.base import Array, Tree

AXIS = "devices"

_AMONG: ContextVar[tuple[Array | int, int]] = ContextVar("among", default=(0, 1))


@contextlib.contextmanager
def among(index: Array | int, size: int) -> Iterator[None]:
    """Code inside, outside of a data-parallel axis, acts for actor `index` of `size`; one of one changes nothing."""
    token = _AMONG.set((index, size))
    try:
        yield
    finally:
        _AMONG.reset(token)


def bound() -> bool:
    """Whether the code is being traced under the data-parallel axis."""
    try:
        jax.lax.axis_size(AXIS)
    except NameError:
        return False
    return True


def index() -> Array | int:
    """This device's place along the data-parallel axis, or this actor's among the actors; 0 where there is one."""
    return jax.lax.axis_index(AXIS) if bound() else _AMONG.get()[0] if _AMONG.get()[1] > 1 else 0


def size() -> int:
    """How many devices share the run, or how many actors; 1 where there is one."""
    return jax.lax.axis_size(AXIS) if bound() else _AMONG.get()[1]


def mean(tree: Tree) -> Tree:
    """Mean of every leaf over the devices."""
    return jax.lax.pmean(tree, AXIS) if bound() else tree


def total(tree: Tree) -> Tree:
    """Sum of every leaf over the devices."""
    return jax.lax.psum(tree, AXIS) if bound() else tree


def largest(x: Array) -> Array:
    """Elementwise maximum over the devices."""
    return jax.lax.pmax(x, AXIS) if bound() else x


def own_key(key: Array) -> Array:
    """A key that differs between devices and actors; for acting and sampling, where each must draw its own numbers."""
    return jax.random.fold_in(key, index()) if bound() or size() > 1 else key


def masked_mean(x: Array, mask: Array) -> Array:
    """Mean of `x` where `mask`, such that the mean over devices is the mean over all their entries.

    Args:
      x: any shape.
      mask: broadcastable weights or booleans of the same rank.

    Returns:
      A scalar; 0 if nothing is selected.
    """
    mask = jnp.broadcast_to(mask, x.shape).astype(x.dtype)
    count = mean(jnp.sum(mask))
    return jnp.sum(x * mask) / jnp.maximum(count, 1e-8)
