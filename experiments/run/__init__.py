"""What a command is made of: its flags, their ranges, and what it builds."""

from experiments.drivers.contract import Parts, Schedule
from experiments.run.command import main
from experiments.run.flags import Common, Presets, check, contents, fail, flag, flat, grid, load, parse, preset
from experiments.run.plans import Size
from experiments.run.ranges import Count, Limit, NonNegative, Pair, Positive, Real, Share, Steps, Unit, Whole

__all__ = [
    "Common",
    "Count",
    "Limit",
    "NonNegative",
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
    "contents",
    "fail",
    "flag",
    "flat",
    "grid",
    "load",
    "main",
    "parse",
    "preset",
]
