"""How agents with a recurrent network pass their memory from acting to learning.

`act` stores the carry it *started* a row with under `extras["carry"]`; `update` unrolls the network from the carry of
the first row of a window. Replays whose windows begin wherever they like keep every row's; where the window is what was
just played, only the first row's is made, `[1, N, ...]`: a memory of many rows is large. Feed-forward networks have the
carry `()` and store nothing.
"""

from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Agent, Info, Key, Sample, Step, TimeStep, Tree
from networks.base import Network


def stored(carry: Any) -> dict[str, Any]:
    """The extras that let `unroll` start from `carry`."""
    return {"carry": carry} if jax.tree.leaves(carry) else {}


def opening(steps: Step) -> Step:
    """A window that keeps the carry of its first row alone."""
    rest, carry = without(steps)
    return joined(rest, jax.tree.map(lambda x: x[:1], carry))


def without(row: Step) -> tuple[Step, dict[str, Any]]:
    """A row, or rows, without the carry; and `{"carry": ...}`, or {} if there is none."""
    if not isinstance(row.extras, dict) or "carry" not in row.extras:
        return row, {}
    rest = dict(row.extras)
    carry = rest.pop("carry")
    return row._replace(extras=rest), {"carry": carry}


def joined(rows: Step, carry: dict[str, Any]) -> Step:
    """The rows with what `without` took from them."""
    return rows._replace(extras={**rows.extras, **carry}) if carry else rows


def before(steps: Step) -> Step:
    """All rows of a window but the last, with the carry of the first."""
    rest, carry = without(opening(steps))
    return joined(jax.tree.map(lambda x: x[:-1], rest), carry)


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
    carry = jax.tree.map(lambda x: x[0], steps.extras["carry"]) if "carry" in steps.extras else ()
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

    def act(actor: Any, key: Key, carry: Any, timestep: TimeStep, explore: bool) -> tuple[Tree, Any, Any]:
        action, carry, extras = agent.act(actor, key, carry, timestep, explore)
        return action, carry, {name: extra for name, extra in extras.items() if name != "carry"}

    def update(state: Any, key: Key, sample: Sample) -> tuple[Any, Info]:
        rows, lanes = sample.steps.timestep.reward.shape
        fresh = jax.tree.map(lambda x: jnp.broadcast_to(x[None], (rows, *x.shape)), stored(agent.begin(lanes)))
        steps = sample.steps._replace(extras={**sample.steps.extras, **fresh})
        return agent.update(state, key, sample._replace(steps=steps))

    return agent._replace(act=act, update=update)


def pairs(network: Network, params: Any, key: Key, steps: Step) -> tuple[Any, Any]:
    """The network's outputs `[T, N]` before and after each transition of a window.

    A feed-forward network is applied to either end on its own, with its own draws of noise, and whichever output is
    unused costs nothing.
    """
    if "carry" in steps.extras:
        output = unroll(network, params, key, steps)
        return jax.tree.map(lambda x: x[:-1], output), jax.tree.map(lambda x: x[1:], output)
    before, after = jax.tree.map(lambda x: x[:-1], steps), jax.tree.map(lambda x: x[1:], steps)
    k_before, k_after = jax.random.split(key)
    return unroll(network, params, k_before, before), unroll(network, params, k_after, after)
