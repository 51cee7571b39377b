"""Presets of commands that learn from demonstrations: that all can be typed, and are the settings of the claims."""

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import replay
from experiments.reports.evidence import claims
from experiments.run import flags, plans, prepare
from tests.experiments.test_presets import typed
from tests.sets import drawn

PRESETS = {
    name: import_module(f"experiments.{name}").experiment.presets
    for name in ("dqfd", "ddpgfd", "dagger", "maxent_irl", "gail")
}
every = pytest.mark.parametrize(("experiment", "name"), [(e, name) for e, some in PRESETS.items() for name in some])


def test_which_presets_there_are() -> None:
    assert {name: list(presets) for name, presets in PRESETS.items() if name != "gail"} == {
        "dqfd": ["deep-sea"],
        "ddpgfd": ["pendulum", "paper"],
        "dagger": ["cartpole"],
        "maxent_irl": ["grid"],
    }


@every
def test_a_preset_is_a_run_that_could_be_typed(experiment: str, name: str, tmp_path: Path) -> None:
    module: Any = import_module(f"experiments.{experiment}")
    config = flags.preset(module.Flags, name, PRESETS[experiment])
    assert flags.parse(module.Flags, typed(PRESETS[experiment][name]), "x") == config
    flags.check(config)
    spec = prepare.environment(config).spec
    if isinstance(config.agent, module.parts.demonstrations.Learning):
        replay.save(drawn(spec), tmp_path / "shown.npz")
        agent = dataclasses.replace(config.agent, demonstrations=str(tmp_path / "shown.npz"))
        config = dataclasses.replace(config, agent=agent)
    module.check(config.agent, spec, prepare.size_of(config))
    parts = prepare.parts_maker(config, spec, module.make)({})
    assert plans.planned(config, parts)[1].chunks >= 1


@pytest.mark.parametrize(("claim", "name"), [("dagger_cartpole", "cartpole"), ("maxent_irl_grid", "grid")])
def test_a_preset_is_the_setting_of_its_claim(claim: str, name: str) -> None:
    judged = claims.load(claim)
    module: Any = import_module(f"experiments.{judged.experiment}")
    words = judged.command("whole")[1:]
    kept = {"preset": name, "seed": judged.seeds[0], "seeds": len(judged.seeds)}
    preset = dataclasses.replace(flags.preset(module.Flags, name, module.PRESETS), **kept)
    assert dataclasses.replace(flags.parse(module.Flags, words, "x"), preset=name) == preset
