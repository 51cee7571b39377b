"""Maps with walls: moves, shortest paths against breadth-first search, the expert, and bad input."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST
from envs import grids, keys
from envs.experts import expert_of
from envs.tasks.grid_maps import grid_maps, shortest
from tests.envs.contract import check_environment, play


def searched(walls, goal):
    """Moves to the goal from every cell by breadth-first search; -1 where there is no way."""
    found = np.full(walls.shape, -1)
    found[goal] = 0
    queue = deque([goal])
    while queue:
        row, column = queue.popleft()
        for i, j in grids.MOVES:
            cell = row + i, column + j
            inside = 0 <= cell[0] < walls.shape[0] and 0 <= cell[1] < walls.shape[1]
            if inside and not walls[cell] and found[cell] < 0:
                found[cell] = found[row, column] + 1
                queue.append(cell)
    return found


def test_distances_are_those_of_breadth_first_search():
    rng = np.random.default_rng(0)
    walls = rng.random((20, 5, 6)) < 0.35
    walls[:, 2, 3] = False
    goal = np.zeros_like(walls)
    goal[:, 2, 3] = True
    found = np.asarray(jax.jit(lambda w, g: grids.distances(w, g, 30))(walls, goal))
    expected = np.stack([searched(each, (2, 3)) for each in walls])
    np.testing.assert_array_equal(np.where(found == 31, -1, found), expected)


def test_beside_is_up_down_left_and_right():
    found = np.asarray(grids.beside(jnp.arange(6.0).reshape(2, 3), -1.0))
    np.testing.assert_array_equal(found[0, 1], [-1, 4, 0, 2])
    np.testing.assert_array_equal(found[1, 2], [2, -1, 4, -1])


def test_edges_and_walls_are_not_passed():
    walls = jnp.zeros((3, 3), bool).at[0, 1].set(True)
    from_corner = [
        tuple(int(x) for x in grids.moved(jnp.int32(0), jnp.int32(0), jnp.int32(a), walls)) for a in range(4)
    ]
    assert from_corner == [(0, 0), (1, 0), (0, 0), (0, 0)]


@pytest.mark.parametrize("decisions", [False, True])
def test_the_contract(decisions):
    check_environment(grid_maps(4, decisions=decisions), 60)


def test_the_expert_takes_a_shortest_path_on_every_map():
    played = play(grid_maps(6), 60, 8, policy=lambda timestep: shortest(timestep.observation))
    kinds, seen = played.timestep.step_type, played.timestep.observation
    assert len(np.unique(seen[kinds == FIRST][..., 0], axis=0)) > 10
    ended = 0
    for lane in range(8):
        starts, ends = np.flatnonzero(kinds[:, lane] == FIRST), np.flatnonzero(kinds[:, lane] == LAST)
        for start, end in zip(starts, ends, strict=False):
            walls, goal, here = np.moveaxis(seen[start, lane], -1, 0)
            away = searched(walls > 0, tuple(np.argwhere(goal)[0]))
            assert end - start == away[tuple(np.argwhere(here)[0])] and played.timestep.reward[end, lane] == 1
            ended += 1
    assert ended > 20
    assert expert_of("bellmax/grid-maps").act is shortest


def test_a_decision_pays_where_it_begins_a_shortest_path():
    env = grid_maps(5, decisions=True)
    mapped = lambda f: jax.jit(jax.vmap(f))  # noqa: E731
    (states, timestep), step = mapped(env.reset)(jax.random.split(keys.key(1), 40)), mapped(env.step)
    right = 0
    for action in range(4):
        _, after = step(states, jnp.full(40, action))
        assert (np.asarray(after.step_type) == LAST).all()
        for i in range(40):
            walls, goal, here = np.moveaxis(np.asarray(timestep.observation[i]), -1, 0)
            away = searched(walls > 0, tuple(np.argwhere(goal)[0]))
            cell = np.argwhere(here)[0]
            to = cell + grids.MOVES[action]
            inside = ((to >= 0) & (to < 5)).all() and not walls[tuple(to)]
            best = inside and away[tuple(to)] == away[tuple(cell)] - 1
            assert float(after.reward[i]) == float(best)
            right += best
    assert right >= 40


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 2}, "size must be at least 3, got 2"),
        ({"density": 1.0}, "density must be at least 0 and below 1, got 1.0"),
        ({"time_limit": 0}, "time_limit must be at least 1, got 0"),
        ({"decisions": True, "time_limit": 5}, "time_limit must be 1 with decisions, got 5"),
    ],
)
def test_bad_options_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        grid_maps(**options)
