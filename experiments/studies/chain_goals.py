"""A chain whose worker acts at random: do the manager's goals turn to where rewards come from moving?

The observation is where one is; each step to the right pays `reward`, each to the left as much less. FuN's worker is
held as it was made, nearly uniform, so that the manager learns from what happens to it alone.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents import losses
from agents.common import optimisers
from agents.fun import fun
from envs import keys
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from experiments.studies import loops

if TYPE_CHECKING:
    from agents.base import Tree

LENGTH, LANES, UNROLL, HORIZON, SIZE = 41, 16, 40, 10, 16


def chain(reward: float) -> Environment:
    """Begins anywhere on a chain of cells, ends after 80 steps; actions are left and right.

    Args:
      reward: of a step to the right; a step to the left pays minus that.

    Returns:
      Observation float32 [1], from 0 to 1, so that units without a bias make a straight line of it.
    """

    def observe(state: Array) -> Array:
        return (state.astype(jnp.float32) / (LENGTH - 1))[None]

    def initial(key: Key) -> Array:
        return jax.random.randint(key, (), 0, LENGTH)

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        after = jnp.clip(state + 2 * action - 1, 0, LENGTH - 1)
        return after, reward * (after - state).astype(jnp.float32), jnp.bool_(False)

    return episodic(initial, transition, observe, Spec("chain", Box((1,), 0.0, 1.0), Discrete(2), 80))


def cosine(seeds: Sequence[int], reward: float = 1.0, end_to_end: bool = False, updates: int = 200) -> np.ndarray:
    """Mean cosine between goals and the direction in which states lie to the right, over the cells within the chain.

    Args:
      seeds: of parameters and walks.
      reward: of a step to the right, see `chain`.
      end_to_end: learn goals from the worker's gradient in place of the manager's.
      updates: of the manager, each on 16 walks of 40 steps.

    Returns:
      `[seeds]`.
    """
    env = chain(reward)
    module = networks.Feudal(networks.Torso(env.spec.observation, (SIZE,), cnn=None), 2, SIZE, SIZE, 4, HORIZON)
    agent = fun(
        module, optimisers.adam(1e-2, 1.0), horizon=HORIZON, epsilon=0.0, discount=0.9, manager_discount=0.9,
        worker_cost=0.0, end_to_end=end_to_end,
    )  # fmt: skip
    storage = replay.on_policy(UNROLL)

    @jax.jit
    def learned(key: Key) -> "Tree":
        return loops.learned(env, agent, storage, key, LANES, UNROLL, updates, lambda rows: rows.reward)[0].params

    @jax.jit
    def judged(params: "Tree") -> Array:
        """Of walks from the left end to the right and back, after the first steps, in which memory fills."""
        there = np.concatenate([np.arange(LENGTH), np.arange(LENGTH)[-2::-1]])
        place = jnp.asarray(there / (LENGTH - 1), jnp.float32)[:, None, None]
        first = (jnp.arange(len(there)) == 0)[:, None]
        told, _ = module.apply({"params": params}, module.begin(1)[0], place, first, method="manage")
        state = told.state[:LENGTH, 0]
        right, at = jnp.pad(state[HORIZON:], ((0, HORIZON), (0, 0)), mode="edge"), jnp.asarray(there)
        each = losses.direction_reward(state[at], told.goal[:, 0], right[at])
        inside = (there < LENGTH - HORIZON) & (np.arange(len(there)) >= HORIZON)
        return jnp.mean(each, where=jnp.asarray(inside))

    return np.array([float(judged(learned(keys.key(seed)))) for seed in seeds])
