"""Commands of offline reinforcement learning: every preset is a run, and flags that do not go together are refused."""

from importlib import import_module

import jax
import jax.numpy as jnp
import pytest

import envs
import replay
from envs import keys
from envs.base import blank
from experiments.run import data, flags, prepare
from tests.experiments.running import call
from tests.sets import path_of

REACH_GOALS = ("hiql", "qrl", "crl")
LEARN_VALUES = ("iql", "cql", "td3_bc", "awac", "bcq", "bear", "edac", "mopo")
ALL = [
    (name, preset)
    for name in (*LEARN_VALUES, *REACH_GOALS, "dt", "bc")
    for preset in ("", *import_module(f"experiments.{name}").experiment.presets)
]


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_a_preset_is_a_run(name, preset):
    experiment = import_module(f"experiments.{name}").experiment
    config = flags.preset(experiment.flags, preset, experiment.presets)
    flags.check(config)
    assert flags.grid(config) == [{}]
    made = config.dataset and not config.env and data.task_of("--dataset", config.dataset)[0]
    plain = "bellmax/pointmaze-medium" if name in REACH_GOALS else "bellmax/pendulum"
    env = envs.make(config.env or made or plain)
    facts = replay.dataset.unknown(env.spec)
    experiment.check(config.agent, env.spec, prepare.size_of(config, facts))
    parts = prepare.parts_maker(config, env.spec, experiment.make, facts)({})
    first = jax.tree.map(jnp.asarray, blank(env.spec, 1))
    assert jax.tree.leaves(jax.eval_shape(parts.agent.init, keys.key(0), first))


REFUSED = [
    ("iql", "bellmax/catch", ["--agent.level", "1"], "--agent.level 1.0: must be below 1"),
    ("cql", "bellmax/pendulum", ["--agent.gap", "5", "--agent.penalty", "0"], "--agent.gap 5.0: of use only with"),
    ("cql", "bellmax/catch", ["--agent.gap", "5"], "--agent.gap 5.0: is for continuous actions"),
    ("cql", "bellmax/catch", ["--agent.calibrated"], "--agent.calibrated: is for continuous actions"),
    (
        "cql",
        "bellmax/pendulum",
        ["--agent.calibrated", "--agent.penalty", "0"],
        "--agent.calibrated: of use only with --agent.penalty above 0",
    ),
    ("cql", "bellmax/pendulum", ["--agent.temperature", "0"], "--agent.temperature 0.0: must be above 0"),
    ("td3_bc", "bellmax/catch", [], "--env bellmax/catch: td3_bc needs a vector of bounded actions"),
    ("td3_bc", "bellmax/pendulum", ["--agent.no-clone", "--agent.weight", "1"], "--agent.weight 1.0: of use only with"),
    ("edac", "bellmax/pendulum", ["--agent.critics", "1"], "--agent.critics 1: must be 2 or more"),
    ("bear", "bellmax/catch", [], "--env bellmax/catch: bear needs a vector of bounded actions"),
    (
        "mopo",
        "bellmax/pendulum",
        ["--agent.starts", "50"],
        "--agent.starts 50: must be a multiple of --agent.members 7",
    ),
    ("mopo", "bellmax/pendulum", ["--agent.n-step", "2"], "--agent.n-step 2: models learn what one action leads to"),
    ("mopo", "bellmax/pendulum", ["--agent.real", "2000"], "--agent.real 2000: must be at most --agent.batch-size"),
    ("hiql", "bellmax/pendulum", [], "--env bellmax/pendulum: hiql needs a task with goals, such as"),
    ("hiql", "bellmax/four-rooms", [], "--env bellmax/four-rooms: hiql needs a vector of bounded actions"),
    ("hiql", "bellmax/pointmaze-medium", ["--agent.level", "1"], "--agent.level 1.0: must be below 1"),
    (
        "hiql",
        "bellmax/pointmaze-medium",
        ["--agent.value-current", "0.6"],
        "--agent.value-current 0.6 --agent.value-future 0.5: must be shares of one whole",
    ),
    (
        "qrl",
        "bellmax/pointmaze-medium",
        ["--agent.component", "5"],
        "--agent.component 5: must divide --agent.latent 512",
    ),
    ("crl", "bellmax/pointmaze-medium", ["--agent.batch-size", "1"], "--agent.batch-size 1: must give each device 2"),
    ("bc", "bellmax/pendulum", ["--agent.goals", "future"], "--agent.goals future: needs a task with goals"),
    ("dt", "bellmax/catch", ["--agent.heads", "3"], "--agent.heads 3: must divide --agent.width 128"),
    ("dt", "bellmax/catch", ["--agent.dropout", "1"], "--agent.dropout 1.0: must be below 1"),
]


@pytest.mark.parametrize(("name", "env", "words", "told"), REFUSED, ids=[f"{each[0]}-{each[3]}" for each in REFUSED])
def test_what_does_not_go_together_is_refused_in_one_line(name, env, words, told, tmp_path):
    outcome = call(name, "--dataset", path_of(env), *words, "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1 and told in outcome.err, outcome.err
