"""Recording: who plays, how much of it is kept, and what is refused."""

import numpy as np
import pytest

import replay
from experiments import collect
from tests.experiments.running import call, succeed
from tests.sets import path_of


def collected(out, **flags):
    return collect.collect(collect.Config(out=str(out), **{"num_envs": 4, **flags}))


def test_experts_make_expert_sets_and_random_play_random_ones(tmp_path):
    catch = collected(tmp_path / "a.npz", policy="expert", env="bellmax/catch", episodes=6)
    assert catch.episodes == 6 and (catch.returns() == 1).all() and catch.env == "bellmax/catch"
    again = replay.load(tmp_path / "a.npz")
    np.testing.assert_array_equal(again.rows.timestep.observation, catch.rows.timestep.observation)
    random = collected(tmp_path / "b.npz", policy="random", env="bellmax/catch", episodes=40)
    assert random.returns().mean() < 0.5 and set(np.unique(random.rows.action)) == {0, 1, 2}
    mixed = collected(tmp_path / "c.npz", mix=(str(tmp_path / "a.npz"), str(tmp_path / "b.npz")), episodes=0)
    assert mixed.episodes == 46 and mixed.about["sets"][0]["policy"] == "expert"


@pytest.mark.parametrize(
    ("env", "options", "least"),
    [("bellmax/cartpole", ("time_limit=60",), 60), ("bellmax/pendulum", (), -420), ("envpool/CartPole-v1", (), 500)],
)
def test_analytic_experts_reach_what_they_should(env, options, least, tmp_path):
    data = collected(tmp_path / "a.npz", policy="expert", env=env, env_options=options, episodes=4)
    assert (data.returns() >= least).all() and data.env_options == options
    discount = data.rows.timestep.discount[data.begins[1:] - 1]
    assert (discount == 1).all()  # cut by the time limit, not ended


def test_noise_makes_an_expert_worse_and_stays_within_bounds(tmp_path):
    good, bad = (
        collected(tmp_path / "a.npz", policy="pendulum", env="bellmax/pendulum", episodes=4, **worse)
        for worse in ({}, {"noise": 0.5, "epsilon": 0.5})
    )
    assert bad.returns().mean() < good.returns().mean() and np.abs(bad.rows.action).max() <= 2
    assert bad.about["noise"] == 0.5 and bad.about["epsilon"] == 0.5
    noisy = collected(tmp_path / "b.npz", policy="catch", env="bellmax/catch", episodes=12, noise=0.9)
    assert noisy.returns().mean() < 1  # of discrete actions, the probability of a random one


def test_every_lane_gives_as_many_episodes_so_short_ones_are_no_likelier(tmp_path):
    """Random CartPole episodes differ in length; taking those that end first would favour short ones."""
    few = collected(tmp_path / "a.npz", policy="random", env="bellmax/cartpole", episodes=8, num_envs=8)
    alone = collected(tmp_path / "b.npz", policy="random", env="bellmax/cartpole", episodes=16, num_envs=8)
    first = {tuple(few.episode(i).timestep.observation[0]) for i in range(8)}
    more = {tuple(alone.episode(i).timestep.observation[0]) for i in range(16)}
    assert first < more and len(more) == 16


def test_every_tenth_step_keeps_the_return(tmp_path):
    options = {"policy": "expert", "env": "bellmax/cartpole", "env_options": ("time_limit=60",), "episodes": 4}
    data = collected(tmp_path / "a.npz", every=10, **options)
    assert data.transitions == 24 and (data.returns() == 60).all()


def test_a_run_s_policy_plays_and_references_are_kept(tmp_path):
    words = ["--agent.hidden", 8, "--updates", 10, "--eval-episodes", 2, "--quiet", "--out", tmp_path / "run"]
    succeed("bc", "--dataset", path_of("bellmax/catch"), *words)
    printed = succeed(
        "collect", tmp_path / "run", "--episodes", 3, "--references", 4, "--sampled", "--out", tmp_path / "a.npz"
    ).out
    assert "3 episodes of bellmax/catch, 27 transitions" in printed
    about = replay.load(tmp_path / "a.npz").about
    assert about["policy"] == "bc, best, exploring" and about["expert_return"] == 1.0 and about["random_return"] < 1


def test_a_run_s_replay_is_a_dataset(tmp_path):
    words = ["--env", "bellmax/catch", "--num-envs", 4, "--steps", 400, "--agent.hidden", 8, "--agent.warmup", 80]
    words += ["--agent.batch-size", 8, "--agent.buffer-size", 240, "--eval-episodes", 2, "--seeds", 2, "--quiet"]
    succeed("dqn", *words, "--out", tmp_path / "run")
    data = collected(tmp_path / "a.npz", folder=str(tmp_path / "run"), replay=True, number=1)
    # 60 rows of each lane, of which episodes have 10: the first and the last of a lane may be cut off.
    assert 4 * 5 <= data.episodes <= 4 * 6 and set(np.diff(data.begins)) == {10}
    assert data.env == "bellmax/catch" and set(np.unique(data.returns())) <= {-1.0, 1.0}
    outcome = call("collect", tmp_path / "run", "--replay", "--number", "2", "--out", tmp_path / "b.npz")
    assert outcome.code == 2 and "--number 2: the run has 2 seeds" in outcome.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([], "--env: needs a task, or a run folder"),
        (["--env", "bellmax/catch"], "--policy '': allowed without a run: random, expert, cartpole"),
        (["--env", "bellmax/deep-sea", "--policy", "expert"], "--policy expert: no such expert of bellmax/deep-sea"),
        (["--env", "bellmax/catch", "--policy", "pendulum"], "--policy pendulum: no such expert of bellmax/catch"),
        (["--env", "bellmax/catch", "--policy", "random", "--noise", "2"], "--noise 2.0: of actions that are no"),
        (["--episodes", "0"], "--episodes 0: nothing to record"),
        (["--out", "a.txt"], "--out a.txt: must end in .npz"),
        (["--out", "none/a.npz"], "--out none/a.npz: cannot be written"),
        (["nowhere", "--policy", "random"], "--policy random: not together with the run nowhere"),
        (["nowhere"], "nowhere is not a run folder"),
        (["--mix", "none.npz", "--episodes", "0"], "--mix none.npz: there is no such file"),
    ],
)
def test_refusals_are_one_line(words, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = call("collect", *words)
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and told in outcome.err, outcome.err
    assert list(tmp_path.iterdir()) == []
