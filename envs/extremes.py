"""The least and the greatest of several numbers, with gradients that hold however XLA compiles them.

The gradient of `jnp.max` goes to the entries that equal the result, divided by how many they are. XLA may compute the
entries anew for that comparison, in another fusion and so with other rounding: then none is equal, and the gradient is
0 / 0. Here it goes to the first of the greatest, by its number.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import Array


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def greatest(x: Array, axis: int) -> Array:
    """`jnp.max(x, axis)`, whose gradient goes to one entry: the first of the greatest."""
    return jnp.max(x, axis)


@greatest.defjvp
def _greatest_jvp(axis: int, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (x,), (slope,) = primals, tangents
    at = jnp.argmax(x, axis, keepdims=True)
    own = jax.lax.broadcasted_iota(at.dtype, x.shape, axis % x.ndim) == at
    return greatest(x, axis), jnp.sum(jnp.where(own, slope, 0), axis)


def least(x: Array, axis: int) -> Array:
    """`jnp.min(x, axis)`, whose gradient goes to one entry: the first of the least."""
    return -greatest(-x, axis)
