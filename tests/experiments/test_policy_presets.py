"""Presets of the policy gradients: that all are flags that could be typed, on a task that there is."""

from importlib import import_module

import pytest

from experiments.run import flags, prepare
from tests.experiments.test_presets import typed

PLAIN = ("ppo", "a2c", "trpo", "acer", "impala")
EXPERIMENTS = {name: import_module(f"experiments.{name}").experiment for name in (*PLAIN, "maesn", "pearl", "meta_mpc")}
ALL = [(name, preset) for name, experiment in EXPERIMENTS.items() for preset in experiment.presets]


@pytest.mark.parametrize(("name", "preset"), ALL)
def test_a_preset_is_a_run(name, preset):
    experiment = EXPERIMENTS[name]
    config = flags.preset(experiment.flags, preset, experiment.presets)
    assert flags.parse(experiment.flags, typed(experiment.presets[preset]), "x") == config
    flags.check(config)
    env = prepare.environment(config)
    experiment.check(config.agent, env.spec, prepare.size_of(config))
    prepare.parts_maker(config, env.spec, experiment.make)({})


def test_every_policy_gradient_that_should_have_presets_has_them():
    assert all("cartpole" in EXPERIMENTS[name].presets for name in PLAIN)
    assert [name for name in PLAIN if "atari" in EXPERIMENTS[name].presets] == [
        "ppo",
        "a2c",
        "impala",
    ]
    assert [name for name in PLAIN if "mujoco" in EXPERIMENTS[name].presets] == ["ppo", "trpo"]


CONSTRUCTION = {
    "promp": {"surrogate": "lvc", "kl_cost": 5e-4, "outer": "ppo", "exploration": 0.0, "pretrain": False},
    "ape_x": {"double": True, "dueling": True, "priorities": "proportional", "n_step": 3, "ladder": 7.0},
    "gorila": {"double": False, "dueling": False, "n_step": 1},
    "c51": {"objective": "categorical"},
    "qr_dqn": {"objective": "quantile"},
    "iqn": {"objective": "implicit"},
    "rainbow": {
        "objective": "categorical", "double": True, "dueling": True, "noisy": "factorised", "n_step": 3,
        "priorities": "proportional", "epsilon_start": 0.0, "epsilon_end": 0.0,
    },
    "td3": {"critics": 2, "delay": 2, "smoothing": 0.2},
    "ape_x_dpg": {"n_step": 5, "priorities": "proportional"},
    "awac": {"explicit": False},
}  # fmt: skip
"""What makes a command its own, of those whose presets have parts in common with another's."""


@pytest.mark.parametrize("name", CONSTRUCTION)
def test_what_presets_have_in_common_leaves_what_makes_a_command_its_own(name):
    experiment = import_module(f"experiments.{name}").experiment
    for preset in ("", *experiment.presets):
        agent = flags.preset(experiment.flags, preset, experiment.presets).agent
        assert {field: getattr(agent, field) for field in CONSTRUCTION[name]} == CONSTRUCTION[name], preset
