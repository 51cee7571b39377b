"""Option-critic on four rooms, whose goal moves after 1,000 episodes: steps of episodes, and how long options last."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Key, Sample, Step, TimeStep, Tree
from agents.option_tables import State, option_tables
from envs import keys
from envs.tasks.four_rooms import four_rooms

SWITCH, LIMIT = 1_000, 1_000


class Played(NamedTuple):
    """What was learned, and the course of it."""

    tables: State
    steps: Any  # [episodes], of each episode
    ends: Any  # [episodes], options that were begun in it


@cache
def trial(
    options: int, deliberation: float, episodes: int, stop_rate: float = 0.25, switch: int = SWITCH
) -> Callable[[Key], Played]:
    """`key -> Played`, compiled: so many episodes of one lane."""
    env = four_rooms("doorway", switch=switch, slip=1 / 3, time_limit=LIMIT, told=False)
    agent = option_tables(env.spec.observation.num, 4, options, deliberation=deliberation, stop_rate=stop_rate)

    def acted(
        state: State, key: Key, memory: Tree, lane: Tree, timestep: TimeStep
    ) -> tuple[Tree, Tree, TimeStep, Step]:
        action, memory, extras = agent.act(agent.actor(state), key, memory, timestep, True)
        moved, after = jax.vmap(env.step)(lane, action)
        return memory, moved, after, Step(timestep, action, extras)

    def run(key: Key) -> Played:
        k_env, k_init, k_run = jax.random.split(key, 3)
        lane, timestep = jax.vmap(env.reset)(k_env[None])
        state, memory = agent.init(k_init, timestep), agent.begin(1)

        def body(live: tuple) -> tuple:
            state, memory, lane, timestep, count, episode, steps, ends = live
            memory, lane, after, row = acted(state, jax.random.fold_in(k_run, count), memory, lane, timestep)
            # What arriving is worth reads no extras of the row after, so that row need not have been acted from.
            pair = jax.tree.map(lambda a, b: jnp.stack([a, b]), row, row._replace(timestep=after))
            state, _ = agent.update(state, k_run, Sample(pair))
            going_on = ~timestep.last()[0]
            steps = steps.at[episode].add(jnp.where(going_on, 1, 0))
            ends = ends.at[episode].add(jnp.where(going_on & row.extras["stops"][0], 1, 0))
            return state, memory, lane, after, count + 1, episode + after.last()[0], steps, ends

        nothing = jnp.zeros(episodes, jnp.int32)
        start = (state, memory, lane, timestep, jnp.int32(0), jnp.int32(0), nothing, nothing)
        tables, *_, steps, ends = jax.lax.while_loop(lambda live: live[5] < episodes, body, start)
        return Played(tables, steps, ends)

    return jax.jit(run)


def played(
    seeds: Sequence[int],
    options: int = 4,
    deliberation: float = 0.0,
    figure: Literal["steps", "length"] = "steps",
    stop_rate: float = 0.25,
) -> np.ndarray:
    """The mean steps of episodes 1,090 to 1,099, or those that an option lasts in episodes 900 to 999.

    Args:
      seeds: of everything that is drawn.
      options: W.
      deliberation: η.
      figure: which of the two.
      stop_rate: α_β.

    Returns:
      `[seeds]`.
    """
    run = trial(options, deliberation, SWITCH + 100 if figure == "steps" else SWITCH, stop_rate)
    found = [jax.tree.map(np.asarray, run(keys.key(seed))) for seed in seeds]
    if figure == "steps":
        return np.array([each.steps[SWITCH + 90 :].mean() for each in found])
    last = slice(SWITCH - 100, None)
    return np.array([each.steps[last].sum() / each.ends[last].sum() for each in found])
