"""DeepSea of 20 x 20 from one demonstration: how many episodes DQfD takes, and DQN with parts of it taken away.

One of 2^20 sequences of actions pays. The demonstration is that sequence, once. An episode of training with ε = 0.01 is
followed by a greedy one; the task is solved with the first of ten in a row that return 0.9 or more.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import networks
import replay
from agents.base import Agent, Step, TimeStep
from agents.common import optimisers
from agents.common.demonstrations import Demonstrations, pretrained
from agents.dqn import dqn
from envs import keys
from envs.base import Environment
from envs.tasks.deep_sea import deep_sea, right_actions
from replay.base import Replay

BATCH, N, ROW, GOOD = 64, 10, 10, 0.9


def demonstration(env: Environment, actions: np.ndarray) -> Step:
    """The rows `[T + 1]` of the episode in which those actions are taken."""
    state, first = jax.jit(env.reset)(keys.key(0))
    rows: list[TimeStep] = [first]
    step = jax.jit(env.step)
    for action in actions:
        state, timestep = step(state, jnp.int32(action))
        rows.append(timestep)
    timesteps = jax.tree.map(lambda *x: jnp.stack(x), *rows)
    return Step(timesteps, jnp.asarray([*actions, 0], jnp.int32))


def parts(
    env: Environment, size: int, margin: float, permanent: bool, demonstrated: bool, updates: int, capacity: int
) -> tuple[Agent, Replay]:
    """The agent and its replay; see `episodes`."""
    optimiser = optimisers.chain(optax.chain(optax.add_decayed_weights(1e-5), optax.adam(1e-3)))
    network = networks.q_network(networks.Torso(env.spec.observation, (64, 64), cnn=None), networks.QValues(2))
    settings: dict[str, Any] = {"epsilon": 0.01, "target_period": 100, "discount": 0.99}
    if not demonstrated:
        memory = replay.prioritised(capacity, BATCH, N, alpha=0.4, beta=0.6, epsilon=1e-3, single=True)
        return dqn(network, optimiser, **settings), replay.mapped(memory, replay.n_step(N, 0.99))
    rows = demonstration(env, right_actions(size))
    memory = replay.with_demonstrations(rows, capacity, BATCH, N, permanent=permanent)
    agent = dqn(network, optimiser, demonstrations=Demonstrations(N, margin_weight=margin), **settings)
    return pretrained(agent, memory, updates), memory


def episodes(
    seeds: Sequence[int],
    size: int = 20,
    margin: float = 1.0,
    permanent: bool = True,
    demonstrated: bool = True,
    updates: int = 1_000,
    capacity: int = 1_000,
    most: int = 1_000,
) -> np.ndarray:
    """Episodes until it is solved; infinite if it is not within `most`.

    Args:
      seeds: of the network and the replay's draws; the task is the same for all.
      size: of the sea.
      margin: weight of the margin loss.
      permanent: whether the demonstration is kept, or is overwritten in the ring like other rows.
      demonstrated: whether there is one; else it is prioritised n-step DQN.
      updates: on the demonstration, before the first episode.
      capacity: of the ring, in rows.
      most: episodes that are played.

    Returns:
      `[seeds]`.
    """
    env = deep_sea(size)
    agent, memory = parts(env, size, margin, permanent, demonstrated, updates, capacity)

    def act(learner: Any, world: Any, timestep: TimeStep, key: Any, explore: bool) -> tuple[Any, TimeStep, Step]:
        action, _, _ = agent.act(agent.actor(learner), key, agent.begin(1), timestep, explore)
        world, after = jax.vmap(env.step)(world, action)
        return world, after, Step(timestep, action)

    def round_(state: tuple, key: Any) -> tuple[tuple, Any]:
        k_reset, k_play, k_test = keys.split(key, 3)
        world, timestep = jax.vmap(env.reset)(keys.split(k_reset, 1))

        def step(state: tuple, key: Any) -> tuple[tuple, None]:
            learner, storage, world, timestep = state
            k_act, k_sample, k_update = keys.split(key, 3)
            world, after, row = act(learner, world, timestep, k_act, True)
            storage = memory.add(storage, jax.tree.map(lambda x: x[None], row))
            sample = memory.sample(storage, k_sample)
            learner, info = agent.update(learner, k_update, sample)
            return (learner, memory.feedback(storage, sample.index, info), world, after), None

        def test(state: tuple, key: Any) -> tuple[tuple, Any]:
            world, timestep = state
            world, after, _ = act(learner, world, timestep, key, False)
            return (world, after), after.reward[0]

        fresh = (world, timestep)
        (learner, storage, *_), _ = jax.lax.scan(step, (*state, *fresh), keys.split(k_play, size + 1))
        _, rewards = jax.lax.scan(test, fresh, keys.split(k_test, size))
        return (learner, storage), jnp.sum(rewards)

    def train(key: Any) -> Any:
        k_agent, k_reset, k_run = keys.split(key, 3)
        _, timestep = jax.vmap(env.reset)(keys.split(k_reset, 1))
        learner = agent.init(k_agent, timestep)
        storage = memory.init(Step(timestep, jnp.zeros(1, jnp.int32)))
        return jax.lax.scan(round_, (learner, storage), keys.split(k_run, most))[1]

    good = np.asarray(jax.jit(jax.vmap(train))(keys.key(np.array(seeds)))) >= GOOD
    found = []
    for each in good:
        runs = np.convolve(each, np.ones(ROW, int), "valid") == ROW
        found.append(1 + int(np.argmax(runs)) if runs.any() else np.inf)
    return np.array(found)
