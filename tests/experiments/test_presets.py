"""Presets: that all resolve, what wins over them, what is stored, and the scores and precision of Atari runs."""

import dataclasses
import json
from importlib import import_module
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.dqn import State
from envs.base import Box, Discrete, Spec
from experiments import dqn, evaluate
from experiments.drivers import devices
from experiments.run import flags, plans, prepare
from experiments.run import train as training
from tests.experiments.running import FLAGS, call

PRESETS = {
    name: import_module(f"experiments.{name}").experiment.presets
    for name in ("dqn", "c51", "qr_dqn", "iqn", "rainbow", "pqn", "r2d2")
}
ALL = [(experiment, name) for experiment, presets in PRESETS.items() for name in presets]
every = pytest.mark.parametrize(("experiment", "name"), ALL)


def resolved(experiment, name):
    return flags.preset(import_module(f"experiments.{experiment}").Flags, name, PRESETS[experiment])


def typed(values):
    """The values of a preset as words on a command line."""
    words = []
    for field, value in values.items():
        if isinstance(value, bool):
            *group, last = field.split(".")
            words.append(flags.flag(".".join([*group, last if value else f"no-{last}"])))
        else:
            words += [flags.flag(field), *(map(str, value) if isinstance(value, tuple) else [str(value)])]
    return words


@every
def test_a_preset_is_what_could_be_typed(experiment, name):
    kind = import_module(f"experiments.{experiment}").Flags
    assert flags.parse(kind, typed(PRESETS[experiment][name]), "x") == resolved(experiment, name)


@every
def test_a_preset_is_a_run(experiment, name):
    module, config = import_module(f"experiments.{experiment}"), resolved(experiment, name)
    flags.check(config)
    assert flags.grid(config) == [{}]
    env = prepare.environment(config)
    assert env.spec.name == ("gymnax/Breakout-MinAtar" if name == "minatar" else "atari/Pong")
    module.check(config.agent, env.spec, prepare.size_of(config))
    parts = prepare.parts_maker(config, env.spec, module.make)({})
    _, plan = plans.planned(config, parts)
    assert plan.chunks >= 95, "a hundred log points, less what rounding and the warm-up take"


def test_every_experiment_that_should_have_them_has_them():
    for experiment, presets in PRESETS.items():
        outcome = call(experiment, "--preset", "atary")
        assert outcome.code == 2
        assert outcome.err == f"error: --preset atary: not one of this experiment's: {', '.join(presets)}\n"
        assert {"atari", "atari-classic"} <= presets.keys()
    assert "--preset atari: not one of this experiment's: it has none" in call("drqn", "--preset", "atari").err


def test_protocols():
    for experiment in PRESETS:
        sticky, classic = (resolved(experiment, name).env_options for name in ("atari", "atari-classic"))
        assert sticky == ("protocol=sticky",)
        assert classic[0] == "protocol=classic"


def test_a_million_frames_fit_8_gb():
    config = resolved("dqn", "atari")
    assert config.agent.buffer_size == 1_000_000
    env = prepare.environment(config)
    make = prepare.parts_maker(config, env.spec, dqn.make)
    seeds = np.array([0])
    numbers = {"num_envs": config.num_envs, "iterations": 1, "eval_episodes": 1}
    state = prepare.driver_of(env, make, {"run": seeds}, devices.layout(1), seeds, **numbers).shape()
    size = sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(state.replay))
    assert 84 * 84 * 1e6 < size < 7.2e9


def test_what_is_given_wins():
    parse = lambda *words: flags.parse(dqn.Flags, [*words], "x", PRESETS["dqn"])  # noqa: E731
    plain, preset = parse(), parse("--preset", "atari")
    assert plain == dqn.Flags()
    assert preset == dataclasses.replace(resolved("dqn", "atari"), preset="atari")
    words = ["--env", "atari/Qbert", "--agent.n-step", "3", "--agent.double", "--agent.hidden", "16", "--num-envs", "2"]
    for given in (["--preset=atari", *words], [*words, "--preset", "atari"]):
        chosen = parse(*given)
        agent = dataclasses.replace(preset.agent, n_step=3, double=True, hidden=(16,))
        assert chosen == dataclasses.replace(preset, env="atari/Qbert", num_envs=2, agent=agent)


def test_a_preset_with_an_unknown_flag_is_refused():
    for field, told in (("speed", "--speed"), ("agent.speed", "--agent.speed")):
        with pytest.raises(ValueError, match=f"--preset fast: there is no flag {told}"):
            flags.preset(dqn.Flags, "fast", {"fast": {field: 1}})


def test_help_lists_presets_and_shows_their_values():
    plain, preset = (" ".join(call("dqn", *words, "--help").out.split()) for words in ([], ["--preset", "atari"]))
    for text in (plain, preset):
        assert f"Presets: {', '.join(PRESETS['dqn'])}." in text
    assert "(default: 50000000)" in preset
    assert "(default: 50000000)" not in plain
    assert "Presets:" not in call("drqn", "--help").out


