"""Goals and hierarchies from the command line, to the successes of their pages, and what is left without a part."""

import pytest

from tests.experiments.running import evaluations, succeed

REACH = ["--steps", 10_200, "--seeds", 3, "--agent.hidden", 64, 64, 64, "--agent.buffer-size", 40_000]
TD3 = ["--agent.critics", 2, "--agent.smoothing", 0.2, "--agent.delay", 2]
POINT = ["--preset", "point", "--steps", 60_000, "--seeds", 2, "--eval-every", 6_000]


def successes(folder, experiment, *argv):
    """Success of evaluations, `[points, seeds]`."""
    succeed(experiment, *argv, "--quiet", "--out", folder)
    return evaluations(folder, "eval_success")[0]


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], TD3], ids=["ddpg", "td3"])
def test_hindsight_reaches(flags, tmp_path):
    found = successes(tmp_path / "run", "her", *REACH, *flags, "--eval-every", 1_020, "--eval-episodes", 20)
    assert (found.max(axis=0) >= 0.95).all(), found


@pytest.mark.slow
def test_nothing_is_reached_without_relabelling(tmp_path):
    flags = [*REACH, "--agent.k", 0, "--eval-every", 1_020, "--eval-episodes", 20]
    found = successes(tmp_path / "run", "her", *flags)
    assert found[-3:].mean() <= 0.5, found


@pytest.mark.slow
def test_a_hierarchy_finds_the_far_goal(tmp_path):
    found = successes(tmp_path / "run", "hiro", *POINT)
    assert (found.max(axis=0) >= 0.9).all(), found


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags", [["--agent.no-moving"], ["--agent.embedding", 4, "--agent.high-sigma", 0.2]], ids=["without h", "learned"]
)
def test_and_does_not_keep_it(flags, tmp_path):
    """Goals that stay the same displacement from wherever one is; goals in a representation learned beside."""
    found = successes(tmp_path / "run", "hiro", *POINT, *flags)
    assert found[-3:].mean() <= 0.5, found
