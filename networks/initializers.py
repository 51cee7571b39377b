"""How parameters begin."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from envs.base import Array, Key


def orthogonal(scale: float = 1.0) -> Initializer:
    """`jax.nn.initializers.orthogonal`, with the same numbers, which never waits for a thread on a CPU.

    LAPACK's factorisation of a batch, as of several seeds under `vmap`, hands its matrices to the threads of XLA's pool
    and waits for them on one of these. With as many factorisations as threads it waits for ever. One after the other,
    each is computed by the thread that reaches it, and the pool needs no threads to spare (`experiments.run.cores`).

    Args:
      scale: of the matrix of orthonormal rows or columns.
    """
    plain = jax.nn.initializers.orthogonal(scale)

    def init(key: Key, shape: Sequence[Any], dtype: Any = jnp.float32, out_sharding: Any = None) -> Array:
        if jax.default_backend() != "cpu":
            return plain(key, shape, dtype, out_sharding)
        return jax.custom_batching.sequential_vmap(lambda key: plain(key, shape, dtype, out_sharding))(key)

    return init
