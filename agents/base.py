"""The types every agent speaks: `TimeStep`, `Step`, `Sample`, `Info` and `Agent`.

Time runs along the leading axis, streams ("lanes") along the second: a window of experience is `Step[T+1, B]`, T
transitions of B lanes. Row t holds the observation x_t, the reward r_t and the discount γ_t that arrived *with* x_t,
and the action taken *from* x_t; so the transition t-1 -> t reads its reward and discount from row t.

What an environment returns is defined in `envs.base`, which says how episodes end, and how experience is stored in
`replay.base`; both are named here, so that an agent or a notebook imports from one place.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from envs.base import FIRST, LAST, MID, Array, Key, TimeStep, Tree, batch_of, select
from replay.base import Info, Sample, Step, over_window, valid

__all__ = [
    "FIRST",
    "LAST",
    "MID",
    "Agent",
    "Array",
    "Info",
    "Key",
    "Sample",
    "Step",
    "TimeStep",
    "Tree",
    "batch_of",
    "over_window",
    "select",
    "valid",
]


class Agent(NamedTuple):
    """Six pure functions. The same object runs in graph, on the host driver, over many seeds and many devices."""

    init: Callable[[Key, TimeStep], Any]
    """`(key, timestep[B]) -> State`: parameters, targets, optimiser, statistics, counters."""

    actor: Callable[[Any], Any]
    """`(State) -> Actor`: only what acting needs."""

    begin: Callable[[int], Any]
    """`(B) -> Carry`: memory of B fresh streams; `()` if the agent has none."""

    act: Callable[..., tuple[Tree, Any, Any]]
    """`(Actor, key, Carry, timestep[B], explore) -> (action[B], Carry, extras)`. `explore` is a Python bool. An agent
    with memory resets it itself where `timestep.first()`."""

    update: Callable[[Any, Key, Sample], tuple[Any, Info]]
    """`(State, key, Sample) -> (State, Info)`: one learning step on windows `[T+1, N]`. The action and extras of the
    last row were computed but need not have been taken; agents use its observation and extras only."""

    stored: Callable[[Any], Any] = lambda carry: ()
    """`(Carry) -> carry`: what of its memory is stored with the row that began with it, as `Step.carry`, so that
    `update` can unroll a network from there; by default nothing."""
