"""Builders and refusals that commands share."""

from experiments.parts import (
    actor_critics,
    off_policy,
    presets,
    presets_policy,
    recurrent,
    workers,
    worlds,
)
from experiments.parts.builders import Precision, actor_critic, core, critics, discrete_actions, torso, unit_box
from experiments.parts.checks import (
    Convolutions,
    OptionalConvolutions,
    check_atoms,
    check_buffer,
    check_frames,
    check_images,
    check_layers,
    check_memory,
    check_passes,
    check_replay,
    chosen,
    shares,
)
from experiments.parts.learning import centred, clipped, linear, normalised
from experiments.parts.presets import merge

__all__ = [
    "Convolutions",
    "OptionalConvolutions",
    "Precision",
    "actor_critic",
    "actor_critics",
    "centred",
    "check_atoms",
    "check_buffer",
    "check_frames",
    "check_images",
    "check_layers",
    "check_memory",
    "check_passes",
    "check_replay",
    "chosen",
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
    "torso",
    "unit_box",
    "workers",
    "worlds",
]
