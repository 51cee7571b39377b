"""Random keys that cost little on a CPU and give the same numbers as JAX's own.

XLA compiles JAX's threefry on the CPU as a loop of five rounds, which cannot be fused and costs microseconds a call;
that was most of the time of a small environment's step. Written out, the twenty rounds fuse with what surrounds them.
Keys made here work everywhere in `jax.random`, batch under `vmap`, and give bit for bit what `jax.random.key` gives.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.random import define_prng_impl
from jax.typing import ArrayLike

from envs.base import Array, Key

PIECE = 14
"""Words that `bits` draws at once."""
ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))


def _hash(key: Array, high: Array, low: Array) -> tuple[Array, Array]:
    """Threefry-2x32 of the counters (high, low) with 20 rounds (Salmon et al., "Parallel random numbers", 2011)."""
    first, second = (jnp.broadcast_to(word, low.shape) for word in key)
    words = (first, second, first ^ second ^ np.uint32(0x1BD11BDA))
    x, y = high + words[0], low + words[1]
    for i in range(5):
        for r in ROTATIONS[i % 2]:
            x = x + y
            y = x ^ ((y << np.uint32(r)) | (y >> np.uint32(32 - r)))
        x, y = x + words[(i + 1) % 3], y + words[(i + 2) % 3] + np.uint32(i + 1)
    return x, y


def _counters(shape: tuple[int, ...]) -> tuple[Array, Array]:
    # JAX counts in 64 bits; nobody draws 2^32 numbers in one call here, so the high word is 0.
    low = jax.lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return jnp.zeros_like(low), low


def _split(key: Array, shape: tuple[int, ...]) -> Array:
    return jnp.stack(_hash(key, *_counters(shape)), axis=-1)


def _random_bits(key: Array, width: int, shape: tuple[int, ...]) -> Array:
    high, low = _hash(key, *_counters(shape))
    if width == 64:
        return (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)
    return (high ^ low).astype(f"uint{width}")


def _fold_in(key: Array, data: int | Array) -> Array:
    return jnp.stack(_hash(key, jnp.uint32(0), jnp.asarray(data, jnp.uint32)))


def _seed(seed: Array) -> Array:
    return jax.random.key_data(jax.random.key(seed, impl="threefry2x32"))


TAG = "ut"
IMPL = define_prng_impl(
    key_shape=(2,), seed=_seed, split=_split, random_bits=_random_bits, fold_in=_fold_in, name="unrolled", tag=TAG
)


def key(seed: ArrayLike) -> Key:
    """The key of a seed; `[...]` of them from integers `[...]`."""
    return jax.random.wrap_key_data(jax.vmap(_seed)(jnp.ravel(seed)).reshape(*jnp.shape(seed), 2), impl=IMPL)


def unrolled(key: Key) -> Key:
    """A threefry key, typed or raw, as one of this kind; the numbers drawn from it stay the same."""
    typed = jnp.issubdtype(key.dtype, jax.dtypes.prng_key)
    return jax.random.wrap_key_data(jax.random.key_data(key) if typed else key, impl=IMPL)


def split(key: Key, num: int = 2) -> Key:
    """`jax.random.split` for what runs once per chunk or update, not in an environment's step.

    XLA fuses a split of a split of a split and hashes the whole chain anew for each use of its end, which took most of
    the time of compiling a run's start. Its results are kept here.
    """
    return jax.lax.optimization_barrier(jax.random.split(key, num))


def bits(key: Key, num: int) -> Array:
    """`jax.random.bits(key, (num,))` for what an environment's step uses more than once, or looks up in tables.

    XLA's CPU backend fuses the generator into each use and hashes anew there, which in a look-up is not vectorised, and
    it hands the longer draws out to threads, which takes longer than they do. A loop over pieces has neither.
    """
    if jax.default_backend() != "cpu":
        return jax.random.bits(key, (num,))
    data, pieces = jax.random.key_data(unrolled(key)), -(-num // PIECE)

    def piece(start: Array) -> Array:
        low = start + jnp.arange(PIECE, dtype=jnp.uint32)
        x, y = _hash(data, jnp.zeros_like(low), low)
        return x ^ y

    return jax.lax.map(piece, jnp.arange(0, pieces * PIECE, PIECE, dtype=jnp.uint32)).reshape(-1)[:num]
