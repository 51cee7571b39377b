"""Goals and hierarchies from the command line: small runs, what they log, and what goes with what."""

import chex
import jax
import numpy as np
import pytest

from agents import losses
from agents.base import MID, Sample, Step, TimeStep
from envs import keys
from envs.goals import near
from envs.tasks.point_maze import point_maze
from experiments import ddpg, her, hiro
from experiments.drivers import in_graph
from experiments.reports import sinks
from experiments.run.plans import Size
from tests.experiments.running import succeed

TINY = ["--quiet", "--eval-episodes", "4", "--agent.hidden", "8", "--agent.batch-size", "8", "--keep", "1"]
RUNS = {
    "her": [
        *["--env", "bellmax/bit-flip", "--env-options", "bits=4", "--num-envs", "4", "--steps", "400"],
        *["--agent.unroll", "5", "--agent.updates", "2", "--agent.rank", "3", "--agent.n-step", "2"],
    ],
    "hac": [
        *["--env-options", "time_limit=20", "--num-envs", "2", "--steps", "210", "--agent.updates", "2"],
        *["--agent.horizon", "4"],
    ],
    "hiro": [
        *["--env", "mujoco/AntMaze", "--env-options", "time_limit=12", "--num-envs", "2", "--steps", "200"],
        *["--agent.warmup", "40", "--agent.period", "5"],
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("experiment", RUNS)
def test_small_runs(experiment, tmp_path):
    succeed(experiment, *TINY, *RUNS[experiment], "--out", tmp_path / "run")
    table = sinks.read_metrics(tmp_path / "run" / "metrics.csv")
    success = table["eval_success"][table["kind"] == "eval"]
    assert ((success >= 0) & (success <= 1)).all()
    assert np.isfinite(table["loss"][table["kind"] == "train"]).all()
    if experiment == "hiro":
        succeed(experiment, "--resume", tmp_path / "run", "--steps", "240", "--quiet")
        assert sinks.read_metrics(tmp_path / "run" / "metrics.csv")["env_steps"].max() > 200


@pytest.mark.parametrize("learner", ["ddpg", "td3", "sac"])
def test_hindsight_goes_with_every_learner(learner):
    """Shapes and types, without compiling."""
    td3 = {"critics": 2, "smoothing": 0.2, "delay": 2} if learner == "td3" else {}
    env = point_maze(time_limit=10)
    kind = "sac" if learner == "sac" else "auto"
    parts = her.make(her.Config(learner=kind, unroll=11, **td3), env.spec, Size(2, 1, 1_000))
    loop = in_graph.loop(env, *parts, num_envs=2, iterations=1)
    run = jax.eval_shape(loop.init, keys.key(0))
    after, metrics = jax.eval_shape(loop.step, run)
    chex.assert_trees_all_equal_shapes_and_dtypes(run, after)
    assert {"loss", "policy_loss"} <= metrics.keys()


@pytest.mark.parametrize(
    ("pay", "discount", "expected"),
    [
        ("cost", 0.98, (-50, 0)),
        ("bonus", 0.98, (0, 50)),
        ("distance", 0.9, (-np.inf, 0)),
        ("exponential", 0.75, (0, 4)),
        ("cost", 1.0, (-np.inf, 0)),
    ],
)
def test_values_are_clipped_to_what_the_goals_can_pay(pay, discount, expected):
    config = her.bounded(her.Config(discount=discount), near(0.1, pay))
    np.testing.assert_allclose(ddpg.target_range(config), expected, rtol=1e-6)
    scaled = her.bounded(her.Config(discount=discount, reward_scale=0.1, target_high=3.0), near(0.1, pay))
    np.testing.assert_allclose(ddpg.target_range(scaled), (0.1 * expected[0], 3), rtol=1e-6)
    unknown = her.bounded(her.Config(discount=discount), near(0.1, pay)._replace(pays=(-np.inf, np.inf)))
    assert ddpg.target_range(unknown) == (-np.inf, np.inf) == ddpg.target_range(ddpg.Config())


def test_a_goal_that_pays_1_is_worth_more_than_0():
    bounds = ddpg.target_range(her.bounded(her.Config(), near(0.1, "bonus")))
    q = np.full((1, 1), 0.5, np.float32)
    y = losses.pessimistic_target(np.ones(1, np.float32), np.full(1, 0.98, np.float32), q, *bounds)
    np.testing.assert_allclose(y, 1.49, rtol=1e-6)


def test_the_representation_of_goals_is_learned_with_the_higher_policy():
    spec, config = point_maze(goal="any").spec, hiro.Config(embedding=3, hidden=(4,), delay=1)
    goals, layer = hiro.subject(config)
    agent = hiro.td3(config, goals.higher(spec), 0.1, embedding=layer)
    size = spec.observation["observation"].shape[0]
    seen = {
        "observation": jax.random.normal(keys.key(1), (2, 5, size)),
        "desired_goal": jax.random.normal(keys.key(2), (2, 5, 2)),
    }
    rows = TimeStep(np.full((2, 5), MID, np.int8), np.ones((2, 5)), np.ones((2, 5)), seen)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], rows))
    sample = Sample(Step(rows, np.zeros((2, 5, 3), np.float32)))
    update = jax.jit(agent.update)
    after, _ = update(state, keys.key(3), sample)
    before, learned = (x.policy.params["torso"]["embedding"] for x in (state, after))
    assert all((a != b).any() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(learned), strict=True))
    places = goals.embed(agent.actor(after), seen["observation"])
    assert places.shape == (2, 5, 3) and (abs(places) < 1).all()
    np.testing.assert_array_equal(places, layer.apply({"params": learned}, seen["observation"]))
