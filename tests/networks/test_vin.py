"""Value iteration networks: against plain numpy, how far value is carried, and what a planner sees."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks


def built(module, key, image):
    """A module's parameters, and what applies it."""
    params = jax.jit(module.init)(jax.random.key(key), image)["params"]
    return params, jax.jit(lambda params, image: module.apply({"params": params}, image))


def convolved(x, kernel):
    """SAME convolution of `[H, W, C]` with `[3, 3, C, D]`, cell by cell."""
    wide = np.pad(x, ((1, 1), (1, 1), (0, 0)))
    rows, columns = x.shape[:2]
    found = np.zeros((rows, columns, kernel.shape[-1]))
    for i in range(rows):
        for j in range(columns):
            found[i, j] = np.einsum("hwc,hwcd->d", wide[i : i + 3, j : j + 3], kernel)
    return found


@pytest.mark.parametrize("iterations", [1, 3])
def test_iterations_are_those_of_the_paper(iterations):
    module = networks.ValueIteration(iterations, 4, spread=0.5)
    reward = np.random.default_rng(0).normal(size=(2, 4, 5, 1))
    params, apply = built(module, 0, jnp.float32(reward))
    found = apply(params, jnp.float32(reward))
    rewards, values = np.float64(params["reward"]["kernel"]), np.float64(params["value"])
    for i in range(2):
        value = np.zeros((4, 5, 1))
        for _ in range(iterations):
            q = convolved(reward[i], rewards) + convolved(value, values)
            value = q.max(-1, keepdims=True)
        np.testing.assert_allclose(found[i], q, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("iterations", "reached"), [(1, False), (4, False), (5, True)])
def test_each_iteration_carries_value_one_cell_farther(iterations, reached):
    """Two cells by the convolutions of the reward and one by each iteration after the first: the goal is 6 away."""
    module = networks.Planner(iterations, 4, 8)
    image = np.zeros((1, 3, 8, 3), np.uint8)
    image[0, 1, 0, 2] = 1
    params, apply = built(module, 1, image)
    # A value kernel of ones carries whatever there is.
    params["ValueIteration_0"]["value"] = jnp.ones_like(params["ValueIteration_0"]["value"])
    goal = image.copy()
    goal[0, 1, 6, 1] = 1
    without, there = (apply(params, x) for x in (image, goal))
    assert bool(jnp.any(jnp.abs(there - without) > 1e-6)) == reached


def test_a_planner_sees_q_where_the_agent_is():
    module = networks.Planner(3, 5, 8)
    rng = np.random.default_rng(2)
    image = (rng.random((2, 4, 4, 3)) < 0.3).astype(np.uint8)
    image[..., 2] = 0
    params, apply = built(module, 2, image)
    cells = []
    for cell in ((0, 1), (3, 2)):
        there = image.copy()  # JAX may read an array that it is given after the call has returned
        there[:, cell[0], cell[1], 2] = 1
        cells.append(apply(params, there))
    assert cells[0].shape == (2, 5) and not np.allclose(cells[0], cells[1])
    np.testing.assert_array_equal(apply(params, image), np.zeros((2, 5)))
