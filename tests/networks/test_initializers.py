"""How parameters begin: with the numbers of JAX's initialisers, however many begin at once."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from networks.initializers import orthogonal


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 3, 4)])
def test_orthogonal_is_that_of_jax_bit_for_bit_alone_and_mapped(shape: tuple[int, ...]) -> None:
    theirs, ours = jax.nn.initializers.orthogonal(0.5), orthogonal(0.5)
    many = keys.key(np.arange(6)).reshape(2, 3)
    draw = lambda init: jax.jit(jax.vmap(jax.vmap(lambda key: init(key, shape, jnp.float32))))(many)  # noqa: E731
    np.testing.assert_array_equal(draw(ours), draw(theirs))
    np.testing.assert_array_equal(ours(many[0, 0], shape, jnp.float32), theirs(many[0, 0], shape, jnp.float32))


def test_rows_or_columns_are_orthonormal_times_the_scale() -> None:
    wide = orthogonal(2.0)(keys.key(0), (3, 7), jnp.float32)
    np.testing.assert_allclose(wide @ wide.T, 4 * np.eye(3), atol=1e-5)
