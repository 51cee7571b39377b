"""Demonstrations for imitators: from files, from analytic experts and from planners, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, LAST, MID, Step, TimeStep, valid
from envs import keys
from envs.base import Box, Spec
from envs.tasks.catch import catch
from envs.tasks.grid import grid
from experiments.parts import experts
from experiments.parts.experts import Shown
from experiments.run import Size
from replay import dataset

SPEC = Spec("bellmax/line", Box((1,)), Box((1,), -1.0, 1.0), 10)
SIZE = Size(1, 1, 100)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """Two episodes, of 3 transitions, the last an end, and of 5, cut."""
    kinds = np.array([FIRST, MID, MID, LAST, FIRST, MID, MID, MID, MID, LAST], np.int8)
    discount = np.where(np.arange(10) == 3, 0.0, 1.0).astype(np.float32)
    seen = np.arange(10, dtype=np.float32)[:, None]
    rows = Step(TimeStep(kinds, np.zeros(10, np.float32), discount, seen), seen / 10)
    path = tmp_path_factory.mktemp("shown") / "line.npz"
    replay.save(dataset.of(rows, env="bellmax/line"), path)
    return str(path)


def test_episodes_of_a_file_stand_side_by_side(file):
    rows = experts.episodes(Shown(file, demonstrations=2), SPEC, keys.key(0), None, 0.9)
    assert rows.timestep.reward.shape == (6, 2)
    np.testing.assert_array_equal(valid(rows).sum(0), [3, 5])
    np.testing.assert_array_equal(rows.timestep.observation[:4, 0, 0], [0, 1, 2, 3])
    np.testing.assert_array_equal(rows.timestep.observation[:, 1, 0], [4, 5, 6, 7, 8, 9])
    cut = experts.episodes(Shown(file, demonstrations=2), SPEC, keys.key(0), 2, 0.9)
    np.testing.assert_array_equal(valid(cut).sum(0), [2, 2])


@pytest.mark.parametrize("every", [1, 2])
def test_transitions_are_pairs_of_rows_that_follow_each_other(file, every):
    shown = experts.transitions(Shown(file, demonstrations=2), SPEC, every, 0.9)(keys.key(1))
    inside = np.asarray(valid(shown))[0]
    before, after = np.asarray(shown.timestep.observation)[:, inside, 0]
    np.testing.assert_array_equal(after, before + 1)
    np.testing.assert_allclose(shown.action[0, inside, 0], before / 10)
    assert set(before) == {0, 1, 2, 4, 5, 6, 7, 8} if every == 1 else len(before) in (3, 4, 5)
    ends = np.asarray(shown.timestep.discount[1])[inside] == 0
    np.testing.assert_array_equal(before[ends], [2] * ends.sum())


def test_who_is_asked_by_name_plays_in_the_task():
    spec = catch().spec._replace(name="bellmax/catch")
    rows = jax.jit(lambda key: experts.episodes(Shown(), spec, key, 9, 0.9))(keys.key(0))
    assert rows.timestep.reward.shape == (10, 5) and (rows.timestep.reward.sum(0) == 1).all()


def test_planners_are_soft_or_optimal():
    spec = grid(3).spec
    plan = jax.jit(lambda key, who: experts.episodes(who, spec, key, 12, 0.9), static_argnums=1)
    scores = [
        float(jnp.mean(plan(keys.key(0), Shown(who, temperature, 32)).timestep.observation[-1] == 8))
        for who, temperature in (("optimal", 1.0), ("soft", 0.1), ("soft", 100.0))
    ]
    assert scores[0] == 1.0 and scores[0] >= scores[1] > scores[2]


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ({"demonstrations": 3}, "--agent.demonstrations 3: .*line.npz has 2 episodes"),
        ({"expert": "nowhere.npz"}, "--agent.expert nowhere.npz: is no file; allowed: analytic, optimal, soft"),
        ({"expert": "optimal"}, "--agent.expert optimal: --env bellmax/line: a table needs discrete actions"),
        ({"expert": "analytic"}, "--agent.expert analytic: bellmax/line has no analytic expert"),
    ],
)
def test_what_cannot_be_shown_is_refused(file, shown, told):
    with pytest.raises(ValueError, match=told):
        experts.check(Shown(**{"expert": file, "demonstrations": 2, **shown}), SPEC, SIZE)


def test_a_file_of_another_task_is_refused(file):
    with pytest.raises(ValueError, match=r"--agent.expert .*line.npz"):
        experts.check(Shown(file, demonstrations=2), SPEC._replace(observation=Box((2,))), SIZE)
