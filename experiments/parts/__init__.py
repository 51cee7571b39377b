"""Builders and refusals that commands share."""

from experiments.parts import (
    actor_critics,
    off_policy,
    presets,
    presets_control,
    presets_goals,
    presets_policy,
    recurrent,
    workers,
    worlds,
)
from experiments.parts.builders import Precision, actor_critic, core, critics, discrete_actions, torso, unit_box
from experiments.parts.checks import check_buffer, check_images, check_layers, check_passes
from experiments.parts.learning import centred, clipped, linear, normalised

__all__ = [
    "Precision",
    "actor_critic",
    "actor_critics",
    "centred",
    "check_buffer",
    "check_images",
    "check_layers",
    "check_passes",
    "clipped",
    "core",
    "critics",
    "discrete_actions",
    "linear",
    "normalised",
    "off_policy",
    "presets",
    "presets_control",
    "presets_goals",
    "presets_policy",
    "recurrent",
    "torso",
    "unit_box",
    "workers",
    "worlds",
]
