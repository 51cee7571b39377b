"""Keys that cost little give JAX's own numbers."""

import jax
import numpy as np
import pytest

from envs import keys


@pytest.mark.parametrize("num", [1, keys.PIECE, 27, 3 * keys.PIECE])
def test_bits_are_those_of_jax(num):
    for roots in (jax.random.split(jax.random.key(3), 5), jax.random.split(keys.key(3), 5)):
        ours = jax.jit(jax.vmap(lambda key: keys.bits(key, num)))(roots)
        theirs = jax.vmap(lambda key: jax.random.bits(key, (num,)))(roots)
        np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(keys.bits(roots[0], num), theirs[0])
