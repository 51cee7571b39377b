"""Populations that train side by side, and numbers along a schedule."""

import json

import numpy as np
import pytest

import experiments.a2c
from experiments.reports import lineage
from tests.experiments.running import (
    FLAGS,
    assert_same_state,
    call,
    compilations,
    crash_after,
    rows,
    steps_saved,
    succeed,
    summary,
)

WORDS = [*FLAGS["a2c"], "--seeds", "4", "--population", "4", "--pbt", "agent.learning-rate=1e-4..1e-1"]
WORDS += ["agent.entropy=1e-3..1e-1"] if hasattr(experiments.a2c.Flags().agent, "entropy") else []
TURNS = [0, 512, 1024, 1536, 2048]


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    folder = tmp_path_factory.mktemp("population") / "run"
    with compilations() as compiled:
        outcome = succeed("a2c", *WORDS, "--out", folder)
    return folder, outcome, compiled


def test_a_population_keeps_its_lineage(grown):
    folder, _, _ = grown
    found = lineage.read(folder / "lineage.csv")
    assert found.steps.tolist() == TURNS and found.seeds.tolist() == [3, 4, 5, 6]
    assert np.isnan(found.scores[0]).all() and np.isfinite(found.scores[1:]).all()
    evaluated = [float(row["eval_return"]) for row in rows(folder) if row["kind"] == "eval"]
    np.testing.assert_allclose(found.scores[1:].ravel(), evaluated, rtol=1e-6)
    rates, moved = found.values["learning_rate"], found.parents != found.seeds
    assert (moved.sum(axis=1) == [0, 1, 1, 1, 1]).all()  # a fifth of four, one at least, copies
    assert ((rates >= 1e-4) & (rates <= 1e-1)).all() and len(set(rates[0].tolist())) == 4
    for turn in range(1, len(TURNS)):
        for member in range(4):
            parent = found.seeds.tolist().index(found.parents[turn, member])
            before = rates[turn - 1, parent]
            factors = (0.8, 1.2) if moved[turn, member] else (1.0,)
            assert np.isclose(rates[turn, member], [np.clip(before * f, 1e-4, 1e-1) for f in factors]).any()
            if moved[turn, member]:
                assert found.scores[turn, member] == found.scores[turn].min()
                assert found.scores[turn, parent] == found.scores[turn].max()
    assert (folder / "lineage.png").stat().st_size > 10_000
    assert summary(folder)["seeds"] == 4


def test_turning_compiles_once(grown):
    """As many programs as a plain run, the turn, and nothing when the numbers have changed."""
    assert grown[2].count("jit(turn)") == 1
    assert grown[2].count("jit(_fun)") == 6


def test_a_population_resumes_bit_for_bit(grown, tmp_path):
    folder, _, _ = grown
    with crash_after(saves=2) as crash:
        call("a2c", *WORDS, "--out", tmp_path / "run")
    assert steps_saved(tmp_path / "run")[-1] == crash["steps"]
    succeed("a2c", "--resume", tmp_path / "run")
    assert_same_state(tmp_path / "run", folder)
    assert rows(tmp_path / "run") == rows(folder)
    assert (tmp_path / "run" / "lineage.csv").read_text() == (folder / "lineage.csv").read_text()


def test_policies_of_a_population_are_evaluated(grown):
    assert len(succeed("evaluate", grown[0], "--episodes", 8).result["eval_returns"]) == 4


def test_seeds_are_one_population_by_default(tmp_path):
    config = experiments.a2c.experiment.configured(population=3, pbt=("agent.discount=0.9..0.99",))
    with pytest.raises(ValueError, match="--seeds 4: must be a multiple of --population 3"):
        experiments.a2c.experiment.configured(population=3, seeds=4, pbt=("agent.discount=0.9..0.99",))
    from experiments.run import population

    assert population.completed(config).seeds == 3


