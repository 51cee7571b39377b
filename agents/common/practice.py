"""An agent that learns in an environment of its own, within another's `init`: teachers, and skills of a hierarchy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Agent, Key, Sample, Step
from envs import keys
from envs.base import Environment
from replay.base import opening


def practised(agent: Agent, env: Environment, *, lanes: int, rows: int, updates: int) -> Callable[[Key], Any]:
    """What an on-policy agent has learned after so many updates, each on what it just played.

    Args:
      agent: that learns from `replay.on_policy`.
      env: which it plays.
      lanes: side by side.
      rows: steps in each lane between two updates.
      updates: how many.

    Returns:
      `(key) -> State`.
    """

    def learned(key: Key) -> Any:
        k_env, k_init, k_loop = keys.split(key, 3)
        world, timestep = jax.vmap(env.reset)(jax.random.split(k_env, lanes))
        begun = (agent.init(k_init, timestep), world, timestep, agent.begin(lanes))

        def turn(whole: tuple, key: Key) -> tuple[tuple, None]:
            state, *moving = whole
            k_act, k_peek, k_update = keys.split(key, 3)
            actor = agent.actor(state)

            def row(k: Key, timestep: Any, carry: Any) -> tuple[Step, Any]:
                action, after, extras = agent.act(actor, k, carry, timestep, True)
                return Step(timestep, action, extras, agent.stored(carry)), after

            def step(moving: tuple, k: Key) -> tuple[tuple, Step]:
                world, timestep, carry = moving
                played, carry = row(k, timestep, carry)
                world, timestep = jax.vmap(env.step)(world, played.action)
                return (world, timestep, carry), played

            (world, timestep, carry), steps = jax.lax.scan(step, tuple(moving), keys.split(k_act, rows))
            last, _ = row(k_peek, timestep, carry)
            steps = jax.tree.map(lambda x, y: jnp.concatenate([x, y[None]]), steps, last)
            state, _ = agent.update(state, k_update, Sample(opening(steps)))
            return (state, world, timestep, carry), None

        (state, *_), _ = jax.lax.scan(turn, begun, keys.split(k_loop, updates))
        return state

    return learned
