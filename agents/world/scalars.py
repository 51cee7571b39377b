"""How a network tells a number, such as a reward or a value: by its mean, or by a distribution over bins."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array


class Scalar(NamedTuple):
    """Two pure functions of what a head gives, `[..., outputs]`."""

    outputs: int
    mean: Callable[[Array], Array]
    """`(output[..., outputs]) -> [...]`."""
    nll: Callable[[Array, Array], Array]
    """`(output[..., outputs], x[...]) -> [...]`; no gradient flows into x."""


def two_hot(bins: int = 255, reach: float = 20.0) -> Scalar:
    """Logits of bins symexp(-reach), ..., symexp(reach), as in DreamerV3: the size of x has no bearing on the loss."""
    atoms = losses.symexp(jnp.linspace(-reach, reach, bins))
    atoms = 0.5 * (atoms - jnp.flip(atoms))  # exactly symmetric

    def nll(output: Array, x: Array) -> Array:
        return losses.two_hot_cross_entropy(output, x, atoms)

    return Scalar(bins, lambda output: losses.symmetric_mean(output, atoms), nll)


def normal() -> Scalar:
    """The mean of a normal of unit variance, as in DreamerV1 and V2."""

    def nll(output: Array, x: Array) -> Array:
        return losses.squared(output[..., 0] - jax.lax.stop_gradient(x))

    return Scalar(1, lambda output: output[..., 0], nll)
