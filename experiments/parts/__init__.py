"""Builders and refusals that commands share."""

from experiments.parts import (
    actor_critics,
    off_policy,
    presets,
    presets_policy,
    recurrent,
    staged,
    workers,
    worlds,
)
from experiments.parts.builders import (
    Precision,
    actor_critic,
    check_tabular,
    core,
    critics,
    discrete_actions,
    torso,
    unit_box,
)
from experiments.parts.checks import (
    check_atoms,
    check_buffer,
    check_images,
    check_layers,
    check_memory,
    check_passes,
    check_replay,
    shares,
)
from experiments.parts.learning import centred, clipped, linear, normalised
from experiments.parts.presets import merge

__all__ = [
    "Precision",
    "actor_critic",
    "actor_critics",
    "centred",
    "check_atoms",
    "check_buffer",
    "check_images",
    "check_layers",
    "check_memory",
    "check_passes",
    "check_replay",
    "check_tabular",
    "clipped",
    "core",
    "critics",
    "discrete_actions",
    "linear",
    "merge",
    "normalised",
    "off_policy",
    "presets",
    "presets_policy",
    "recurrent",
    "shares",
    "staged",
    "torso",
    "unit_box",
    "workers",
    "worlds",
]
