"""The crosses: which way pays what, where one can go, and that the trajectories are what the tasks would give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import FIRST, LAST
from envs.tasks.cross import (
    WIDTH,
    continuous_cross,
    continuous_cross_trajectories,
    cross,
    cross_trajectories,
)
from tests.envs.contract import check_environment


def steps(env, actions, inner=None):
    """What follows on each of `actions` in one lane, from a state if one is given."""
    state, _ = env.reset(jax.random.key(0))
    state = state if inner is None else state._replace(inner=inner)
    return jax.lax.scan(env.step, state, actions)[1]


def played(env, actions, inner=None):
    """The same, after the row that opens the episode where no state is given."""
    rows = jax.tree.map(np.asarray, jax.jit(lambda a: steps(env, a, inner))(jnp.asarray(actions)))
    _, first = env.reset(jax.random.key(0))
    return jax.tree.map(lambda a, b: np.concatenate([np.asarray(a)[None], b]), first, rows)


@pytest.mark.parametrize(("env", "distinct"), [(cross(2, 9), False), (continuous_cross(30), True)])
def test_contract(env, distinct):
    seen = check_environment(env, steps=100)
    starts = seen.timestep.observation[seen.timestep.step_type == FIRST]
    assert (starts != starts[:1]).any() == distinct


def test_the_best_way_turns_at_the_crossing():
    rows = played(cross(), [2] * 6 + [0] * 6)
    assert rows.reward[-1] == 1 and rows.discount[-1] == 0 and rows.step_type[-1] == LAST
    assert not rows.reward[:-1].any() and rows.observation[6, 6, 6] == 1
    rows = played(cross(), [2] * 12)
    np.testing.assert_allclose(rows.reward[-1], 0.1)
    assert rows.discount[-1] == 0


def test_who_would_leave_the_road_stays():
    rows = played(cross(), [0, 1, 3, 2, 0])
    places = [np.argwhere(x).tolist() for x in rows.observation]
    assert places == [[[6, 0]]] * 4 + [[[6, 1]]] * 2


def test_trajectories_are_what_the_grid_gives():
    found = cross_trajectories(2, 1)
    assert [float(x.reward[-1]) for x in found] == pytest.approx([0.1, 0.1, 1.0])
    rows = played(cross(), found[0].action)
    np.testing.assert_array_equal(rows.observation, found[0].observation)
    rows = played(cross(), found[2].action, jnp.array([0, 6], jnp.int32))
    np.testing.assert_array_equal(rows.observation[1:], found[2].observation[1:])
    assert np.argwhere(found[2].observation[0]).tolist() == [[0, 6]] and rows.reward[-1] == 1


def test_trajectories_are_what_the_plane_gives():
    found = continuous_cross_trajectories(3, 2)
    again = continuous_cross_trajectories(3, 2)
    assert all(np.array_equal(a, b) for x, y in zip(found, again, strict=True) for a, b in zip(x, y, strict=True))
    longest = max(len(each.action) for each in found)
    actions = np.stack([np.pad(each.action, ((0, longest - len(each.action)), (0, 0))) for each in found])
    together = jax.vmap(lambda inner, actions: steps(continuous_cross(), actions, inner))
    rows = jax.tree.map(np.asarray, jax.jit(together)(np.stack([each.observation[0] for each in found]), actions))
    for i, (each, pays) in enumerate(zip(found, (0.1, 0.1, 0.1, 1.0, 1.0), strict=True)):
        end = len(each.action)
        np.testing.assert_allclose(rows.observation[i, :end], each.observation[1:], atol=1e-5)
        np.testing.assert_allclose(rows.reward[i, :end], each.reward, atol=1e-6)
        assert each.reward[-1] == pytest.approx(pays) and rows.discount[i, end - 1] == 0
        assert (np.abs(each.observation).min(-1) <= WIDTH + 1e-6).all()


def test_walls_of_the_plane_stop_one_coordinate_at_a_time():
    rows = played(continuous_cross(), [[0.5, 1.0]] * 12, jnp.array([-0.5, 0.0]))
    last = rows.observation[-1]
    # Along the edge of the western road to the crossing, and north from there along the edge of the other.
    assert (np.abs(rows.observation[1:]).min(-1) <= WIDTH + 1e-6).all()
    np.testing.assert_allclose(rows.observation[4], [-0.3, WIDTH], atol=1e-6)
    assert last[1] > WIDTH


@pytest.mark.parametrize(("make", "told"), [(lambda: cross(1), "arm"), (lambda: continuous_cross(0), "time_limit")])
def test_bad_arguments(make, told):
    with pytest.raises(ValueError, match=told):
        make()
