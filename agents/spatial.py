"""Grounded spatial reasoning: values of all cells of a map by what an instruction says, learned where the agent went.

Janner, Narasimhan and Barzilay, "Representation learning for grounded spatial reasoning", TACL 2018 (arXiv:1707.03938).
Of a map m and an instruction x a network tells V(s; m, x) of every cell s at once (`networks.spatial`). A move is worth
what the cell is that it leads to, and of the cells that were entered

    y(s) = r(s) + γ max_{n beside s} V(n; θ⁻)        L(θ) = E[ℓ(y(s) - V(s; θ))]

with y(s) = r(s) where the episode ended. That is `agents.dqn` with Q(s, a) = V(s') and a loss of its own, since the map
of a window need be valued but once.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import FIRST, Agent, Array, Key, Sample, Step
from agents.common import objectives, recurrence
from agents.dqn import Descended, ErrorsOf, dqn
from envs import parallel
from networks.base import Network


def entered(steps: Step) -> Array:
    """Which rows `[T+1, N]` are of cells that were entered in the episode of the first row, boolean."""
    opens = steps.timestep.step_type == FIRST
    later = jnp.cumsum(opens.at[0].set(False), axis=0) > 0
    return ~opens & ~later


def spatial(
    network: Network,
    optimiser: optax.GradientTransformation,
    *,
    discount: float | Array = 0.95,
    error_clip: float = 1.0,
    **settings: Any,
) -> Agent:
    """The agent; learns from windows `[T+1, N]`, of which the rows of the first one's episode count.

    Args:
      network: observation -> `networks.spatial.Reading`, feed-forward; observations have `here`, row and column.
      optimiser: an `agents.common.optimisers` chain.
      discount: γ.
      error_clip: from where on Huber's loss is linear.
      **settings: of `agents.dqn`: `epsilon`, `target_period`, `target_rate`.
    """

    def of(_: ErrorsOf) -> Descended:
        def loss(params: Any, target: Any, key: Key, sample: Sample) -> tuple[Array, tuple[Array, dict[str, Array]]]:
            steps, opening = sample.steps, jax.tree.map(lambda x: x[:1], sample.steps)
            kind, r, going_on, seen = steps.timestep

            def maps(params: Any) -> Array:
                values = recurrence.unroll(network, params, key, opening).values
                return jnp.broadcast_to(values, (*kind.shape, *values.shape[2:]))

            place = seen["here"][..., 0].astype(jnp.int32), seen["here"][..., 1].astype(jnp.int32)
            v = maps(params)
            error = losses.map_value_error(v, maps(target), *place, r, discount * going_on)
            rows = entered(steps)
            mean = lambda x: parallel.masked_mean(x, rows)  # noqa: E731
            told = {"td_error": mean(jnp.abs(error)), "q_mean": mean(losses.map_value(v, *place))}
            priority = jnp.sum(jnp.abs(error) * rows, axis=0) / jnp.maximum(jnp.sum(rows, axis=0), 1)
            weight = jnp.broadcast_to(jnp.asarray(sample.weight), kind.shape[1:])[None]
            return mean(losses.huber(error, error_clip) * weight), (priority, told)

        return loss

    reads = objectives.expected()._replace(values=lambda reading: reading.beside)
    return dqn(network, optimiser, objective=reads, discount=discount, loss_of=of, **settings)
