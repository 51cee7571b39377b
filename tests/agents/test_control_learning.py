"""CartPole by policy search, to the returns of the evidence pages."""

import pytest

from tests.experiments.running import evaluations, succeed


def returns(folder, experiment, *argv):
    """Evaluated returns `[points, seeds]`, and the steps at which."""
    succeed(experiment, *argv, "--quiet", "--eval-episodes", 100, "--out", folder)
    return evaluations(folder)


@pytest.mark.slow
@pytest.mark.parametrize(("experiment", "steps"), [("cem", 100_000), ("cma_es", 150_000)])
def test_policy_search_solves_cartpole_on_seven_of_eight_seeds(experiment, steps, tmp_path):
    found, _ = returns(tmp_path / "run", experiment, "--seeds", 8, "--steps", steps, "--eval-every", 2_500)
    assert (found.max(axis=0) >= 475).sum() >= 7, found.max(axis=0)
