"""Losses of maps of values, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses


def test_a_cell_is_taught_its_reward_and_the_best_cell_beside_it():
    rng = np.random.default_rng(0)
    v, target = rng.normal(size=(2, 3, 4, 5, 6))  # [3, 4] maps of 5 x 6
    row, column = rng.integers(5, size=(3, 4)), rng.integers(6, size=(3, 4))
    row[0], column[0] = [0, 0, 4, 4], [0, 5, 0, 5]
    r, discount = rng.normal(size=(3, 4)), rng.choice([0.0, 0.9], size=(3, 4))
    expected, slope = np.zeros((3, 4)), np.zeros_like(v)
    for at in np.ndindex(3, 4):
        i, j = row[at], column[at]
        beside = [(i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)]
        best = max(target[at][cell] for cell in beside if 0 <= cell[0] < 5 and 0 <= cell[1] < 6)
        expected[at] = r[at] + discount[at] * best - v[at][i, j]
        slope[at][i, j] = -1.0
    arguments = (*map(jnp.asarray, (row, column)), jnp.float32(r), jnp.float32(discount))

    def error(v, target):
        return losses.map_value_error(v, target, *arguments)

    np.testing.assert_allclose(error(jnp.float32(v), jnp.float32(target)), expected, rtol=1e-5, atol=1e-6)
    of_v, of_target = jax.grad(lambda *maps: jnp.sum(error(*maps)), (0, 1))(jnp.float32(v), jnp.float32(target))
    np.testing.assert_allclose(of_v, slope, atol=1e-6)
    assert not np.asarray(of_target).any()
    there = np.take_along_axis(v.reshape(3, 4, 30), (6 * row + column)[..., None], -1)[..., 0]
    np.testing.assert_allclose(losses.map_value(jnp.float32(v), *arguments[:2]), there, rtol=1e-6)
