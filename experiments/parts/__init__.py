"""Builders and refusals that commands share."""

from experiments.parts.builders import Precision, actor_critic, core, critics, discrete_actions, torso, unit_box
from experiments.parts.checks import check_buffer, check_layers, check_passes
from experiments.parts.learning import clipped, linear, normalised

__all__ = [
    "Precision",
    "actor_critic",
    "check_buffer",
    "check_layers",
    "check_passes",
    "clipped",
    "core",
    "critics",
    "discrete_actions",
    "linear",
    "normalised",
    "torso",
    "unit_box",
]
