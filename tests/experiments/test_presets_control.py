"""Presets of continuous control: that all can be typed, and make a run on the tasks they are for."""

import dataclasses
from importlib import import_module

import pytest

from experiments.run import flags, plans, prepare
from tests.experiments.test_presets import typed

PRESETS = {name: import_module(f"experiments.{name}").experiment.presets for name in ("ddpg", "td3", "sac", "naf")}
every = pytest.mark.parametrize(("experiment", "name"), [(e, name) for e, some in PRESETS.items() for name in some])


@every
def test_a_preset_is_a_run_that_could_be_typed(experiment, name):
    module = import_module(f"experiments.{experiment}")
    config = flags.preset(module.Flags, name, PRESETS[experiment])
    assert flags.parse(module.Flags, typed(PRESETS[experiment][name]), "x") == config
    flags.check(config)
    for env in {config.env, "envpool/Hopper-v4", "envpool/Walker2d-v5"} if name == "mujoco" else {config.env}:
        spec = prepare.environment(dataclasses.replace(config, env=env)).spec
        module.check(config.agent, spec, prepare.size_of(config))
        parts = prepare.parts_maker(config, spec, module.make)({})
        _, plan = plans.planned(config, parts)
        assert plan.chunks >= 95, "a hundred log points, less what rounding and the warm-up take"
        learned = parts.schedule.updates * getattr(config.agent, "delay", 1)
        assert learned == parts.schedule.unroll * config.num_envs or name == "mountain-car"


def test_which_presets_there_are():
    everywhere = ["mujoco", "dm-control", "mountain-car"]
    assert {name: list(presets) for name, presets in PRESETS.items()} == {
        "ddpg": everywhere,
        "td3": ["mujoco", "mujoco-paper", "dm-control", "mountain-car"],
        "sac": everywhere,
        "naf": ["mujoco", "dm-control"],
    }
