"""How agents with a recurrent network pass their memory from acting to learning.

`act` stores the carry it *started* a row with under `extras["carry"]`; `update` unrolls the network from the carry of
the first row of a window. Feed-forward networks have the carry `()` and store nothing.
"""

from typing import Any

import jax

from agents.base import Key, Step, TimeStep
from networks.base import Network


def stored(carry: Any) -> dict[str, Any]:
    """The extras that let `unroll` start from `carry`."""
    return {"carry": carry} if jax.tree.leaves(carry) else {}


def step(network: Network, params: Any, key: Key, carry: Any, timestep: TimeStep) -> tuple[Any, Any]:
    """One step of the network for B lanes: `(output[B], carry[B])`."""
    lift = lambda tree: jax.tree.map(lambda x: x[None], tree)  # noqa: E731
    output, carry = network.apply(params, key, carry, lift(timestep.observation), timestep.first()[None])
    return jax.tree.map(lambda x: x[0], output), carry


def unroll(network: Network, params: Any, key: Key, steps: Step) -> Any:
    """The network's output `[T+1, N]` over a window, from the memory stored with its first row."""
    carry = jax.tree.map(lambda x: x[0], steps.extras["carry"]) if "carry" in steps.extras else ()
    output, _ = network.apply(params, key, carry, steps.timestep.observation, steps.timestep.first())
    return output


def pairs(network: Network, params: Any, key: Key, steps: Step) -> tuple[Any, Any]:
    """The network's outputs `[T, N]` before and after each transition of a window.

    A feed-forward network is applied to either end on its own, so that whichever output is unused costs nothing.
    """
    if "carry" in steps.extras:
        output = unroll(network, params, key, steps)
        return jax.tree.map(lambda x: x[:-1], output), jax.tree.map(lambda x: x[1:], output)
    before, after = jax.tree.map(lambda x: x[:-1], steps), jax.tree.map(lambda x: x[1:], steps)
    return unroll(network, params, key, before), unroll(network, params, key, after)
