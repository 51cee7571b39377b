"""A run in graph for studies that look at what was played, not at returns."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Agent, Key, Step, TimeStep, Tree
from envs.base import Environment
from replay.base import Replay


def trained(
    env: Environment,
    agent: Agent,
    storage: Replay,
    key: Key,
    lanes: int,
    unroll: int,
    iterations: int,
    seen: Callable[[TimeStep], Tree],
) -> Tree:
    """Plays and learns in turns, with one update after each unroll, and tells what was seen in it.

    Args:
      env: the task.
      agent: that plays and learns.
      storage: what it learns from; updates begin when there is enough in it.
      key: of everything.
      lanes: of the task.
      unroll: steps of each lane between updates.
      iterations: unrolls.
      seen: of the rows `[unroll, lanes]` of an unroll, what is to be told.

    Returns:
      What `seen` gave, `[iterations, ...]`.
    """
    return learned(env, agent, storage, key, lanes, unroll, iterations, seen)[1]


def learned(
    env: Environment,
    agent: Agent,
    storage: Replay,
    key: Key,
    lanes: int,
    unroll: int,
    iterations: int,
    seen: Callable[[TimeStep], Tree],
) -> tuple[Tree, Tree]:
    """The same, for studies that look at what was learned: the agent's state, and what was seen."""
    k_env, k_agent, k_run = jax.random.split(key, 3)
    state, timestep = jax.vmap(env.reset)(jax.random.split(k_env, lanes))
    learner, carry = agent.init(k_agent, timestep), agent.begin(lanes)

    def row(actor: Tree, carry: Tree, key: Key, timestep: TimeStep) -> tuple[Step, Tree]:
        action, after, extras = agent.act(actor, key, carry, timestep, True)
        return Step(timestep, action, extras, agent.stored(carry)), after

    def play(actor: Tree, live: tuple, key: Key) -> tuple[tuple, Step]:
        state, timestep, carry = live
        step, carry = row(actor, carry, key, timestep)
        state, timestep = jax.vmap(env.step)(state, step.action)
        return (state, timestep, carry), step

    first, _ = row(agent.actor(learner), carry, k_run, timestep)

    def iteration(run: tuple, key: Key) -> tuple[tuple, Tree]:
        learner, held, live, count = run
        k_play, k_peek, k_sample, k_update = jax.random.split(key, 4)
        actor = agent.actor(learner)
        live, rows = jax.lax.scan(lambda live, k: play(actor, live, k), live, jax.random.split(k_play, unroll))
        told, added = seen(rows.timestep), rows
        if storage.wants_next_row:
            peek, _ = row(actor, live[2], k_peek, live[1])
            added = jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), rows, peek)
        held = storage.add(held, added)
        after, info = agent.update(learner, k_update, storage.sample(held, k_sample))
        del info
        count = count + unroll
        learner = jax.tree.map(lambda a, b: jnp.where(count >= storage.minimum, a, b), after, learner)
        return (learner, held, live, count), told

    run: Any = (learner, storage.init(first), (state, timestep, carry), jnp.int32(0))
    (learner, *_), told = jax.lax.scan(iteration, run, jax.random.split(k_run, iterations))
    return learner, told
