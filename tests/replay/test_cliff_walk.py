"""Prioritised replay on the blind cliff walk; see experiments/studies/cliff_walk.py."""

from typing import Any

import numpy as np
import pytest

from experiments.studies.cliff_walk import updates

SEEDS = range(5)


def speed_up(n: int, **settings: Any) -> float:
    """Median number of updates with uniform replay, over that with prioritised replay."""
    return np.median(updates(SEEDS, n, prioritised=False)) / np.median(updates(SEEDS, n, **settings))


@pytest.mark.parametrize("rank", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_prioritised_replay_needs_a_fifth_of_the_updates(rank):
    assert speed_up(10, rank=rank) >= 5, (updates(SEEDS, 10, rank=rank), updates(SEEDS, 10, prioritised=False))


@pytest.mark.slow
def test_and_an_eighth_on_the_longer_walk():
    """A median over many seeds, which differ by a factor of three.

    Where all copies of a transition are replayed before there is anything to learn from it, they have to wait until ε
    has them drawn again.
    """
    prioritised, uniform = updates(range(25), 12), updates(range(25), 12, prioritised=False)
    assert np.median(uniform) / np.median(prioritised) >= 8, (prioritised, uniform)


def test_priorities_of_exponent_zero_do_not_help():
    assert 0.5 < speed_up(10, alpha=0.0) < 2
