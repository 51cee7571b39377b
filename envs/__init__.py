"""Environments: in graph (`Environment`) and outside it (`HostEnvironment`), by name (`make`) or by constructor."""

from envs import wrappers
from envs.base import Box, Discrete, Environment, Goals, HostEnvironment, Pool, Space, Spec, blank, episodic
from envs.host import pool_of
from envs.registry import make, names, parse_options, suites

__all__ = [
    "Box",
    "Discrete",
    "Environment",
    "Goals",
    "HostEnvironment",
    "Pool",
    "Space",
    "Spec",
    "blank",
    "episodic",
    "make",
    "names",
    "parse_options",
    "pool_of",
    "suites",
    "wrappers",
]
