"""Universal values on four rooms (Schaul et al., 2015): what a rank can express of V(s, g) = 0.9 ** distance.

Of the pairs (s, g) of 104 cells 30 % are held out; a seed chooses which.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

import networks
from agents import uvfa
from agents.common import optimisers
from envs.tasks import four_rooms

if TYPE_CHECKING:
    from agents.base import Array, Key, Tree

DISTANCE, ADJACENT = four_rooms.distances(), four_rooms.neighbours()
CELLS = len(DISTANCE)
VALUES = 0.9**DISTANCE
KNOWN = jnp.asarray(VALUES, jnp.float32)
SEEN = 84
"""Goals that values are known of, where others are new."""


def held_out(seed: int) -> np.ndarray:
    """Which pairs are not known, `[S, G]`."""
    return np.random.default_rng(seed).random((CELLS, CELLS)) < 0.3


def optimal_share(values: np.ndarray, pairs: np.ndarray) -> float:
    """Of the pairs (s, g), s not g, the share where going to the best neighbour by `values` is a shortest way."""
    move = values[ADJACENT].argmax(1)  # [S, G]
    reached = ADJACENT[np.arange(CELLS)[:, None], move]
    nearer = DISTANCE[reached, np.arange(CELLS)[None]] < DISTANCE
    return float(nearer[pairs & (DISTANCE > 0)].mean())


@partial(jax.jit, static_argnums=(0,))
def factors(rank: int, known: jax.Array, values: jax.Array = KNOWN) -> uvfa.Factors:
    """The factorisation of `values[S, G]` by its known entries."""
    return uvfa.factorise(jax.random.key(0), values, known, rank)


def stream(rank: int) -> "tuple[Callable[[Key, Array], Tree], Callable[[Tree, Array], Array]]":
    """The network of one stream: `init(key, x) -> params` and `apply(params, x) -> [..., rank]`."""
    module = networks.MLP((128, 128, rank), activate_final=False)

    def apply(params: "Tree", x: jax.Array) -> jax.Array:
        return jnp.asarray(module.apply({"params": params}, x))

    return lambda key, x: module.init(key, x)["params"], apply


@partial(jax.jit, static_argnums=(0, 3))
def two_stages(rank: int, known: jax.Array, inputs: tuple[jax.Array, ...], steps: int = 800) -> jax.Array:
    """Values `[S, G']` of a universal approximator trained in two stages; G' are the goals of the inputs' third."""
    states, goals, queried = inputs
    hat = factors(rank, known)
    (init, apply), k_phi, k_psi = stream(rank), jax.random.key(1), jax.random.key(2)
    phi, _ = uvfa.regress(k_phi, init, apply, states, hat.phi, optimisers.adam(1e-3), steps)
    psi, _ = uvfa.regress(k_psi, init, apply, goals, hat.psi[: goals.shape[0]], optimisers.adam(1e-3), steps)
    return apply(phi, states) @ apply(psi, queried).T


def share(seeds: Sequence[int], rank: int = 7, stages: bool = False) -> np.ndarray:
    """The share of held-out pairs in which the best neighbour by predicted value is on a shortest way.

    Args:
      seeds: each holds out pairs of its own.
      rank: of the factorisation.
      stages: by networks regressed onto the factors, rather than by the factors.

    Returns:
      `[seeds]`.
    """
    found = []
    for seed in seeds:
        known = ~held_out(seed)
        values = two_stages(rank, known, (jnp.eye(CELLS),) * 3) if stages else factors(rank, known).values()
        found.append(optimal_share(np.asarray(values), ~known))
    return np.array(found)


def error(seeds: Sequence[int], rank: int = 7, zeros: bool = False) -> np.ndarray:
    """Root mean squared error on held-out pairs.

    Args:
      seeds: each holds out pairs of its own.
      rank: of the factorisation.
      zeros: take 0 for the missing values, rather than leaving them out.

    Returns:
      `[seeds]`.
    """
    found = []
    for seed in seeds:
        missing = held_out(seed)
        if zeros:
            hat = factors(rank, jnp.ones((CELLS, CELLS), bool), jnp.where(missing, 0.0, KNOWN))
        else:
            hat = factors(rank, ~missing)
        found.append(np.sqrt(np.mean((np.asarray(hat.values()) - VALUES)[missing] ** 2)))
    return np.array(found)


def new_goals(seeds: Sequence[int], random: bool = False) -> np.ndarray:
    """The share of shortest ways to 20 goals of which no value is known, by coordinates of the goals.

    Args:
      seeds: each chooses the goals.
      random: by random values, which is chance.

    Returns:
      `[seeds]`.
    """
    places = jnp.asarray((four_rooms.cells() - 6.0) / 6.0, jnp.float32)
    waves = [f(places * n) for f in (jnp.sin, jnp.cos) for n in (1.0, 2.0, 4.0)]
    places = jnp.concatenate(waves, axis=-1)
    init, apply = stream(7)

    @jax.jit
    def values_of(trained: jax.Array, new: jax.Array) -> tuple[jax.Array, jax.Array]:
        values = KNOWN[:, trained]
        hat = uvfa.factorise(jax.random.key(0), values, jnp.ones(values.shape, bool), 7)
        rate = optimisers.adam(1e-3)
        psi, loss = uvfa.regress(jax.random.key(1), init, apply, places[trained], hat.psi, rate, 800)
        return hat.phi @ apply(psi, places[new]).T, loss

    found = []
    for seed in seeds:
        order = np.random.default_rng(seed).permutation(CELLS)
        trained, new = order[:SEEN], order[SEEN:]
        everywhere, queried = np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS), bool)
        if random:
            everywhere = np.random.default_rng(seed + 1).random((CELLS, CELLS))
        else:
            values, _ = values_of(trained, new)
            everywhere[:, new] = np.asarray(values)
        queried[:, new] = True
        found.append(optimal_share(everywhere, queried))
    return np.array(found)