def test_the_best_members_numbers_are_a_schedule_for_another_run(grown, tmp_path):
    folder, _, _ = grown
    found = lineage.read(folder / "lineage.csv")
    words = [*FLAGS["a2c"], "--seeds", "4"]
    succeed("a2c", *words, "--schedule", folder, "--out", tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "config.json").read_text())["flags"]["schedule"]
    assert tuple(stored) == lineage.schedule(found)
    from experiments.run import checkpoint

    state = checkpoint.Checkpointer(tmp_path / "run" / "checkpoints").part("0/agent/values/")
    best = found.seeds.tolist().index(lineage.best(found))
    line = lineage.ancestors(found, lineage.best(found))
    assert line[-1] == best
    own = np.float32(found.values["learning_rate"][-1, best])
    assert (next(x for name, x in state.items() if name.endswith("learning_rate")) == own).all()


def test_a_schedule_that_never_changes_is_the_plain_run(finished, tmp_path):
    succeed("a2c", *FLAGS["a2c"], "--schedule", "agent.learning-rate=0:1e-2", "--out", tmp_path / "run")
    whole = rows(finished("a2c").folder)
    for one, other in zip(rows(tmp_path / "run"), whole, strict=True):
        assert one["eval_return"] == other["eval_return"]
        assert np.isclose(float(one["loss"] or 0), float(other["loss"] or 0), atol=2e-3)


def test_ancestors_go_back_through_copies():
    seeds = np.array([7, 8])
    parents = np.array([[7, 8], [8, 8], [7, 7], [7, 8]])
    values = {"rate": np.array([[1.0, 2.0], [2.4, 2.0], [2.4, 1.9], [2.4, 1.9]])}
    scores = np.array([[np.nan, np.nan], [0.0, 1.0], [5.0, 1.0], [1.0, 5.0]])
    found = lineage.Lineage(np.array([0, 10, 20, 30]), seeds, parents, scores, values)
    assert lineage.best(found) == 8
    assert lineage.ancestors(found, 8).tolist() == [1, 0, 1, 1]
    assert lineage.schedule(found) == ("agent.rate=0:2,10:2.4,20:1.9",)


