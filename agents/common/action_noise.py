"""Noise added to continuous actions for exploration. Actions are in [-1, 1], so that one scale fits all tasks."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Key


class Noise(NamedTuple):
    """A process in every lane."""

    begin: Callable[[int], Any]
    """`(B) -> carry`."""

    draw: Callable[[Key, Any, Array, tuple[int, ...]], tuple[Array, Any]]
    """`(key, carry, first[B], shape) -> (noise[B, D], carry)`, where `shape` is (B, D)."""


def gaussian(std: float | Array = 0.1) -> Noise:
    """Independent N(0, std²) in every dimension and step (Fujimoto, van Hoof and Meger, ICML 2018)."""

    def draw(key: Key, carry: Any, first: Array, shape: tuple[int, ...]) -> tuple[Array, Any]:
        return std * jax.random.normal(key, shape), carry

    return Noise(lambda batch: (), draw)


def ornstein_uhlenbeck(
    size: int, std: float | Array = 0.2, rate: float | Array = 0.15, dt: float | Array = 1.0
) -> Noise:
    """x ← x - θ x dt + σ √dt ε, ε ~ N(0, I), from x = 0 at the start of an episode (Lillicrap et al., ICLR 2016).

    Args:
      size: D.
      std: σ; the process settles at a standard deviation of about σ / √(2 θ).
      rate: θ.
      dt: of a step.
    """

    def draw(key: Key, x: Array, first: Array, shape: tuple[int, ...]) -> tuple[Array, Array]:
        x = jnp.where(first[:, None], 0.0, x)
        x = x - rate * dt * x + std * jnp.sqrt(jnp.asarray(dt)) * jax.random.normal(key, shape)
        return x, x

    return Noise(lambda batch: jnp.zeros((batch, size)), draw)
