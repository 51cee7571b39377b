"""Decision processes that are drawn: transitions from a flat Dirichlet distribution, mean rewards from N(1, 1).

Duan et al., "RL²: Fast reinforcement learning via slow reinforcement learning", 2016, section 3.2, where they have 10
states, 5 actions and episodes of 10 steps.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.families import Family, trials


class Process(NamedTuple):
    """A task."""

    onward: Array  # [states, actions, states], probabilities
    reward: Array  # [states, actions], means


def family(states: int, actions: int, horizon: int) -> Family:
    """Such processes; arguments as for `random_mdps`."""

    def draw(key: Key) -> Process:
        k_onward, k_reward = jax.random.split(key)
        onward = jax.random.exponential(k_onward, (states, actions, states))  # normalised they are a flat Dirichlet's
        onward = onward / jnp.sum(onward, axis=-1, keepdims=True)
        return Process(onward, 1.0 + jax.random.normal(k_reward, (states, actions)))

    def make(process: Process) -> Environment:
        def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
            k_go, k_noise = jax.random.split(key)
            reached = jnp.cumsum(process.onward[state, action])
            after = jnp.sum(reached < jax.random.uniform(k_go)).astype(jnp.int32)
            reward = process.reward[state, action] + jax.random.normal(k_noise)
            return jnp.minimum(after, states - 1), reward, jnp.bool_(False)

        spec = Spec("random_mdps", Box((states,), 0.0, 1.0), Discrete(actions), horizon)
        return episodic(lambda key: jnp.int32(0), transition, lambda state: jax.nn.one_hot(state, states), spec)

    return Family(draw, make)


def random_mdps(
    states: int = 3, actions: int = 3, horizon: int = 5, episodes: int = 6, tasks: int = 0, seed: int = 0
) -> Environment:
    """A trial is several episodes in one process that is drawn for it; each begins in state 0.

    Args:
      states: of each process, at least 2.
      actions: likewise.
      horizon: steps of an episode, at least 1.
      episodes: of a trial, at least 1.
      tasks: how many processes there are; 0 for a fresh one in every trial.
      seed: which they are.

    Returns:
      Observations are those of `envs.wrappers.trial`; `observation` [states] is the state, one-hot. Rewards are normal,
      of variance 1 about the mean of state and action.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, least in (("states", states, 2), ("actions", actions, 2), ("horizon", horizon, 1)):
        if value < least:
            raise ValueError(f"random_mdps: {name} must be at least {least}, got {value}")
    return trials(family(states, actions, horizon), episodes, tasks, seed)
