"""DeepSea of size 8 (Osband et al., 2019): what explores by noise in its network solves it, what dithers does not.

One of 256 sequences of actions pays, and every step towards it costs. The agent is DQN with one environment, layers of
64 and 64, batches of 128 and a target that is copied every 4 updates; its outputs start near 0, so that an untrained
greedy policy is no exploration.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
import replay
from agents.base import Agent, Step
from agents.common import optimisers
from agents.dqn import dqn
from envs import keys
from envs.base import Environment
from envs.tasks.deep_sea import deep_sea

if TYPE_CHECKING:
    from envs.base import Key

SIZE = 8
ROWS = SIZE + 1
"""Rows of an episode: its steps, and the one that opens it."""
BATCH = 128
"""Also the rows that are played before learning begins."""
JUDGED = 100
"""Episodes at the end that say whether it is solved."""
INIT = networks.fan_in_uniform()


def without_sigma(updates: optax.Updates, params: optax.Params | None) -> optax.Updates:
    """Updates that leave the size of the noise as it is."""
    del params
    keep = lambda path, x: 0 * x if "sigma" in jax.tree_util.keystr(path) else x  # noqa: E731
    return jax.tree_util.tree_map_with_path(keep, updates)


def agent_of(env: Environment, sigma: float, noisy: bool, frozen: bool, epsilon: float, learning_rate: float) -> Agent:
    """The DQN that the settings describe; see `solved`."""
    noise = networks.Noise(sigma) if noisy else None
    torso = networks.Torso(env.spec.observation, (64, 64), cnn=None, kernel_init=INIT, bias_init=INIT, noise=noise)
    network = networks.q_network(torso, networks.QValues(2, INIT, INIT, noise=noise))
    adam = optimisers.adam(learning_rate)
    optimiser = optax.chain(optax.stateless(without_sigma), adam) if frozen else adam
    return dqn(network, optimiser, epsilon=epsilon, target_period=4, double=False, noisy=noisy)


def solved(
    seeds: Sequence[int],
    sigma: float = 0.5,
    noisy: bool = True,
    frozen: bool = False,
    epsilon: float = 0.0,
    learning_rate: float = 3e-4,
    episodes: int = 1_000,
) -> np.ndarray:
    """Which seeds found the treasure and keep to it: the mean return of the last 100 episodes is above a half.

    Args:
      seeds: of the network, the noise and the replay's draws; the task is the same for all.
      sigma: σ₀ of factorised noise.
      noisy: whether the layers are noisy at all.
      frozen: whether σ keeps the size that it starts with.
      epsilon: probability of a random action.
      learning_rate: Adam's step size.
      episodes: how many are played, after a warm-up of 128 rows.

    Returns:
      1 where a seed solved it, else 0; `[seeds]`.
    """
    env = deep_sea(SIZE)
    agent = agent_of(env, sigma, noisy, frozen, epsilon, learning_rate)
    buffer = replay.uniform(10_000, BATCH)

    def act(state: tuple, key: "Key") -> tuple[tuple, Step]:
        env_state, timestep, learner, storage = state
        action, _, extras = agent.act(agent.actor(learner), key, agent.begin(1), timestep, True)
        row = Step(timestep, action, extras)
        storage = buffer.add(storage, jax.tree.map(lambda x: x[None], row))
        return (*jax.vmap(env.step)(env_state, action), learner, storage), row

    def learn(state: tuple, key: "Key") -> tuple[tuple, tuple[jax.Array, jax.Array]]:
        k_act, k_sample, k_update = keys.split(key, 3)
        (env_state, timestep, learner, storage), row = act(state, k_act)
        learner, _ = agent.update(learner, k_update, buffer.sample(storage, k_sample))
        return (env_state, timestep, learner, storage), (row.timestep.reward[0], row.timestep.last()[0])

    def train(key: "Key") -> jax.Array:
        k_env, k_agent, k_warmup, k_run = keys.split(key, 4)
        env_state, timestep = jax.vmap(env.reset)(keys.split(k_env, 1))
        learner = agent.init(k_agent, timestep)
        storage = buffer.init(Step(timestep, jnp.zeros(1, jnp.int32), {}))
        state, _ = jax.lax.scan(act, (env_state, timestep, learner, storage), keys.split(k_warmup, BATCH))
        _, (rewards, last) = jax.lax.scan(learn, state, keys.split(k_run, episodes * ROWS))
        return jnp.sum(rewards[-JUDGED * ROWS :]) / jnp.sum(last[-JUDGED * ROWS :])

    returns = jax.jit(jax.vmap(train))(keys.key(np.array(seeds)))
    return np.asarray(returns > 0.5, np.float64)
