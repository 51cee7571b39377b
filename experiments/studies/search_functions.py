"""Policy search on functions with a known minimum: evaluations as pycma counts them, and how far the search gets."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.cem import elites
from agents.cma_es import adaptation
from agents.common.policy_search import Strategy
from envs import keys

if TYPE_CHECKING:
    from agents.base import Array, Tree
    from envs.base import Key

TARGET = 1e-9


def sphere(x: jax.Array) -> jax.Array:
    """The sum of squares."""
    return jnp.sum(jnp.square(x))


def ellipsoid(x: jax.Array) -> jax.Array:
    """A sum of squares with weights from 1 to 10⁶."""
    return jnp.sum(10.0 ** (6 * jnp.arange(x.size) / (x.size - 1)) * jnp.square(x))


def rosenbrock(x: jax.Array) -> jax.Array:
    """The curved valley with its minimum at 1, 1, ..."""
    return jnp.sum(100 * jnp.square(x[1:] - jnp.square(x[:-1])) + jnp.square(1 - x[:-1]))


FUNCTIONS: dict[str, tuple[Callable[[jax.Array], jax.Array], float, float]] = {
    "sphere": (sphere, 3.0, 1.0),
    "ellipsoid": (ellipsoid, 3.0, 1.0),
    "rosenbrock": (rosenbrock, 0.1, 0.5),
}
"""Name -> function, where the search starts in every coordinate, and its first σ."""


def counted(
    strategy: Strategy, function: Callable[[jax.Array], jax.Array], x: jax.Array, most: int, key: "Key"
) -> jax.Array:
    """Evaluations, in whole generations, until a candidate is as good as the target; `most` or more where none is."""

    def unfinished(state: "tuple[Tree, Array, Array]") -> "Array":
        return (state[1] * strategy.population < most) & (state[2] > TARGET)

    def body(state: "tuple[Tree, Array, Array]") -> "tuple[Tree, Array, Array]":
        inner, generation, _ = state
        candidates = strategy.ask(inner, jax.random.fold_in(key, generation))
        values = jax.vmap(function)(candidates)
        return strategy.tell(inner, candidates, -values), generation + 1, jnp.min(values)

    state = (strategy.init(x), jnp.int32(0), jnp.float32(jnp.inf))
    return jax.lax.while_loop(unfinished, body, state)[1] * strategy.population


def evaluations(
    seeds: Sequence[int], function: str = "sphere", size: int = 10, most: int = 20_000, **settings: Any
) -> np.ndarray:
    """Evaluations until a candidate's value is 1e-9 or less.

    Args:
      seeds: of the search.
      function: one of FUNCTIONS.
      size: dimensions.
      most: evaluations after which the search is given up.
      **settings: of `adaptation`, such as active=False.

    Returns:
      `[seeds]`.
    """
    f, start, sigma = FUNCTIONS[function]
    strategy = adaptation(size, **{"sigma": sigma, **settings})
    run = partial(counted, strategy, f, jnp.full(size, start), most)
    return np.asarray(jax.jit(jax.vmap(run))(keys.key(np.array(seeds))))


def distance(seeds: Sequence[int], noise: float = 1.0, generations: int = 60) -> np.ndarray:
    """How far the cross-entropy method ends from the minimum of the sphere in 5 dimensions, from 22 away with σ = 0.5.

    Args:
      seeds: of the search.
      noise: extra variance of the first generation, which fades over 40.
      generations: of 50 candidates and 10 elites.

    Returns:
      `[seeds]`.
    """
    strategy = elites(50, 10, sigma=0.5, noise=noise, fade=40.0)

    def generation(state: "Tree", key: "Key") -> "tuple[Tree, None]":
        candidates = strategy.ask(state, key)
        return strategy.tell(state, candidates, -jax.vmap(sphere)(candidates)), None

    def run(key: "Key") -> jax.Array:
        start = strategy.init(jnp.full(5, 10.0))
        state, _ = jax.lax.scan(generation, start, jax.random.split(key, generations))
        return jnp.linalg.norm(strategy.mean(state))

    return np.asarray(jax.jit(jax.vmap(run))(keys.key(np.array(seeds))))
