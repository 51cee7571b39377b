"""Hindsight makes DQN flip bits; without it, it does not."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.common import optimisers
from agents.dqn import dqn
from envs import keys
from envs.tasks.bit_flip import bit_flip
from experiments.drivers import contract, in_graph


def success(bits: int, k: Any, episodes: int, seeds: int, hidden: int = 256) -> np.ndarray:
    """Share of 256 goals reached greedily after so many episodes, `[len(k), seeds]`.

    A cycle is 16 episodes and 40 updates; the target moves once in a cycle.
    """
    env = bit_flip(bits)
    space = {name: env.spec.observation[name] for name in ("observation", "desired_goal")}
    torso = networks.Torso(space, (hidden,), cnn=None)
    agent = dqn(
        networks.q_network(torso, networks.QValues(bits)),
        optimisers.adam(1e-3),
        discount=0.98,
        epsilon=0.2,
        double=False,
        target_period=40,
        target_rate=0.05,
    )
    rules = env.spec.goals
    storage = replay.uniform(min((bits + 1) * episodes, 200_000), 128)

    def run(k, key):
        memory = replay.mapped(storage, replay.hindsight("future", k, rules.reward, bits, rules.reached))
        schedule = contract.Schedule(bits + 1, 40)
        loop = in_graph.loop(env, agent, memory, schedule, num_envs=16, iterations=episodes // 16, eval_episodes=256)
        state, _ = loop.step(loop.init(key))
        return loop.evaluate(loop.actor(state), key)["eval_success"].mean()

    each = jax.vmap(jax.vmap(run, (None, 0)), (0, None))
    return np.asarray(jax.jit(each)(jnp.asarray(k, jnp.float32), keys.key(np.arange(seeds))))


def test_eight_bits_need_hindsight_for_so_few_episodes():
    with_it, without = success(8, [4, 0], 800, 1, hidden=64)
    assert (with_it >= 0.9).all() and (without <= 0.3).all(), (with_it, without)
