"""Hindsight makes DQN flip bits; without it, it does not."""

import jax
import numpy as np
import pytest

import networks
import replay
from agents import keys, optimisers
from agents.dqn import dqn
from envs.bit_flip import bit_flip
from experiments import loops


def success(bits: int, k: float, episodes: int, seeds: int, strategy: str = "future", hidden: int = 256) -> np.ndarray:
    """Share of 256 goals reached greedily after so many episodes, `[seeds]`.

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
    relabel = replay.hindsight(strategy, k, rules.reward, bits, rules.reached)
    memory = replay.mapped(replay.uniform(min(16 * (bits + 1) * episodes // 16, 200_000), 128), relabel)
    schedule = loops.Schedule(bits + 1, 40)
    loop = loops.in_graph(
        env, agent, memory, schedule, num_envs=16, iterations=max(1, episodes // 16), eval_episodes=256
    )

    def run(key):
        state, _ = loop.step(loop.init(key))
        return loop.evaluate(loop.actor(state), key)["eval_success"].mean()

    return np.asarray(jax.jit(jax.vmap(run))(keys.key(np.arange(seeds))))


def test_eight_bits_need_hindsight_for_so_few_episodes():
    assert (success(8, 4, 960, 2, hidden=128) >= 0.9).all()
    assert (success(8, 0, 960, 2, hidden=128) <= 0.3).all()


@pytest.mark.slow
def test_twenty_bits():
    with_it = success(20, 4, 8_000, 8)
    assert (with_it >= 0.9).all(), with_it


@pytest.mark.slow
def test_twenty_bits_are_out_of_reach_without_hindsight():
    without = success(20, 0, 16_000, 8)
    assert (without <= 0.02).all(), without