def test_resolved_flags_are_stored_and_resume(tmp_path):
    words = [word for word in FLAGS["dqn"] if word != "--quiet"]
    kind, command = dqn.Flags, "python -m experiments.dqn"
    whole = flags.parse(kind, words, command)
    tiny = {name: value for name, value in flags.flat(whole).items() if value != flags.flat(kind())[name]}
    assert {"env", "num_envs", "agent.hidden"} <= tiny.keys()
    presets = {"tiny": tiny | {"steps": 4_160}, "other": {}}
    folder = tmp_path / "run"
    config = flags.parse(kind, ["--preset", "tiny", "--steps", "2112", "--out", str(folder)], command, presets)
    prepare.prepare(dqn.experiment, config)
    stored = json.loads((folder / "config.json").read_text())["flags"]
    assert (stored["preset"], stored["steps"], stored["agent"]["hidden"]) == ("tiny", 2_112, [8])
    assert stored["agent"]["batch_size"] == whole.agent.batch_size
    now = {"tiny": {}, "other": {}}  # what the name means now does not matter
    resumed = flags.parse(kind, ["--resume", str(folder), "--steps", "4160"], command, now)
    assert resumed.agent == config.agent
    assert (resumed.preset, resumed.steps) == ("tiny", 4_160)
    for words in (["--preset", "other"], ["--preset", "none"]):
        assert f"--preset was 'tiny', is '{words[1]}'" in call("dqn", "--resume", folder, *words).err


def result(env, returns):
    numbers = {"wall_seconds": 2.0, "compile_seconds": 1.0, "steps_per_second": 9.0, "env_steps": 64}
    scores = {"eval_returns": returns, "eval_returns_best": returns, "eval_iqm": -3.05, "eval_ci95": (-20.7, 14.6)}
    return {"experiment": "dqn", "env": env, "seeds": 2, **numbers, **scores}


def test_tables_have_human_normalised_scores_of_atari(monkeypatch, capsys):
    lines = training.table([Path("x")], [result("atari/Pong", np.array([-20.7, 14.6]))], 0).splitlines()
    human = next(line for line in lines if line.split()[:1] == ["human"])
    assert human.split()[1:3] == ["50.0%", "50.0%"]
    assert "human" not in training.table([Path("x")], [result("bellmax/catch", np.array([0.0, 1.0]))], 0)

    played = {"seeds": [0], "policy": "best", "at_steps": 64, "counted": "steps", "episodes": 1, "eval_returns": [1.0]}
    for env, told in (("atari/Pong", "50.0%   normalised; 95 % interval 0.0% to 100.0%"), ("bellmax/catch", None)):
        monkeypatch.setattr(evaluate, "play", lambda _, env=env: result(env, [1.0]) | played)
        assert evaluate.main(["run"])["env"] == env
        printed = capsys.readouterr().out
        assert (told in printed) if told else ("human" not in printed)


IMAGES = Spec("images", Box((36, 36, 2), 0, 255, np.uint8), Discrete(3))


@pytest.mark.parametrize("extra", [{}, {"objective": "categorical", "dueling": True}])
def test_precision_is_a_flag(extra):
    rng = np.random.default_rng(0)
    images, first = rng.integers(0, 256, (1, 4, 36, 36, 2), np.uint8), np.zeros((1, 4), bool)
    outputs, computed = {}, {}
    for dtype in ("float32", "bfloat16"):
        config = dqn.Config(hidden=(8, 8), dtype=dtype, **extra)
        network = dqn.network(config, IMAGES)
        shapes = jax.eval_shape(network.init, jax.random.key(0), jnp.asarray(images[0]))
        fill = np.random.default_rng(1)
        params = jax.tree.map(lambda x, fill=fill: fill.normal(0, 0.05, x.shape).astype(x.dtype), shapes)
        assert {x.dtype for x in jax.tree.leaves(params)} == {jnp.dtype("float32")}
        apply = lambda p, n=network: n.apply(p, None, (), jnp.asarray(images), jnp.asarray(first))[0]  # noqa: E731
        outputs[dtype] = jax.jit(apply)(params)
        equations = str(jax.make_jaxpr(apply)(params)).splitlines()
        products = [line for line in equations if "dot_general[" in line or "conv_general" in line]
        computed[dtype] = [line for line in products if ":bf16[" in line]
        assert len(products) >= 5
    assert outputs["bfloat16"].dtype == outputs["float32"].dtype == jnp.float32
    assert not computed["float32"]
    assert len(computed["bfloat16"]) >= 4, "three convolutions and the dense layers, not the head"
    np.testing.assert_allclose(outputs["bfloat16"], outputs["float32"], atol=0.1)
    assert (outputs["bfloat16"] != outputs["float32"]).any()


@pytest.mark.parametrize("steps", [10_000, 1_000_000])
def test_epsilon_decays_over_steps_whatever_the_length_of_the_run(steps):
    spec = envs.make("bellmax/catch").spec
    settings = {"epsilon_steps": 1_000, "epsilon_start": 1.0, "epsilon_end": 0.2, "unroll": 2, "updates": 3}
    parts = dqn.make(dqn.Config(hidden=(8,), **settings), spec, plans.Size(5, 1, steps))
    empty = State(*[()] * len(State._fields))
    for taken, epsilon in ((0, 1.0), (500, 0.6), (1_000, 0.2), (2_000, 0.2)):
        actor = parts.agent.actor(empty._replace(updates=jnp.int32(taken / 10 * 3)))
        np.testing.assert_allclose(actor.epsilon, epsilon, atol=1e-6)
