"""Datasets that are made by name: each recipe, and names that there are none of."""

import numpy as np
import pytest

import envs
from envs.base import LAST
from envs.trajectory import Trajectory
from replay import dataset, made
from tests.experiments.running import call


@pytest.mark.parametrize("short", made.RECIPES)
def test_a_recipe_gives_episodes_of_its_task(short):
    data = made.load(made.PREFIX + short)
    assert data.env == made.header(made.PREFIX + short)["env"]
    dataset.fits(data, envs.make(data.env).spec)
    again = made.load(made.PREFIX + short)
    np.testing.assert_array_equal(data.rows.timestep.observation, again.rows.timestep.observation)


@pytest.mark.parametrize("ended", [True, False])
def test_rewards_arrive_with_the_observation_that_they_lead_to(ended):
    seen = np.arange(3, dtype=np.float32)[:, None]
    rows = made.rows(Trajectory(seen, np.array([7, 8]), np.array([0.5, 1.5]), ended))
    data = dataset.joined([rows])
    assert data.rows.timestep.reward.tolist() == [0, 0.5, 1.5] and data.rows.action.tolist() == [7, 8, 0]
    assert data.rows.timestep.discount.tolist() == [1, 1, 0 if ended else 1]
    assert data.rows.timestep.step_type[-1] == LAST


def test_unknown_names(tmp_path):
    with pytest.raises(ValueError, match=r"made/crss: there is no such recipe; allowed: made/cross"):
        made.load("made/crss")
    outcome = call("iql", "--dataset", "made/crss", "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.startswith("error: --dataset made/crss: there is no such recipe")
    outcome = call("collect", "--policy", "random", "--env", "bellmax/cross", "--episodes", "1", "--out", "made/cross")
    assert outcome.code == 2 and "made/cross: is made anew each time" in outcome.err
