"""HierQ and Q-learning on a map of 416 cells, from corner to corner: the environment steps that each needs."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Sample, Step, Tree
from agents.hierq import hierq
from envs import keys
from envs.tasks.four_rooms import four_rooms

if TYPE_CHECKING:
    from envs.base import Key, TimeStep

LIMIT, IN_A_ROW = 1_000, 5


@cache
def trial(levels: int, chunk: int, chunks: int, testing: float, scale: int = 2) -> "Callable[[Key], Array]":
    """`key -> steps`, compiled: see `steps_to_solve`."""
    env = four_rooms("corner", "corner", scale=scale, time_limit=LIMIT)
    agent = hierq(env.spec.observation["observation"].num, 4, levels=levels, testing=testing)

    def moved(actor: Tree, key: "Key", lane: Tree, memory: Tree, timestep: "TimeStep", explore: bool) -> tuple:
        action, memory, extras = agent.act(actor, key, memory, timestep, explore)
        lane, after = jax.vmap(env.step)(lane, action)
        return lane, memory, after, Step(timestep, action, extras), Step(after, action, extras)

    def learned(carry: tuple, key: "Key") -> tuple[tuple, None]:
        state, lane, memory, timestep = carry
        k_act, k_update = jax.random.split(key)
        lane, memory, after, *pair = moved(agent.actor(state), k_act, lane, memory, timestep, True)
        state, _ = agent.update(state, k_update, Sample(jax.tree.map(lambda a, b: jnp.stack([a, b]), *pair)))
        return (state, lane, memory, after), None

    def solves(actor: Tree, key: "Key") -> Array:
        """Whether greedy play from the start reaches the goal."""
        lane, timestep = jax.vmap(env.reset)(key[None])

        def body(carry: tuple) -> tuple:
            lane, memory, timestep, count = carry
            lane, memory, after, *_ = moved(actor, jax.random.fold_in(key, count), lane, memory, timestep, False)
            return lane, memory, after, count + 1

        start = (lane, agent.begin(1), timestep, jnp.int32(0))
        *_, last, _ = jax.lax.while_loop(lambda carry: ~carry[2].last()[0], body, start)
        return last.discount[0] == 0

    def run(key: "Key") -> Array:
        k_init, k_env, k_run = jax.random.split(key, 3)
        lane, timestep = jax.vmap(env.reset)(k_env[None])

        def unfinished(carry: tuple) -> Array:
            return (carry[1] < chunks) & (carry[2] < IN_A_ROW)

        def body(carry: tuple) -> tuple:
            live, done, row = carry
            k_learn, k_test = jax.random.split(jax.random.fold_in(k_run, done))
            live, _ = jax.lax.scan(learned, live, jax.random.split(k_learn, chunk))
            return live, done + 1, jnp.where(solves(agent.actor(live[0]), k_test), row + 1, 0)

        start = (agent.init(k_init, timestep), lane, agent.begin(1), timestep)
        _, done, row = jax.lax.while_loop(unfinished, body, (start, jnp.int32(0), jnp.int32(0)))
        return chunk * jnp.where(row < IN_A_ROW, chunks, done - IN_A_ROW + 1)

    return jax.jit(run)


def steps_to_solve(
    seeds: Sequence[int], levels: int = 2, chunk: int = 500, chunks: int = 120, testing: float = 0.1
) -> np.ndarray:
    """Environment steps until the first of five evaluations in a row that reach the goal; all that there are, if never.

    Args:
      seeds: of the agent.
      levels: 2, or 1 for Q-learning without a hierarchy.
      chunk: steps from one evaluation to the next.
      chunks: how many there are.
      testing: probability that a subgoal is a test.

    Returns:
      `[seeds]`.
    """
    run = trial(levels, chunk, chunks, testing)
    return np.array([float(run(keys.key(seed))) for seed in seeds])
