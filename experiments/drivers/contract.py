"""What an experiment builds for a driver. No JAX here: commands import this for `--help`."""

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from agents.base import Agent
    from replay.base import Replay


class Schedule(NamedTuple):
    """How acting and learning alternate. All static."""

    unroll: int = 1
    """T, environment steps in each lane per iteration."""
    updates: int = 1
    """U, learning steps per iteration."""
    warmup: int = 0
    """Iterations that only act and store, before the first update."""


class Parts(NamedTuple):
    """What an experiment builds, for one run; its numbers may be traced."""

    agent: "Agent"
    replay: "Replay"
    schedule: Schedule


if TYPE_CHECKING:
    Hypers: TypeAlias = dict[str, Any]
    """What differs between runs: flags of the agent and the run's number, by name; numbers, or arrays of them."""

    Make: TypeAlias = Callable[[Hypers], Parts]
    """What makes the parts of one run."""
