"""Data-parallel runs: every device has the same parameters, however the work is mapped to it."""

from importlib import import_module

import jax
import numpy as np
import pytest

import envs
from envs import keys
from experiments.drivers import devices, in_graph
from experiments.run import flags, prepare
from experiments.run import train as training
from tests.experiments.running import CATCH, FLAGS, assert_same_state, call, crash_after, rows, saved, succeed, summary

# Of the runs below, which are about where things lie and not about learning.
BRIEF = {
    "dqn": ["--agent.batch-size", "8", "--agent.buffer-size", "128", "--agent.warmup", "16", "--agent.unroll", "2"],
    "a2c": ["--agent.unroll", "4"],
    "ppo": ["--agent.unroll", "4", "--agent.epochs", "1", "--agent.minibatches", "2", "--agent.normalise-observations"],
}


def driver(experiment, count, backend):
    """A data-parallel driver of one seed over so many devices, and its layout."""
    module = import_module(f"experiments.{experiment}")
    words = [*CATCH, *BRIEF[experiment], "--agent.hidden", "4", "--num-envs", "8", "--devices", str(count)]
    config = flags.parse(module.Flags, words, "x")
    env = envs.make(config.env, **envs.parse_options(config.env_options))
    lay = devices.layout(1, count)
    made = in_graph.driver(
        env, prepare.parts_maker(config, env.spec, module.make), {"run": np.arange(1)}, lay,
        num_envs=8 // count, iterations=3, eval_episodes=4, backend=backend,
    )  # fmt: skip
    return made, lay


def on_each(tree, count):
    """`[count]` trees of numpy, what each device has."""
    plain = [np.asarray(jax.random.key_data(x) if jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key) else x)
             for x in jax.tree.leaves(tree)]  # fmt: skip
    return [[x[i, 0] for x in plain] for i in range(count)]


