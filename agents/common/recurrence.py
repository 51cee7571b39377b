"""How agents with a recurrent network learn from the memory that they acted with.

The carry that a row *began* with is stored with it, as `Step.carry`; `update` unrolls the network from the carry of the
first row of a window. Feed-forward networks have the carry `()`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Agent, Info, Key, Sample, Step, TimeStep
from networks.base import Network
from replay.base import opening


def entire(carry: Any) -> Any:
    """`Agent.stored` of an agent whose carry is its network's."""
    return carry


def before(steps: Step) -> Step:
    """All rows of a window but the last, with the carry of the first."""
    carry = opening(steps).carry
    return jax.tree.map(lambda x: x[:-1], steps._replace(carry=()))._replace(carry=carry)


def step(network: Network, params: Any, key: Key | None, carry: Any, timestep: TimeStep) -> tuple[Any, Any]:
    """One step of the network for B lanes: `(output[B], carry[B])`."""
    lift = lambda tree: jax.tree.map(lambda x: x[None], tree)  # noqa: E731
    output, carry = network.apply(params, key, carry, lift(timestep.observation), timestep.first()[None])
    return jax.tree.map(lambda x: x[0], output), carry


def step_apart(network: Network, params: Any, key: Key, carry: Any, timestep: TimeStep) -> tuple[Any, Any]:
    """As `step`, with draws of its own in every lane, for networks with noisy layers."""

    def one(key: Key, carry: Any, timestep: TimeStep) -> tuple[Any, Any]:
        alone = jax.tree.map(lambda x: x[None], (carry, timestep))
        return jax.tree.map(lambda x: x[0], step(network, params, key, *alone))

    return jax.vmap(one)(jax.random.split(key, timestep.reward.shape[0]), carry, timestep)


def unroll(network: Network, params: Any, key: Key, steps: Step, burn_in: int = 0) -> Any:
    """The network's output over a window, from the memory stored with its first row.

    Args:
      network: feed-forward or recurrent.
      params: its parameters; those that unroll a window need not be those that stored the memory.
      key: for noisy layers.
      steps: `[T+1, N]`.
      burn_in: rows at the start that only bring the memory up to date with the parameters. No gradient flows through
        them (Kapturowski et al., ICLR 2019, section 3); a feed-forward network skips them.

    Returns:
      The output of rows `burn_in`, ..., T: `[T+1-burn_in, N, ...]`.
    """
    carry = jax.tree.map(lambda x: x[0], steps.carry)
    if burn_in and jax.tree.leaves(carry):
        k_burn_in, key = jax.random.split(key)
        past = jax.tree.map(lambda x: x[:burn_in], steps.timestep)
        _, carry = network.apply(params, k_burn_in, carry, past.observation, past.first())
        carry = jax.lax.stop_gradient(carry)
    rest = jax.tree.map(lambda x: x[burn_in:], steps.timestep)
    output, _ = network.apply(params, key, carry, rest.observation, rest.first())
    return output


def forgetful(agent: Agent) -> Agent:
    """The agent, but every window it learns from starts with fresh memory, as DRQN's do, and no memory is stored.

    Zeros are wrong for a window that begins within an episode; what is learned has to put up with it.
    """

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        rows, lanes = sample.steps.timestep.reward.shape
        fresh = agent.stored(agent.begin(lanes))
        carry = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (rows, *x.shape)), fresh)
        return agent.update(state, key, sample._replace(steps=sample.steps._replace(carry=carry)))

    return agent._replace(update=update, stored=lambda carry: ())


def pairs(network: Network, params: Any, key: Key, steps: Step) -> tuple[Any, Any]:
    """The network's outputs `[T, N]` before and after each transition of a window.

    A feed-forward network is applied to either end on its own, with its own draws of noise, and whichever output is
    unused costs nothing.
    """
    if jax.tree.leaves(steps.carry):
        output = unroll(network, params, key, steps)
        return jax.tree.map(lambda x: x[:-1], output), jax.tree.map(lambda x: x[1:], output)
    before, after = jax.tree.map(lambda x: x[:-1], steps), jax.tree.map(lambda x: x[1:], steps)
    k_before, k_after = jax.random.split(key)
    return unroll(network, params, k_before, before), unroll(network, params, k_after, after)
