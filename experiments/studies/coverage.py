"""How much of a maze without reward a curious agent sees."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

import networks
import replay
from agents.a2c import a2c
from agents.base import Array, Key, TimeStep
from agents.common import bonuses, curiosity, optimisers
from envs import keys
from envs.tasks.key_maze import MOVES, key_maze, plan
from experiments.studies import trained

ROOMS, SIZE, LANES, UNROLL, LIMIT = 4, 5, 16, 20, 199
EPISODE = LIMIT + 1  # rows, FIRST and LAST among them
Kind = Literal["icm", "rnd", "none", "random"]


@cache
def walker(kind: Kind, iterations: int) -> Callable[[Key], Array]:
    """From a key to the places of all lanes, `[iterations, UNROLL, LANES]`, compiled; arguments as for `visited`."""
    env = key_maze(ROOMS, SIZE, "none", LIMIT)
    rows, columns = plan(ROOMS, SIZE).walls.shape
    torso = lambda: networks.Torso(env.spec.observation, (64, 64))  # noqa: E731
    heads = networks.CategoricalPolicy(len(MOVES)), networks.Value()
    network = networks.actor_critic(torso(), *heads, critic_torso=torso())
    agent = a2c(network, optimisers.adam(0.0 if kind == "random" else 1e-3, 0.5), entropy_cost=0.01, lambda_=1.0)
    optimiser = optimisers.adam(1e-3)
    module = bonuses.distillation(env.spec, optimiser) if kind == "rnd" else bonuses.dynamics(env.spec, optimiser)
    coefficient = 1.0 if kind in ("icm", "rnd") else 0.0
    around, storage = curiosity.rewarded(
        agent, replay.on_policy(UNROLL), module, env.spec, coefficient=coefficient, extrinsic=0.0
    )

    def place(timestep: TimeStep) -> Array:
        row, column, key = jnp.split(timestep.observation, (rows, rows + columns), axis=-1)
        cell = jnp.argmax(row, -1) * columns + jnp.argmax(column, -1)
        return 2 * cell + (key[..., 0] > 0)

    return jax.jit(lambda key: trained(env, around, storage, key, LANES, UNROLL, iterations, place))


@cache
def visited(seed: int, kind: Kind, iterations: int) -> float:
    """Cells, with the key and without apart, that a lane sees in an episode, mean over the last quarter of a run.

    Args:
      seed: of the run.
      kind: of the bonus around A2C; "none" is a bonus of 0, "random" does not learn.
      iterations: of 20 steps in 16 lanes; a multiple of 40.
    """
    found = np.asarray(walker(kind, iterations)(keys.key(seed))).reshape(-1, EPISODE, LANES)
    late = found[-len(found) // 4 :]
    return float(np.mean([[len(np.unique(episode[:, lane])) for lane in range(LANES)] for episode in late]))


def ratio(seeds: Sequence[int], kind: Kind = "icm", iterations: int = 4000) -> np.ndarray:
    """Cells that a lane sees in an episode, over those that a random walk sees.

    Args:
      seeds: of the runs.
      kind: of the bonus.
      iterations: of each run.

    Returns:
      `[seeds]`.
    """
    walk = np.mean([visited(seed, "random", 400) for seed in seeds])
    return np.array([visited(seed, kind, iterations) / walk for seed in seeds])
