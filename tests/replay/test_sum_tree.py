from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replay import sum_tree

SIZES = (1, 5, 8, 9, 70, 600)
UPDATE, FIND = jax.jit(sum_tree.update), jax.jit(sum_tree.find)
DRAWS = 32


def assert_sums(tree: sum_tree.Tree) -> None:
    """Every node is the sum of its children, and nodes that have none are 0."""
    for below, level in pairwise(tree):
        nodes = np.asarray(level).reshape(-1)
        np.testing.assert_allclose(nodes[: below.shape[0]], np.sum(np.asarray(below, np.float64), -1), rtol=3e-7)
        assert not np.any(nodes[below.shape[0] :])
    assert tree[-1].shape[0] == 1


@pytest.mark.parametrize("size", SIZES)
def test_updates_are_those_of_a_list(size: int) -> None:
    rng, leaves, tree = np.random.default_rng(size), np.zeros(size, np.float32), sum_tree.init(size)
    for _ in range(6):
        indices = rng.integers(-1, size, 40).astype(np.int32)  # repeats, and some to be skipped
        values = rng.exponential(size=40).astype(np.float32)
        tree = UPDATE(tree, indices, values)
        for i in set(indices[indices >= 0].tolist()):
            leaves[i] = np.max(values[indices == i])
        np.testing.assert_array_equal(sum_tree.get(tree, np.arange(size)), leaves)
        assert not np.any(np.asarray(tree[0]).reshape(-1)[size:])
        assert_sums(tree)
        np.testing.assert_allclose(sum_tree.total(tree), np.sum(leaves, dtype=np.float64), rtol=1e-6)
    for built, updated in zip(sum_tree.build(jnp.asarray(leaves)), tree, strict=True):
        np.testing.assert_allclose(built, updated, rtol=3e-7)


def test_the_total_does_not_drift() -> None:
    """What remains after large numbers came and went is exact; adding differences would leave their rounding errors."""
    tree = UPDATE(sum_tree.init(600), np.array([3, 599], np.int32), np.array([1.0, 2.0], np.float32))
    indices = np.arange(100, 140, dtype=np.int32)
    for value in (1e7 / 3, 0.1, 12345.678, 0.0):
        tree = UPDATE(tree, indices, np.full(40, value, np.float32))
    assert sum_tree.total(tree) == 3.0


@pytest.mark.parametrize("size", SIZES)
def test_find_inverts_the_cumulative_sum(size: int) -> None:
    leaves = np.random.default_rng(size).integers(0, 4, size).astype(np.float32)
    leaves[size // 2] = 2
    cumulative = np.cumsum(leaves)
    tree = sum_tree.build(jnp.asarray(leaves))
    mass = np.arange(0, cumulative[-1], 0.25, dtype=np.float32)  # exact, edges included
    np.testing.assert_array_equal(FIND(tree, mass), np.searchsorted(cumulative, mass, side="right"))


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(seed=st.integers(0, 10_000), held=st.sampled_from([1, 2, 30, 300]), spread=st.sampled_from([1.0, 20.0, 60.0]))
def test_leaves_of_zero_are_never_found(seed: int, held: int, spread: float) -> None:
    rng = np.random.default_rng(seed)
    leaves = np.zeros(600, np.float32)
    leaves[rng.choice(600, held, replace=False)] = np.exp(rng.uniform(-spread, 0, held))
    tree = sum_tree.build(jnp.asarray(leaves))
    total = np.asarray(sum_tree.total(tree))
    edges = np.cumsum(leaves)[rng.integers(0, 600, DRAWS)]  # where rounding decides
    special = np.array([0, total, np.nextafter(total, np.float32(np.inf)), 1.1 * total], np.float32)
    mass = np.concatenate([np.nextafter(edges, np.float32(0)), edges, special])
    assert np.all(leaves[FIND(tree, mass)] > 0)


def test_an_empty_tree_gives_something_in_bounds() -> None:
    found = FIND(sum_tree.init(70), np.zeros(3, np.float32))
    assert np.all((found >= 0) & (found < 70))


def test_vmapped_trees_equal_single_ones() -> None:
    rng = np.random.default_rng(0)
    leaves = jnp.asarray(rng.exponential(size=(3, 600)), jnp.float32)
    indices, values = rng.integers(0, 600, (3, 20)).astype(np.int32), rng.exponential(size=(3, 20)).astype(np.float32)
    mass = rng.uniform(size=(3, DRAWS)).astype(np.float32) * 500

    def both(leaves: jax.Array, indices: jax.Array, values: jax.Array, mass: jax.Array) -> tuple:
        tree = sum_tree.update(sum_tree.build(leaves), indices, values)
        return tree[0], sum_tree.find(tree, mass)

    alone, together = jax.jit(both), jax.jit(jax.vmap(both))(leaves, indices, values, mass)
    for s in range(3):
        single = alone(leaves[s], indices[s], values[s], mass[s])
        jax.tree.map(lambda x, y, s=s: np.testing.assert_array_equal(x[s], y), together, single)