PBT = "--population 4 --pbt agent.learning-rate=1e-4..1e-1"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--population 1", "--population 1: must be at least 2"),
        ("--population 4", "--population 4: needs what it is to find, such as --pbt agent.learning-rate=1e-4..1e-2"),
        (f"{PBT} --seeds 6", "--seeds 6: must be a multiple of --population 4"),
        (f"{PBT} --sweep agent.discount=0.9", "--sweep agent.discount=0.9: not together with --population 4"),
        (f"{PBT} --actors 2 --engine inline", "--actors 2: not together with --population 4"),
        (f"{PBT} --pbt-rule t-test --eval-episodes 1", "--eval-episodes 1: must be at least 2 with --pbt-rule t-test"),
        (f"{PBT} --pbt-share 0.6", "--pbt-share 0.6: must be at most 0.5"),
        (
            f"{PBT} --pbt-start given --agent.learning-rate 1",
            "--agent.learning-rate 1: must lie between the bounds of --pbt, 0.0001 and 0.1",
        ),
        ("--pbt agent.learning-rate=1e-4..1e-1", "--pbt agent.learning-rate=1e-4..1e-1: of use only with --population"),
        ("--pbt-share 0.3", "--pbt-share 0.3: of use only with --population"),
        ("--population 2 --pbt learning-rate=1..2", "--pbt learning-rate=1..2: write agent.NAME=LOW..HIGH"),
        ("--population 2 --pbt agent.unroll=1..2", "--pbt agent.unroll=1..2: agent.unroll cannot be changed in one"),
        ("--population 2 --pbt agent.discount=0.9", "--pbt agent.discount=0.9: write agent.discount=LOW..HIGH"),
        ("--population 2 --pbt agent.discount=0.9..x", "--pbt agent.discount=0.9..x: 'x' is not a number such as"),
        ("--population 2 --pbt agent.discount=0.9..2", "--pbt agent.discount=0.9..2: agent.discount=2 must be at"),
        ("--population 2 --pbt agent.discount=0.9..0.8", "the upper bound must be above the lower one"),
        ("--population 2 --pbt agent.discount=0..1 agent.discount=0..1", "agent.discount is given twice"),
        ("--schedule agent.discount=0.9", "--schedule agent.discount=0.9: '0.9' is not of the form STEP:VALUE"),
        ("--schedule agent.discount=5:0.9", "--schedule agent.discount=5:0.9: steps must begin with 0 and go up"),
        ("--schedule agent.discount=0:0.9,0:1", "steps must begin with 0 and go up"),
        ("--schedule agent.discount=0:7", "--schedule agent.discount=0:7: agent.discount=7 must be at most 1"),
        ("--schedule nowhere", "--schedule nowhere: holds no lineage of a population (No such file or directory)"),
        (
            "--schedule agent.discount=0:0.9 --sweep agent.discount=0.9",
            "--schedule agent.discount=0:0.9: not together with --sweep",
        ),
    ],
)
def test_what_does_not_go_together_is_refused_in_a_line(words, told, tmp_path):
    outcome = call("a2c", "--env", "bellmax/catch", *words.split(), "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert told in outcome.err
    assert not (tmp_path / "run").exists()


def test_numbers_of_the_replay_are_refused(tmp_path):
    words = ["--env", "bellmax/catch", "--agent.priorities", "proportional", "--population", "2"]
    outcome = call("dqn", *words, "--pbt", "agent.alpha=0.1..0.9", "--out", tmp_path / "run")
    assert outcome.code == 2
    assert "--pbt agent.alpha: is a number of the replay, which does not change" in outcome.err


def turned(lay, scores):
    """Weights, numbers and parents after a turn of two populations of four, laid out somehow."""
    import jax

    from agents.common.populations import Bounds
    from envs import keys
    from experiments.drivers import devices, members

    state = {"w": np.arange(8.0, dtype=np.float32), "key": keys.key(np.arange(8))}
    agents = devices.place(lay, members.Member(state, {"rate": np.linspace(0.1, 0.8, 8, dtype=np.float32)}))
    placed = jax.tree.map(lambda x: x.sharding, agents)
    agents, parents = members.turner(lay, 4, {"rate": Bounds(0.01, 1.0)})(agents, scores, keys.key(5))
    assert jax.tree.map(lambda x: x.sharding, agents) == placed
    own = agents.state["key"]
    words = devices.collect(lay, jax.random.key_data(own))
    return devices.collect(lay, agents.state["w"]), members.values_of(lay, agents)["rate"], parents, words


@pytest.mark.parametrize(("count", "shared"), [(1, 1), (2, 1), (3, 1), (2, 2)])
def test_a_turn_does_not_depend_on_where_members_lie(count, shared):
    import jax

    from experiments.drivers import devices

    scores = np.array([[3.0], [1.0], [2.0], [4.0], [9.0], [8.0], [7.0], [6.0]], np.float32)
    alone = turned(devices.layout(8, devices=jax.devices()[:1]), scores)
    assert alone[2].tolist() == [0, 3, 2, 3, 4, 5, 6, 4]  # each population copies its own best
    assert alone[0].tolist() == [0, 3, 2, 3, 4, 5, 6, 4]
    kept = np.array([0, 2, 3, 4, 5, 6])
    np.testing.assert_array_equal(alone[1][kept], np.linspace(0.1, 0.8, 8, dtype=np.float32)[kept])
    assert round(float(alone[1][1] / 0.4), 3) in (0.8, 1.2) and round(float(alone[1][7] / 0.5), 3) in (0.8, 1.2)
    lay = devices.layout(8, shared, devices=jax.devices()[:count])
    for one, other in zip(turned(lay, scores), alone, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_population_trains_around_a_simulator_and_from_recorded_episodes(tmp_path):
    from tests.experiments.words import small

    words = ["--population", "2", "--pbt", "agent.learning-rate=1e-4..1e-1", "--eval-episodes", "4", "--quiet"]
    host = ["--env", "envpool/CartPole-v1", "--num-envs", "2", "--agent.hidden", "8", "--agent.unroll", "4"]
    short = ["--steps", "96", "--log-every", "24", "--eval-every", "48"]
    succeed("a2c", *host, *short, *words, "--out", tmp_path / "host")
    offline = [*small("bc", 1), "--updates", "40", "--log-every", "10", "--eval-every", "20"]
    succeed("bc", *offline, *words, "--out", tmp_path / "bc")
    for name, steps in (("host", [0, 48, 96]), ("bc", [0, 20, 40])):
        found = lineage.read(tmp_path / name / "lineage.csv")
        assert found.steps.tolist() == steps
        assert ((found.parents != found.seeds).sum(axis=1) == [0, 1, 1]).all()
