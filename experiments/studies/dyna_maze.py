"""Planning on tables: steps of episodes on the Dyna maze (Sutton and Barto, 2018, example 8.1), and its shortcut."""

from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Sample, Step, TimeStep, Tree
from agents.dyna_q import dyna_q
from envs import keys
from envs.base import Environment
from envs.tasks.dyna_maze import ACTIONS, CELLS, dyna_maze

if TYPE_CHECKING:
    from envs.base import Key


def played(agent: Agent, env: Environment, steps: int, state: Tree, key: "Key") -> tuple[Tree, tuple[Array, Array]]:
    """Plays one lane that acts and learns after every step.

    Returns:
      The agent's state, and for each row `[steps]` whether it closes and whether it opens an episode.
    """
    k_init, k_env, k_run = jax.random.split(key, 3)
    lane, timestep = jax.vmap(env.reset)(k_env[None])
    state = agent.init(k_init, timestep) if state is None else state

    def step(carry: tuple[Tree, Tree, TimeStep], key: "Key") -> tuple[tuple[Tree, Tree, TimeStep], tuple[Array, Array]]:
        state, lane, timestep = carry
        k_act, k_update = jax.random.split(key)
        action, _, _ = agent.act(agent.actor(state), k_act, (), timestep, True)
        lane, after = jax.vmap(env.step)(lane, action)
        rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), Step(timestep, action), Step(after, action))
        state, _ = agent.update(state, k_update, Sample(rows))
        return (state, lane, after), (after.last()[0], after.first()[0])

    (state, _, _), ends = jax.lax.scan(step, (state, lane, timestep), jax.random.split(k_run, steps))
    return state, ends


@cache
def lengths(seeds: tuple[int, ...], planning: int, steps: int, **options: Any) -> list[np.ndarray]:
    """Steps of each episode that ended, an array per seed; `options` are those of `dyna_q`, theta 0 is no sweeping."""
    agent = dyna_q(CELLS, ACTIONS, n=planning, **{**options, "theta": options.get("theta") or None})
    run = partial(played, agent, dyna_maze(), steps, None)
    last, first = map(np.asarray, jax.jit(jax.vmap(run))(keys.key(np.array(seeds)))[1])
    found = []
    for row in range(len(seeds)):
        steps_so_far = np.cumsum(~first[row])
        found.append(np.diff(steps_so_far[last[row]], prepend=0))
    return found


def mean_length(
    seeds: Sequence[int], episodes: Sequence[int] = (3, 4, 5), planning: int = 50, steps: int = 9000, **options: Any
) -> np.ndarray:
    """Mean number of steps of some episodes; the shortest way has 14.

    Args:
      seeds: of the maze and the agent.
      episodes: which, counted from 1.
      planning: n, planning steps after each real one.
      steps: that are played.
      **options: of `dyna_q`; with theta > 0 by prioritised sweeping.

    Returns:
      `[seeds]`.
    """
    found = lengths(tuple(seeds), planning, steps, **options)
    return np.array([np.mean([each[i - 1] for i in episodes]) for each in found])


def shortcut_episodes(seeds: Sequence[int], kappa: float = 1e-3) -> np.ndarray:
    """Episodes that end in the last 500 of 3,000 steps after a shortcut has opened.

    By the shortcut an episode takes 10 steps and a little, by the old way 16.

    Args:
      seeds: of the maze and the agent.
      kappa: of Dyna-Q+'s bonus; 0 is Dyna-Q.

    Returns:
      `[seeds]`.
    """

    def after_opening(key: "Key") -> Array:
        agent = dyna_q(CELLS, ACTIONS, n=20, kappa=kappa, learning_rate=0.5)
        k_before, k_after = jax.random.split(key)
        state, _ = played(agent, dyna_maze("barrier"), 1500, None, k_before)
        state, (last, _) = played(agent, dyna_maze("shortcut"), 3000, state, k_after)
        return jnp.sum(last[-500:])

    return np.asarray(jax.jit(jax.vmap(after_opening))(keys.key(np.array(seeds))))
