"""A sum tree: numbers that are drawn in proportion to their size (Schaul et al., ICLR 2016, appendix B.2.1).

The tree is a tuple of levels from the leaves up. A level is `[G, FAN_OUT]`, G groups of siblings, and the sum of group
g is node g of the level above; the last level has one group, whose sum is the total. An update computes every sum that
it touches anew from the children, so rounding errors do not add up, as they do in trees that add differences. All is
float32, so what is drawn with a probability is drawn with it to within about 2^-24 (of 1, not of itself).
"""

from typing import TypeAlias

import jax
import jax.numpy as jnp

from envs.base import Array

FAN_OUT = 8
Tree: TypeAlias = tuple[Array, ...]


def init(size: int) -> Tree:
    """A tree of `size` leaves, all 0."""
    return build(jnp.zeros(size))


def build(leaves: Array) -> Tree:
    """The tree of leaves `[n]`, finite and not negative."""
    levels: list[Array] = []
    while not levels or levels[-1].shape[0] > 1:
        nodes = jnp.sum(levels[-1], axis=-1) if levels else leaves
        levels.append(_groups(nodes, -(-nodes.size // FAN_OUT)))
    return tuple(levels)


def get(tree: Tree, indices: Array) -> Array:
    """The leaves at `indices`, of any shape and in bounds."""
    return _take(tree[0].reshape(-1), indices)


def total(tree: Tree) -> Array:
    """The sum of all leaves."""
    return jnp.sum(tree[-1])


def update(tree: Tree, indices: Array, values: Array) -> Tree:
    """Sets leaves.

    Args:
      tree: the tree.
      indices: int32 `[n]`; negative ones are skipped. Where an index repeats, the largest of its values stays.
      values: `[n]`, finite and not negative.
    """
    leaves = tree[0].reshape(-1)
    # Not a plain set: which of several values that one leaves behind may differ from run to run on a GPU.
    leaves = leaves.at[indices].set(0.0, mode="drop", wrap_negative_indices=False)
    leaves = leaves.at[indices].max(values, mode="drop", wrap_negative_indices=False)
    levels = [leaves.reshape(tree[0].shape)]
    for level in tree[1:]:
        indices, below = indices // FAN_OUT, levels[-1]
        if 4 * indices.size * FAN_OUT < below.size:
            sums = jnp.sum(_take(below, indices), axis=-1)
            nodes = level.reshape(-1).at[indices].set(sums, mode="drop", wrap_negative_indices=False)
        else:  # a pass over the whole level is cheaper than many look-ups
            nodes = jnp.sum(below, axis=-1)
        levels.append(_groups(nodes, level.shape[0]))
    return tuple(levels)


def find(tree: Tree, mass: Array) -> Array:
    """The leaves at given points of the cumulative sum.

    Args:
      tree: the tree.
      mass: `[n]` in [0, total].

    Returns:
      int32 `[n]`: leaf i where `mass` is in [c_i, c_i + leaf i), c_i the sum of the leaves before it. A leaf of 0 is
      never returned unless all are 0, not even where `mass` is the total or rounded beyond a sum.
    """
    node = jnp.zeros(mass.shape, jnp.int32)
    for level in reversed(tree):
        siblings = _take(level, node)
        begins, start, child = (jnp.zeros_like(mass) for _ in range(3))
        for k in range(FAN_OUT):  # one after another, so that a sibling of 0 adds exactly nothing
            inside = (begins <= mass) & (siblings[:, k] > 0)
            start = jnp.where(inside, begins, start)
            child = jnp.where(inside, float(k), child)
            begins = begins + siblings[:, k]
        # One array behind a barrier: or else XLA computes the chain again for each element that the next level takes.
        mass, child = jax.lax.optimization_barrier(jnp.stack([mass - start, child]))
        node = node * FAN_OUT + child.astype(jnp.int32)
    return node


def _groups(nodes: Array, groups: int) -> Array:
    return jnp.pad(nodes, (0, groups * FAN_OUT - nodes.size)).reshape(groups, FAN_OUT)


def _take(x: Array, indices: Array) -> Array:
    return x.at[indices].get(mode="promise_in_bounds", wrap_negative_indices=False)
