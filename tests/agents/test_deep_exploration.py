"""DeepSea of size 8: what explores by noise in its network solves it, what dithers does not."""

from functools import cache

import jax
import numpy as np
import optax
import pytest

import networks
import replay
from agents.common import optimisers
from agents.dqn import dqn
from envs import keys
from envs.tasks.deep_sea import deep_sea
from experiments.drivers import contract, devices, in_graph

SEEDS, EPISODES, LENGTH = 5, 1000, 9  # rows of an episode
INIT = networks.fan_in_uniform()


@cache
def solved(kind: str) -> np.ndarray:
    """Which seeds found the treasure and kept it: the share of good episodes among the last hundred is above a half.

    The networks start as DQN's do, with outputs near 0, so that the first greedy policies are not exploration.
    """
    env = deep_sea(8)
    noise = {"epsilon-greedy": None, "no sigma": networks.Noise(0.0)}.get(kind, networks.Noise(0.5))
    torso = networks.Torso(env.spec.observation, (64, 64), cnn=None, kernel_init=INIT, bias_init=INIT, noise=noise)
    network = networks.q_network(torso, networks.QValues(2, INIT, INIT, noise=noise))
    optimiser = optimisers.adam(3e-4)
    if kind == "frozen sigma":

        def freeze(updates: optax.Updates, params: optax.Params) -> optax.Updates:
            keep = lambda path, x: 0 * x if "sigma" in jax.tree_util.keystr(path) else x  # noqa: E731
            return jax.tree_util.tree_map_with_path(keep, updates)

        optimiser = optax.chain(optax.stateless(freeze), optimiser)

    def make(hypers: dict) -> contract.Parts:
        epsilon = 0.05 if noise is None else 0.0
        agent = dqn(
            network, optimiser, discount=0.99, epsilon=epsilon, target_period=4, double=False, noisy=noise is not None
        )
        return contract.Parts(agent, replay.uniform(10_000, 128), contract.Schedule(1, 1, 128))

    lay = devices.layout(SEEDS)
    rows = 100 * LENGTH
    driver = in_graph.driver(env, make, {"run": np.arange(SEEDS)}, lay, num_envs=1, iterations=rows, eval_episodes=1)
    state = driver.loop.init(keys.key(np.arange(SEEDS)))
    for _ in range((EPISODES * LENGTH - 128) // rows + 1):
        state, metrics = driver.loop.step(state)
    return metrics["episode_return"] > 0.5


@pytest.mark.slow
def test_noisy_networks_solve_it_on_four_of_five_seeds() -> None:
    assert solved("noisy").sum() >= 4, solved("noisy")


@pytest.mark.slow
def test_and_fewer_if_the_noise_keeps_its_size() -> None:
    """At this step size; at a larger one it is the other way round, see the page of NoisyNet."""
    assert solved("frozen sigma").sum() < solved("noisy").sum(), solved("frozen sigma")


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["epsilon-greedy", "no sigma"])
def test_without_noise_no_seed_does(kind: str) -> None:
    assert not solved(kind).any(), solved(kind)
