"""Whether RL² plays the two-step task as if it had a model: what it stays with after common and rare transitions."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.base import TimeStep, Tree
from agents.common import optimisers
from agents.ppo import ppo
from envs import keys
from envs.base import Array, Key
from envs.tasks.two_step import two_step
from experiments.studies import learned
from experiments.studies.within_trials import Stays, stays

CHOICES, LANES = 50, 256


def choices_of(rows: TimeStep) -> tuple[Array, Array, Array]:
    """First actions, the second states that they led to (0, 1), and what was paid there, `[choices, N]` each.

    Args:
      rows: whole trials of equal length from their FIRST row to their LAST, `[2 choices + 1, N]`.
    """
    seen = rows.observation
    action = jnp.argmax(seen["last_action"][1::2], axis=-1)
    second = jnp.argmax(seen["observation"][1::2], axis=-1) - 1
    return action, second, rows.reward[2::2]


@cache
def played(seed: int, memory: bool = True, iterations: int = 200, lanes: int = LANES) -> Stays:
    """What a learner stays with in the last tenth of its training.

    Args:
      seed: of the run.
      memory: whether it has one.
      iterations: trials in each lane.
      lanes: side by side.
    """
    env, length = two_step(choices=CHOICES), 2 * CHOICES + 1
    torso = networks.Torso(env.spec.observation, (48,), cnn=None)
    core: Any = networks.GRU(48) if memory else None
    network = networks.actor_critic(torso, networks.CategoricalPolicy(2), networks.Value(), core)
    agent = ppo(
        network, optimisers.adam(3e-3, 0.5, 1e-5), discount=0.9, lambda_=0.3, entropy_cost=0.01, epochs=3, minibatches=4
    )

    def whole(key: Key) -> Tree:
        return learned(env, agent, replay.on_policy(length), key, lanes, length, iterations, choices_of)[1]

    late = [np.asarray(x)[-max(1, iterations // 10) :] for x in jax.jit(whole)(keys.key(seed))]
    action, second, reward = (np.moveaxis(x, 0, 1).reshape(CHOICES, -1) for x in late)
    return stays(action, second, reward)


def interaction(seeds: Sequence[int], memory: bool = True, iterations: int = 200) -> np.ndarray:
    """Half of how much more a reward does after common transitions than after rare ones, `[seeds]`."""
    return np.array([played(seed, memory, iterations).interaction for seed in seeds])


def main_effect(seeds: Sequence[int], memory: bool = True, iterations: int = 200) -> np.ndarray:
    """The size of what a reward does after either transition, `[seeds]`."""
    return np.array([abs(played(seed, memory, iterations).main) for seed in seeds])
