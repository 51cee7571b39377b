"""NAF on a linear system with quadratic costs, whose best action values are quadratic and so exactly representable."""

import pytest

import networks
from experiments.studies.linear_quadratic import errors


def test_gain_and_curvature_are_riccatis() -> None:
    gain, curvature = errors(0, "full")
    assert gain <= 0.05
    assert curvature <= 0.05


def test_a_fixed_curvature_cannot_represent_them() -> None:
    gain, _ = errors(0, "identity")
    assert gain > 0.2


def test_precisions_are_named() -> None:
    with pytest.raises(ValueError, match="precision: 'half'"):
        networks.QuadraticQ(2, "half")
