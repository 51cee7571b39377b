<<<<<<< HEAD
"""CartPole by policy search, to the returns of the evidence pages."""
=======
"""Pendulum by off-policy control, to the returns of the evidence pages."""
>>>>>>> h-p2

import pytest

from tests.experiments.running import evaluations, succeed


def returns(folder, experiment, *argv):
    """Evaluated returns `[points, seeds]`, and the steps at which."""
    succeed(experiment, *argv, "--quiet", "--eval-episodes", 100, "--out", folder)
    return evaluations(folder)


@pytest.mark.slow
<<<<<<< HEAD
@pytest.mark.parametrize(("experiment", "steps"), [("cem", 100_000), ("cma_es", 150_000)])
def test_policy_search_solves_cartpole_on_seven_of_eight_seeds(experiment, steps, tmp_path):
    found, _ = returns(tmp_path / "run", experiment, "--seeds", 8, "--steps", steps, "--eval-every", 2_500)
    assert (found.max(axis=0) >= 475).sum() >= 7, found.max(axis=0)
=======
@pytest.mark.parametrize("experiment", ["ddpg", "td3", "sac"])
def test_pendulum_on_every_seed(experiment, tmp_path):
    found, steps = returns(tmp_path / "run", experiment, "--seeds", 5, "--steps", 20_000, "--eval-every", 2_500)
    by_15_000 = found[[s <= 15_000 for s in steps]].max(axis=0)
    assert (by_15_000 >= -200).all(), by_15_000
    assert (found[-1] >= -165).all(), found[-1]


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["ddpg", "td3", "sac"])
def test_pendulum_is_not_kept_without_a_target_network(experiment, tmp_path):
    """Means of -365, -236 and -195 were seen, where the whole agents end at -150 to -146."""
    flags = ["--seeds", 5, "--steps", 20_000, "--eval-every", 2_500, "--agent.target-rate", 1]
    found, _ = returns(tmp_path / "run", experiment, *flags)
    assert found[-1].mean() < -170, found[-1]


@pytest.mark.slow
def test_naf_learns_pendulum(tmp_path):
    found, _ = returns(tmp_path / "run", "naf", "--seeds", 5, "--steps", 40_000, "--eval-every", 5_000)
    assert (found.max(axis=0) >= -200).all(), found.max(axis=0)
>>>>>>> h-p2
