"""Grounded spatial reasoning: values of all cells of a map by what an instruction says, learned where the agent went.

Janner, Narasimhan and Barzilay, "Representation learning for grounded spatial reasoning", TACL 2018 (arXiv:1707.03938).
Of a map m and an instruction x a network tells V(s; m, x) of every cell s at once (`networks.spatial`). A move is worth
what the cell is that it leads to, and of the cells that were entered

    y(s) = r(s) + γ max_{n beside s} V(n; θ⁻)        L(θ) = E[ℓ(y(s) - V(s; θ))]

with y(s) = r(s) where the episode ended. That is `agents.dqn` with Q(s, a) = V(s') and a loss of its own, since the map
of a window need be valued but once. While it learns, the agent enters no cell twice in an episode if it can go
elsewhere.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.base import FIRST, Agent, Array, Key, Sample, Step, TimeStep
from agents.common import objectives, recurrence
from agents.dqn import Actor, Descended, ErrorsOf, dqn
from envs import grids, parallel
from networks.base import Network


def entered(steps: Step) -> Array:
    """Which rows `[T+1, N]` are of cells that were entered in the episode of the first row, boolean."""
    opens = steps.timestep.step_type == FIRST
    later = jnp.cumsum(opens.at[0].set(False), axis=0) > 0
    return ~opens & ~later


def spatial(
    network: Network,
    optimiser: optax.GradientTransformation,
    size: tuple[int, int],
    *,
    discount: float | Array = 0.95,
    error_clip: float = 1.0,
    **settings: Any,
) -> Agent:
    """The agent; learns from windows `[T+1, N]`, of which the rows of the first one's episode count.

    Args:
      network: observation -> `networks.spatial.Reading`, feed-forward; observations have `here`, row and column.
      optimiser: an `agents.common.optimisers` chain.
      size: H and W of the maps.
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
    agent = dqn(network, optimiser, objective=reads, discount=discount, loss_of=of, **settings)

    def act(actor: Actor, key: Key, carry: Array, timestep: TimeStep, explore: bool) -> tuple[Array, Array, Any]:
        if not explore:
            return agent.act(actor, key, (), timestep, False)[0], carry, {}
        been, here = visited(carry, timestep), timestep.observation["here"].astype(jnp.int32)
        beside = recurrence.step(network, actor.params, None, (), timestep)[0].beside
        again = grids.at(grids.beside(been.astype(jnp.float32), 1.0), here[:, 0], here[:, 1])
        return unvisited(key, beside, again, actor.epsilon), been, {}

    begin = lambda lanes: jnp.zeros((lanes, *size), bool)  # noqa: E731
    return agent._replace(act=act, begin=begin, stored=lambda carry: ())


def visited(carry: Array, timestep: TimeStep) -> Array:
    """The cells that were entered in the episode so far, `[B, H, W]`, those of this row among them."""
    here = timestep.observation["here"].astype(jnp.int32)
    before = carry & ~timestep.first()[:, None, None]
    return before.at[jnp.arange(here.shape[0]), here[:, 0], here[:, 1]].set(True)


def unvisited(key: Key, beside: Array, again: Array, epsilon: Array) -> Array:
    """ε-greedy moves `[B]` that lead to cells not entered before, where there are any.

    Args:
      key: of the moves.
      beside: the values of the four cells, `[B, 4]`, -inf beyond the edges.
      again: 1 for those that were entered before, else 0, `[B, 4]`.
      epsilon: probability of a move at random.
    """
    k_whether, k_where = jax.random.split(key)
    by_chance = jnp.where(jnp.isfinite(beside), jax.random.uniform(k_where, beside.shape), -jnp.inf)
    explores = jax.random.uniform(k_whether, (beside.shape[0], 1)) < epsilon
    return jnp.argmax(jnp.where(explores, by_chance, beside) - 1e3 * again, axis=-1).astype(jnp.int32)
