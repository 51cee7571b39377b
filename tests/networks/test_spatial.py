"""Grounded maps and their baselines: against plain numpy, what each ablation is blind to, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks import spatial
from networks.text import BagOfWords

RNG = np.random.default_rng(0)
SEEN = {
    "map": RNG.integers(4, size=(3, 4, 5)).astype(np.uint8),
    "here": np.array([[0, 0], [3, 4], [1, 2]], np.uint8),
    "instruction": RNG.integers(1, 6, size=(3, 2)).astype(np.uint8),
}


def reader():
    return BagOfWords(6, 8)


def built(module, observation=SEEN):
    """A module's parameters, and what applies it."""
    params = jax.jit(module.init)(jax.random.key(0), observation)["params"]
    return params, jax.jit(lambda params, seen: module.apply({"params": params}, seen))


def test_a_text_makes_a_kernel_and_a_plane():
    params, apply = built(spatial.Grounded(4, reader(), embedding=3))
    found = np.asarray(apply(params, SEEN))
    params = jax.tree.map(np.asarray, params)
    code = params["encoder"]["words"]["embedding"][SEEN["instruction"]].mean(1)
    kernels = (code @ params["kernel"]["kernel"] + params["kernel"]["bias"]).reshape(3, 3, 3, 3)
    planes = code @ params["plane"]["kernel"] + params["plane"]["bias"]
    cells = np.pad(params["cells"]["kernel"][SEEN["map"]], ((0, 0), (1, 1), (1, 1), (0, 0)))
    for n, i, j in np.ndindex(3, 4, 5):
        local = np.sum(cells[n, i : i + 3, j : j + 3] * kernels[n])
        plane = planes[n, 0] * (2 * i / 3 - 1) + planes[n, 1] * (2 * j / 4 - 1) + planes[n, 2]
        layout = params["layout"]["kernel"][SEEN["map"][n, i, j], 0]
        np.testing.assert_allclose(found[n, i, j], [local, plane, layout], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("maps", "dropped"), [("full", None), ("local", 1), ("global", 0)])
def test_ablations_are_blind_to_one_of_the_two(maps, dropped):
    params, apply = built(spatial.Grounded(4, reader(), maps))
    other = {**SEEN, "instruction": (SEEN["instruction"] % 5 + 1).astype(np.uint8)}
    moved = np.abs(apply(params, SEEN) - apply(params, other)).max((0, 1, 2)) > 1e-6
    assert moved.tolist() == [dropped != 0, dropped != 1, False]


def test_moves_are_worth_the_cells_that_they_lead_to():
    values = jnp.arange(60.0).reshape(3, 4, 5)
    read = spatial.MoveValues().apply({}, (values, jnp.asarray(SEEN["here"], jnp.int32)))
    np.testing.assert_array_equal(read.values, values)
    np.testing.assert_array_equal(
        read.beside, [[-np.inf, 5, -np.inf, 1], [20 + 14, -np.inf, 20 + 18, -np.inf], [42, 52, 46, 48]]
    )


@pytest.mark.parametrize("kind", [spatial.TextDotProduct, spatial.CnnLstm])
def test_baselines_value_every_cell_by_map_and_text(kind):
    params, apply = built(spatial.Mapped(kind(4, reader(), channels=(4,), hidden=16)))
    values, here = apply(params, SEEN)
    assert values.shape == (3, 4, 5) and (here == SEEN["here"]).all()
    for name in ("map", "instruction"):
        other = {**SEEN, name: SEEN[name][::-1]}
        assert np.abs(apply(params, other)[0] - values).max() > 1e-4


@pytest.mark.parametrize(("iterations", "reached"), [(2, False), (3, True)])
def test_a_planner_carries_values_over_the_map(iterations, reached):
    module, maps = spatial.PlannedMap(iterations, 3, 4), np.zeros((1, 1, 9, 3), np.float32)
    params, apply = built(module, maps)
    params["planner"]["value"] = jnp.ones_like(params["planner"]["value"])
    goal = maps.copy()
    goal[0, 0, 8] = 1.0
    near = np.abs(apply(params, goal) - apply(params, maps))[0, 0] > 1e-6
    assert near[4] == reached and near[5] and not near[3 if reached else 4]


def test_other_maps_are_refused():
    with pytest.raises(ValueError, match="maps: 'both' is not one of 'full', 'local', 'global'"):
        spatial.Grounded(4, reader(), "both")
