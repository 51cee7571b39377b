"""Policy search: an agent that tries out parameters by whole episodes and learns from their returns alone.

A `Strategy` proposes a population of parameter vectors and is told how good they were. Lanes take candidates in order:
a lane whose episode begins takes the next one that waits, holds its number in its carry, and plays the episode with its
parameters. So no step of a short episode is waited out, whatever the number of lanes; only at the end of a generation
are there lanes with nothing left to try, which play on with the mean. Numbers and returns reach `update` in the extras
of LAST rows, and once all are in, there is a new generation.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from agents.base import Agent, Array, Info, Key, Sample, TimeStep, Tree, batch_of
from envs import parallel
from networks.base import Network


class Strategy(NamedTuple):
    """A black-box maximiser of n numbers; all sizes are static."""

    population: int
    """λ, candidates per generation."""

    init: Callable[[Array], Any]
    """`(x[n]) -> state`: around a first guess."""

    ask: Callable[[Any, Key], Array]
    """`(state, key) -> candidates[λ, n]`."""

    tell: Callable[[Any, Array, Array], Any]
    """`(state, candidates[λ, n], fitness[λ]) -> state`; more is better."""

    mean: Callable[[Any], Array]
    """`(state) -> x[n]`: the best guess."""


class State(NamedTuple):
    """A generation under way."""

    strategy: Any
    candidates: Array  # [λ, n]
    returns: Array  # [λ, episodes], of episodes that ended
    counted: Array  # bool [λ, episodes]
    generation: Array  # int32
    fitness: Array  # mean return of the last generation

    @property
    def params(self) -> Array:
        """The candidates."""
        return self.candidates


class Actor(NamedTuple):
    """What acting needs."""

    candidates: Array
    mean: Array
    generation: Array


class Carry(NamedTuple):
    """Who plays what."""

    slot: Array  # int32 [B], episode of a candidate, `candidate * episodes + i`; -1 for none that counts
    returns: Array  # [B], of the episode under way
    taken: Array  # int32, slots handed out in this generation by this device
    generation: Array  # int32


def search(policy: Network, example: Tree, strategy: Strategy, *, episodes: int = 1, discrete: bool = False) -> Agent:
    """The agent; learns from `replay.on_policy()`.

    Args:
      policy: observation -> action, or for discrete actions the preferences `[A]` of which the largest acts;
        feed-forward.
      example: its parameters, or their shapes.
      strategy: what proposes parameters.
      episodes: for each candidate, whose fitness is their mean return.
      discrete: whether actions are.
    """
    flat, unravel = ravel_pytree(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), example))
    slots = strategy.population * episodes

    def play(x: Array, timestep: TimeStep) -> Array:
        """The action of one lane with parameters `x[n]`."""
        lone = jax.tree.map(lambda leaf: leaf[None, None], timestep)
        output = policy.apply(unravel(x), None, (), lone.observation, lone.first())[0][0, 0]
        return jnp.argmax(output, -1).astype(jnp.int32) if discrete else output

    def fresh(inner: Any, generation: Array, fitness: Array, key: Key) -> State:
        nothing = jnp.zeros((strategy.population, episodes))
        return State(inner, strategy.ask(inner, key), nothing, nothing > 0, generation, fitness)

    def init(key: Key, timestep: TimeStep) -> State:
        k_params, k_ask = jax.random.split(key)
        x, _ = ravel_pytree(policy.init(k_params, timestep.observation))
        return fresh(strategy.init(x), jnp.int32(0), jnp.float32(0), k_ask)

    def actor(state: State) -> Actor:
        return Actor(state.candidates, strategy.mean(state.strategy), state.generation)

    def begin(batch: int) -> Carry:
        return Carry(jnp.full(batch, -1, jnp.int32), jnp.zeros(batch), jnp.int32(0), jnp.int32(0))

    def act(actor: Actor, key: Key, carry: Carry, timestep: TimeStep, explore: bool) -> tuple[Array, Any, Any]:
        lanes, first = batch_of(timestep), timestep.first()
        if not explore:
            mean = jnp.broadcast_to(actor.mean[None], (lanes, flat.size))
            return jax.vmap(play)(mean, timestep), carry, {}
        same = carry.generation == actor.generation
        taken, slot = jnp.where(same, carry.taken, 0), jnp.where(same, carry.slot, -1)
        order = taken + jnp.cumsum(first) - 1  # of the lanes that begin; devices take turns
        waiting = order * parallel.size() + parallel.index()
        slot = jnp.where(first, jnp.where(waiting < slots, waiting, -1), slot).astype(jnp.int32)
        returns = jnp.where(first, 0.0, carry.returns + timestep.reward)
        chosen = jnp.where((slot >= 0)[:, None], actor.candidates[jnp.maximum(slot, 0) // episodes], actor.mean[None])
        carry = Carry(slot, returns, taken + jnp.sum(first, dtype=jnp.int32), actor.generation)
        return jax.vmap(play)(chosen, timestep), carry, {"slot": slot, "returns": returns}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        rows = jax.tree.map(lambda x: x[:-1].reshape(-1, *x.shape[2:]), sample.steps)  # the last row comes again
        ended = rows.timestep.last() & (rows.extras["slot"] >= 0)
        at = jnp.where(ended, rows.extras["slot"], slots)
        new = jnp.zeros(slots).at[at].set(rows.extras["returns"], mode="drop")
        done = jnp.zeros(slots).at[at].set(1.0, mode="drop")
        new, done = (parallel.total(x).reshape(strategy.population, episodes) for x in (new, done))
        counted = state.counted | (done > 0)
        state = state._replace(returns=state.returns + new, counted=counted)

        def renew(state: State) -> State:
            fitness = jnp.mean(state.returns, axis=1)
            inner = strategy.tell(state.strategy, state.candidates, fitness)
            return fresh(inner, state.generation + 1, jnp.mean(fitness), key)

        # One run on a device pays for a generation when there is one; vmapped runs pay in every update.
        state = jax.lax.cond(jnp.all(counted), renew, lambda state: state, state)
        metrics = {"loss": -state.fitness, "generation": state.generation.astype(jnp.float32)}
        return state, Info(metrics)

    return Agent(init, actor, begin, act, update)
