"""Presets of the policy gradients: that all are flags that could be typed, on a task that there is."""

from importlib import import_module

import pytest

from experiments.run import flags, prepare
from tests.experiments.test_presets import typed

EXPERIMENTS = {
    name: import_module(f"experiments.{name}").experiment for name in ("ppo", "a2c", "trpo", "acer", "impala")
}
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
    assert all("cartpole" in experiment.presets for experiment in EXPERIMENTS.values())
    assert [name for name, experiment in EXPERIMENTS.items() if "atari" in experiment.presets] == [
        "ppo",
        "a2c",
        "impala",
    ]
    assert [name for name, experiment in EXPERIMENTS.items() if "mujoco" in experiment.presets] == ["ppo", "trpo"]
