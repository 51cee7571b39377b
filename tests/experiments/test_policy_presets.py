"""Presets of the policy gradients: that all are flags that could be typed, on a task that there is."""

from importlib import import_module

import pytest

from experiments.parts.presets_policy import PRESETS
from experiments.run import flags, prepare
from tests.experiments.test_presets import typed

ALL = [(experiment, name) for experiment, presets in PRESETS.items() for name in presets]


@pytest.mark.parametrize(("experiment", "name"), ALL)
def test_a_preset_is_a_run(experiment, name):
    module = import_module(f"experiments.{experiment}")
    config = flags.preset(module.Flags, name, PRESETS[experiment])
    assert flags.parse(module.Flags, typed(PRESETS[experiment][name]), "x") == config
    flags.check(config)
    env = prepare.environment(config)
    prepare.parts_maker(config, env.spec, module.make)({})
