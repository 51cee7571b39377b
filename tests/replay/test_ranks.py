"""Masses of ranks, counted and not sorted, are those of sorting."""

import jax
import numpy as np
import pytest

from replay import ranks


@pytest.mark.parametrize("alpha", [0.0, 0.7, 0.999, 1.0, 2.0])
def test_sums_are_those_of_adding_term_by_term(alpha):
    given = np.array([0, 1, 2, ranks.EXACT - 1, ranks.EXACT, ranks.EXACT + 1, 1000, 100_000], np.int32)
    terms = np.concatenate([[0.0], np.cumsum(np.arange(1, given[-1] + 1, dtype=np.float64) ** -alpha)])
    np.testing.assert_allclose(ranks.summed(given, alpha), terms[given], rtol=2e-6)


def test_each_priority_has_the_mass_of_its_rank():
    rng = np.random.default_rng(0)
    priority = (2.0 ** rng.permutation(np.arange(-60, 60, 0.25))).astype(np.float32)  # no two in one bucket
    order = np.argsort(np.argsort(-priority))
    mass = jax.jit(ranks.masses)(priority, 0.7)
    np.testing.assert_allclose(mass, (1.0 + order) ** -0.7, rtol=2e-6)


def test_equal_priorities_share_their_ranks_and_none_has_none():
    priority = np.array([3.0, 0.0, 1.0, 3.0, 0.0, 2.0, 1.0, 1.0], np.float32)
    each = np.arange(1.0, 7.0) ** -0.6
    first, second, third = each[:2].mean(), each[2], each[3:].mean()
    expected = [first, 0.0, third, first, 0.0, second, third, third]
    np.testing.assert_allclose(ranks.masses(priority, 0.6), expected, rtol=1e-6)


def test_the_masses_of_a_large_replay_add_up_and_fall():
    priority = np.random.default_rng(2).exponential(size=200_000).astype(np.float32)
    mass = np.asarray(jax.jit(ranks.masses)(priority, 0.7), np.float64)
    each = np.arange(1.0, 200_001.0) ** -0.7
    assert abs(mass.sum() / each.sum() - 1) < 1e-4
    ordered = mass[np.argsort(-priority)]
    assert (np.diff(ordered) <= 1e-3 * ordered[1:]).all()
    np.testing.assert_allclose(ordered[::10_000], each[::10_000], rtol=0.02)


def test_seeds_are_mapped_over():
    priority = np.random.default_rng(1).exponential(size=(3, 500)).astype(np.float32)
    both = jax.vmap(ranks.masses, (0, None))(priority, 0.7)
    for row, mapped in zip(priority, both, strict=True):
        np.testing.assert_allclose(ranks.masses(row, 0.7), mapped, rtol=1e-6)
