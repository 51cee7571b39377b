"""What a command is made of: its flags, their ranges, and what it builds."""

from typing import TYPE_CHECKING, Any

from experiments.drivers.contract import Parts, Schedule
from experiments.run import data, flags, folders, population, prepare, ranges, recording, records
from experiments.run.cores import use_cores
from experiments.run.experiment import Experiment, trained
from experiments.run.flags import Common, Offline, Presets, check, contents, fail, flag, flat, grid, parse, preset
from experiments.run.plans import Size
from experiments.run.ranges import Count, Limit, NonNegative, Pair, Positive, Real, Share, Steps, Unit, Whole
from experiments.run.ranges import check as check_ranges
from experiments.run.results import load

if TYPE_CHECKING:  # commands name them in signatures, and their `--help` must not wait for JAX
    from agents.base import Agent as Agent
    from envs.base import Box, Discrete
    from envs.base import Spec as Spec
    from networks import Network as Network

    class Counted(Spec):
        """Of a task that `check` has found to have discrete actions."""

        action: Discrete

    class Bounded(Spec):
        """Of a task that `check` has found to have a vector of bounded actions."""

        action: Box

    class Either(Spec):
        """Of a task that `check` has found to have discrete or bounded actions; which of them, `make` asks."""

        action: Any


__all__ = [
    "Common",
    "Count",
    "Experiment",
    "Limit",
    "NonNegative",
    "Offline",
    "Pair",
    "Parts",
    "Positive",
    "Presets",
    "Real",
    "Schedule",
    "Share",
    "Size",
    "Steps",
    "Unit",
    "Whole",
    "check",
    "check_ranges",
    "contents",
    "data",
    "fail",
    "flag",
    "flags",
    "flat",
    "folders",
    "grid",
    "load",
    "parse",
    "population",
    "prepare",
    "preset",
    "ranges",
    "recording",
    "records",
    "trained",
    "use_cores",
]
