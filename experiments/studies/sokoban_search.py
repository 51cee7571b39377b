"""Flat Monte-Carlo search in Sokoban, with rules that are true or wrong: what a planner is worth without its model.

Levels are 7x7 with one or two boxes, whose median solution takes 6 moves, and 60 steps are allowed.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from agents.world import models, planning, tree_search
from envs import keys
from envs.tasks import sokoban


def solved(
    seeds: Sequence[int], depth: int = 15, corrupt: float = 0.0, rollouts: int = 30, levels: int = 100
) -> np.ndarray:
    """The share of levels that search solves in time.

    Args:
      seeds: of the levels played and of the rollouts.
      depth: steps of a rollout.
      corrupt: probability with which each cell that is imagined is wrong.
      rollouts: random ones, for each action at every step.
      levels: that are played.

    Returns:
      `[seeds]`.
    """
    env = sokoban.sokoban(7, 2, fewest=1, num_levels=1000, time_limit=60)
    model = models.simulator(sokoban.restore, sokoban.transition, sokoban.symbols)
    model = models.corrupted(model, corrupt) if corrupt else model
    agent = planning.mpc(tree_search.monte_carlo(model, env.spec.action, depth, rollouts, 0.97), env.spec.action)  # type: ignore[arg-type]

    def play(key: jax.Array) -> jax.Array:
        k_agent, k_levels, k_act = jax.random.split(key, 3)
        state, timestep = jax.vmap(env.reset)(jax.random.split(k_levels, levels))
        actor = agent.actor(agent.init(k_agent, timestep))

        def step(carry: tuple, key: jax.Array) -> tuple[tuple, None]:
            state, timestep, memory, over, done = carry
            action, memory, _ = agent.act(actor, key, memory, timestep, False)
            state, timestep = jax.vmap(env.step)(state, action)
            done = done | (~over & timestep.last() & (timestep.discount == 0))
            return (state, timestep, memory, over | timestep.last(), done), None

        nobody = jnp.zeros(levels, bool)
        start = (state, timestep, agent.begin(levels), nobody, nobody)
        return jax.lax.scan(step, start, jax.random.split(k_act, 60))[0][-1].mean()

    run = jax.jit(play)
    return np.array([float(run(keys.key(seed))) for seed in seeds])
