"""Where a self-aware agent spends its time: in an arena with an object whose ways can be learned."""

from collections.abc import Callable, Sequence
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

import replay
from agents.base import Array, Key, TimeStep
from agents.common import optimisers
from agents.self_aware import self_aware
from envs import keys
from envs.tasks.arena import arena
from experiments.studies import trained

LENGTH, OBJECTS, LANES, UNROLL = 20, 2, 4, 4


@cache
def player(kind: str, iterations: int, beta: float) -> Callable[[Key], Array]:
    """From a key to the share of steps at the object in each iteration, compiled; arguments as for `shares`."""
    env = arena(LENGTH, OBJECTS)
    agent = self_aware(
        env.spec,
        optimisers.adam(1e-3),
        optimisers.adam(1e-3),
        beta=beta,
        adversarial=kind != "random",
        shuffled=kind == "shuffled",
    )

    def touched(rows: TimeStep) -> Array:
        return jnp.mean(jnp.any(rows.observation[..., LENGTH:] > 0, -1))  # where the object is in touch its shape shows

    storage = replay.uniform(4000, 32, 3)
    return jax.jit(lambda key: trained(env, agent, storage, key, LANES, UNROLL, iterations, touched))


@cache
def shares(seed: int, kind: str, iterations: int, beta: float = 30.0) -> np.ndarray:
    """The share of steps at the object in each tenth of a run, `[10]`.

    Args:
      seed: of the run.
      kind: "self-aware", "random", or "shuffled".
      iterations: of four steps in four lanes, each with an update.
      beta: inverse temperature of the choice among actions.
    """
    found = np.asarray(player(kind, iterations, beta)(keys.key(seed)))
    return found.reshape(10, -1).mean(1)


def over_random(
    of: Callable[[np.ndarray], np.floating], seeds: Sequence[int], kind: str, iterations: int
) -> np.ndarray:
    """A number of the shares of each run, over the share under random play, `[seeds]`."""
    random = np.mean([shares(seed, "random", iterations).mean() for seed in seeds])
    return np.array([of(shares(seed, kind, iterations)) / random for seed in seeds])


def peak(seeds: Sequence[int], kind: str = "self-aware", iterations: int = 4000) -> np.ndarray:
    """The largest share of steps at the object in a tenth of the run, over the share under random play.

    Args:
      seeds: of the runs.
      kind: of agent.
      iterations: of each run.

    Returns:
      `[seeds]`.
    """
    return over_random(np.max, seeds, kind, iterations)


def fall(seeds: Sequence[int], kind: str = "self-aware", iterations: int = 4000) -> np.ndarray:
    """The share of steps at the object in the last tenth of the run, over the largest in a tenth.

    Args:
      seeds: of the runs.
      kind: of agent.
      iterations: of each run.

    Returns:
      `[seeds]`.
    """
    found = [shares(seed, kind, iterations) for seed in seeds]
    return np.array([each[-1] / each.max() for each in found])


def overall(seeds: Sequence[int], kind: str = "self-aware", iterations: int = 4000) -> np.ndarray:
    """The share of steps at the object in the whole run, over the share under random play.

    Args:
      seeds: of the runs.
      kind: of agent.
      iterations: of each run.

    Returns:
      `[seeds]`.
    """
    return over_random(np.mean, seeds, kind, iterations)