@pytest.mark.parametrize(
    ("experiment", "count"),
    [
        ("dqn", 2),
        ("a2c", 2),
        pytest.param("ppo", 2, marks=pytest.mark.slow),
        pytest.param("dqn", 4, marks=pytest.mark.slow),
    ],
)
def test_backends_and_replicas_agree(experiment, count):
    loops = {backend: driver(experiment, count, backend)[0].loop for backend in ("pmap", "shard_map")}
    start, ends = [], {}
    for backend, loop in loops.items():
        state = loops["pmap"].init(keys.key(np.arange(1)))  # the step is what differs, and what takes its time
        start = on_each(state.agent, count)[0]
        for _ in range(3):
            state, metrics = loop.step(state)
        ends[backend] = on_each(state.agent, count)
        for other in ends[backend][1:]:
            for a, b in zip(ends[backend][0], other, strict=True):
                assert a.tobytes() == b.tobytes()
        assert all(np.isfinite(metrics[name]).all() for name in metrics)
    for a, b in zip(ends["pmap"][0], ends["shard_map"][0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    changed = [not np.array_equal(a, b) for a, b in zip(start, ends["pmap"][0], strict=True)]
    assert sum(changed) > len(changed) // 2


def test_lanes_differ_between_devices():
    made, _ = driver("a2c", 2, "pmap")
    state = made.loop.init(keys.key(np.arange(1)))
    state, _ = made.loop.step(state)
    rewards, columns = (on_each(x, 2) for x in (state.live.finished.returns, state.env.inner.ball_column))
    assert not np.array_equal(columns[0][0], columns[1][0])
    assert rewards[0][0].shape == (4,)


def test_devices_flag_and_resume(tmp_path):
    words = ["a2c", *CATCH, *BRIEF["a2c"], "--agent.hidden", 4, "--num-envs", 8, "--devices", 2, "--eval-episodes", 4]
    words += ["--steps", 256, "--log-every", 64, "--eval-every", 128]
    whole, folder = tmp_path / "whole", tmp_path / "run"
    outcome = succeed(*words, "--out", whole)
    assert outcome.result["env_steps"] == 256
    assert len(outcome.result["eval_returns"]) == 1
    kinds = {path: leaf[0] for path, leaf in saved(whole).items()}
    assert kinds["0/env/t"] == "int32[2,1,4]"  # devices, runs, lanes
    with crash_after(saves=1):
        call(*words, "--out", folder)
    succeed("a2c", "--resume", folder)
    assert_same_state(folder, whole)
    assert rows(folder) == rows(whole)
    evaluated = succeed("evaluate", whole, "--episodes", 12).result
    assert -1 <= evaluated["eval_returns"][0] <= 1
    assert summary(folder)["eval_returns"] == summary(whole)["eval_returns"]


def test_host_over_two_devices(tmp_path):
    words = ["--env", "gymnasium/CartPole-v1", *BRIEF["a2c"], "--agent.hidden", 4, "--num-envs", 4, "--devices", 2]
    words += ["--eval-episodes", 2, "--steps", 64, "--seeds", 2, "--quiet", "--log-every", 32]
    outcome = succeed("a2c", *words, "--out", tmp_path / "run")
    assert outcome.result["env_steps"] == 64
    assert (outcome.result["eval_returns"] >= 8).all()  # no pole falls sooner
    train = [row for row in rows(tmp_path / "run") if row["kind"] == "train"]
    assert [row["seed"] for row in train] == ["0", "1", "0", "1"]
    assert train[0]["loss"] != train[1]["loss"]


def test_seeds_are_shared_out_over_all_devices(finished):
    kinds = {path: leaf[0] for path, leaf in saved(finished("a2c").folder).items()}
    assert FLAGS["a2c"][FLAGS["a2c"].index("--seeds") + 1] == "2"
    assert kinds["0/env/t"] == "int32[2,1,4]"


def test_layouts():
    assert devices.layout(8).per_device == 2
    assert devices.layout(5)[1:] == (tuple(jax.devices()[:3]), 2, False)
    assert devices.layout(3, 2)[1:] == (tuple(jax.devices()[:2]), 3, True)
    lay = devices.layout(5)
    values = np.arange(10.0).reshape(5, 2)
    np.testing.assert_array_equal(devices.collect(lay, devices.place(lay, values)), values)
    shared = devices.layout(3, 2)
    placed = devices.place(shared, values[:3])
    assert placed.shape == (2, 3, 2)
    np.testing.assert_array_equal(placed[0], placed[1])
    np.testing.assert_array_equal(devices.collect(shared, placed), values[:3])
    lanes = np.arange(24).reshape(12, 2)
    for layout, shape in ((lay, (3, 2, 2, 2)), (shared, (2, 3, 2, 2))):
        folded = devices.lanes_in(layout, lanes)
        assert folded.shape == shape
        np.testing.assert_array_equal(devices.lanes_out(layout, folded), lanes)


CIRCLE = ["--env-options", "goals=half-circle", "horizon=3"]
SMALL = ["--agent.hidden", "4", "--agent.batch-size", "8", "--agent.buffer-size", "64", "--agent.warmup", "16"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("daml", ["--env-options", "points=4", "--agent.hidden", "4", "--agent.filters", "2"]),
        (
            "meta_mpc",
            [
                *[*SMALL, "--agent.members", "1", "--agent.updates", "1", "--agent.population", "4"],
                *["--agent.elites", "2", "--agent.horizon", "1", "--agent.iterations", "1", "--agent.window", "2"],
            ],
        ),
        pytest.param(
            "pearl",
            [*CIRCLE, "episodes=2", "told=true", *SMALL, "--agent.latent", "2"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_meta_learners_learn_the_same_on_both_devices(tmp_path, monkeypatch, name, words):
    seen = []

    def saving(session):
        seen.append(on_each(session.state.agent, 2))
        save(session)

    save = training.Session.save
    monkeypatch.setattr(training.Session, "save", saving)
    words = [*words, "--num-envs", 4, "--devices", 2, "--eval-episodes", 2, "--quiet", "--steps", 128]
    succeed(name, *words, "--log-every", 64, "--checkpoint-every", 64, "--out", tmp_path / "run")
    first, *_, last = seen
    for a, b in zip(*last, strict=True):
        assert a.tobytes() == b.tobytes()
    assert any(a.tobytes() != b.tobytes() for a, b in zip(first[0], last[0], strict=True))
    train = [float(row["loss"]) for row in rows(tmp_path / "run") if row["kind"] == "train"]
    assert len(train) == 2 and np.isfinite(train).all()
    assert len(succeed("evaluate", tmp_path / "run", "--episodes", 2).result["eval_returns"]) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("maml", [*CIRCLE, "episodes=4", "--agent.epochs", 1]),
        pytest.param(
            "maesn", ["--env-options", "goals=half-circle", "horizon=3", "episodes=0"], marks=pytest.mark.slow
        ),
    ],
)
def test_tasks_of_a_batch_are_shared_out_over_devices(tmp_path, name, words):
    words = [*words, "--agent.hidden", 4, "--agent.rollouts", 2, "--num-envs", 4, "--devices", 2, "--eval-episodes", 2]
    succeed(name, *words, "--steps", 64, "--quiet", "--out", tmp_path / "run")
    kinds = {path: leaf[0] for path, leaf in saved(tmp_path / "run").items()}
    assert any("adapted" in path and kind.startswith("float32[2,1,2") for path, kind in kinds.items())
    assert len(succeed("evaluate", tmp_path / "run", "--episodes", 2).result["eval_returns"]) == 1
