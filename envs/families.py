"""Distributions of tasks: a task is drawn for every trial, from all there are or from a set that a seed names.

A family says how a task is drawn and what environment it is; all its tasks have the same spaces. `drawn` makes one
environment of it, whose task stays for a trial of several episodes. Agents that learn within a trial play
`trials`, where observations also tell what was done and what came of it. A finite set of tasks is named by its size and
a seed, so tasks to be tested on are a set with another seed, or all others.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs import keys, wrappers
from envs.base import Array, Box, Environment, Key, TimeStep, Tree, select


class Family(NamedTuple):
    """A distribution of tasks."""

    draw: Callable[[Key], Any]
    """`(key) -> task`, a tree of arrays."""
    make: Callable[[Any], Environment]
    """`(task) -> Environment`, under tracing as well; its spec is the same for every task, and has a time limit."""


class DrawnState(NamedTuple):
    """State of `drawn`."""

    inner: Any
    task: Any
    key: Key
    ended: Array  # int32, episodes of this trial that have ended


def set_of(family: Family, tasks: int, seed: int) -> Callable[[Key], Any]:
    """`(key) -> task`: one of the set of `tasks` tasks that `seed` names, all alike in probability."""

    def draw(key: Key) -> Any:
        return family.draw(jax.random.fold_in(keys.key(seed), jax.random.randint(key, (), 0, tasks)))

    return draw


def drawn(family: Family, episodes: int = 1, tasks: int = 0, seed: int = 0) -> Environment:
    """The environment of a family, with a new task after every `episodes` episodes.

    Args:
      family: of tasks.
      episodes: for which a task stays; 0 for good.
      tasks: how many there are in the set; 0 for a fresh one every time.
      seed: of the set.

    Raises:
      ValueError: fewer episodes, or fewer tasks than 0.
    """
    if episodes < 0:
        raise ValueError(f"episodes: must be at least 0, got {episodes}")
    if tasks < 0:
        raise ValueError(f"tasks: must be at least 0, got {tasks}")
    draw = set_of(family, tasks, seed) if tasks else family.draw

    def begun(key: Key) -> tuple[DrawnState, TimeStep]:
        k_task, k_inner, k_next = jax.random.split(key, 3)
        task = draw(k_task)
        inner, timestep = family.make(task).reset(k_inner)
        return DrawnState(inner, task, k_next, jnp.int32(0)), timestep

    def step(state: DrawnState, action: Tree) -> tuple[DrawnState, TimeStep]:
        k_next, k_begin = jax.random.split(state.key)
        inner, timestep = family.make(state.task).step(state.inner, action)
        ended = state.ended + timestep.last()
        goes_on = DrawnState(inner, state.task, k_next, ended), timestep
        return select(timestep.first() & (ended == episodes), begun(k_begin), goes_on) if episodes else goes_on

    def render(state: DrawnState) -> Array:
        draws = family.make(state.task).render
        assert draws is not None
        return draws(state.inner)

    one = family.make(family.draw(keys.key(0)))
    return Environment(begun, step, one.spec._replace(episodes=episodes), one.render and render)


def trials(family: Family, episodes: int = 1, tasks: int = 0, seed: int = 0) -> Environment:
    """The same for agents that learn within a trial: `wrappers.trial` around `drawn`; arguments are those of both.

    The task of a lane is `state.inner.task`.
    """
    return wrappers.trial(drawn(family, episodes, tasks, seed), episodes)


def announced(family: Family, blocks: int, block: int) -> Environment:
    """`drawn`, which tells where a new task begins: for learners with parameters of their own for every task.

    Args:
      family: of tasks.
      blocks: for which a task stays, of so many episodes each. A lane begins with a block that is drawn, so that lanes
        are at different places of their trials.
      block: episodes of a block.

    Returns:
      An environment whose observation is a dict: `observation`, and `new_task` [1], 1 in the row that opens a trial.
    """
    env = drawn(family, blocks * block)

    def told(state: DrawnState, timestep: TimeStep) -> tuple[DrawnState, TimeStep]:
        new = jnp.reshape(timestep.first() & (state.ended == 0), (1,)).astype(jnp.float32)
        return state, timestep._replace(observation={"observation": timestep.observation, "new_task": new})

    def reset(key: Key) -> tuple[DrawnState, TimeStep]:
        state, timestep = env.reset(key)
        ended = block * jax.random.randint(jax.random.fold_in(key, 1), (), 0, blocks)
        return told(state._replace(ended=ended), timestep)

    def step(state: DrawnState, action: Tree) -> tuple[DrawnState, TimeStep]:
        return told(*env.step(state, action))

    seen = {"observation": env.spec.observation, "new_task": Box((1,), 0.0, 1.0)}
    return Environment(reset, step, env.spec._replace(observation=seen, block=block), env.render)


def judged(env: Environment, pays: Callable[[Any, Any, Any], Array]) -> Environment:
    """An environment of `trials` that pays something else, while its observations tell of the reward as before.

    Args:
      env: of `trials`, of a family made by `episodic`.
      pays: `(task, state before, action) -> reward`, where no episode opens.
    """

    def step(state: Any, action: Tree) -> tuple[Any, TimeStep]:
        before = state.inner
        state, timestep = env.step(state, action)
        opens = timestep.observation["new_episode"][0] > 0
        reward = jnp.where(opens, 0.0, pays(before.task, before.inner.inner, action)).astype(jnp.float32)
        return state, timestep._replace(reward=reward)

    return env._replace(step=step)
