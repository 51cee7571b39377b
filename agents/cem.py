"""The cross-entropy method for policy search.

Rubinstein, "The cross-entropy method for combinatorial and continuous optimization", 1999; Szita and Lőrincz, "Learning
Tetris using the noisy cross-entropy method", Neural Computation 2006. With the elites E_k, the best of λ candidates
x ~ N(μ_k, diag σ_k²),

    μ_{k+1} = mean of E_k,      σ²_{k+1} = variance of E_k + z_k,      z_k = max(0, z_0 (1 - k / K))

The extra variance z keeps the search from closing in on the first good candidates.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Agent, Array, Key, Tree
from agents.common.policy_search import Strategy, search
from networks.base import Network


class State(NamedTuple):
    """The distribution of candidates."""

    mean: Array  # [n]
    variance: Array  # [n]
    generation: Array  # int32


def elites(
    population: int, best: int, *, sigma: float | Array = 1.0, noise: float | Array = 1.0, fade: float | Array = 10.0
) -> Strategy:
    """The strategy.

    Args:
      population: λ.
      best: elites.
      sigma: σ_0.
      noise: z_0.
      fade: K, generations over which the extra variance fades; infinite for a constant one.

    Raises:
      ValueError: not 1 <= best <= population.
    """
    if not 1 <= best <= population:
        raise ValueError(f"best: {best} must be from 1 to the population, {population}")

    def init(x: Array) -> State:
        return State(x, jnp.full_like(x, jnp.square(jnp.asarray(sigma))), jnp.int32(0))

    def ask(state: State, key: Key) -> Array:
        shape = (population, *state.mean.shape)
        return state.mean[None] + jnp.sqrt(state.variance)[None] * jax.random.normal(key, shape)

    def tell(state: State, candidates: Array, fitness: Array) -> State:
        _, index = jax.lax.top_k(fitness, best)
        chosen = candidates[index]
        extra = jnp.maximum(0.0, noise * (1 - state.generation / fade))
        return State(jnp.mean(chosen, axis=0), jnp.var(chosen, axis=0) + extra, state.generation + 1)

    return Strategy(population, init, ask, tell, lambda state: state.mean)


def cem(
    policy: Network,
    example: Tree,
    population: int,
    best: int,
    *,
    episodes: int = 1,
    discrete: bool = False,
    **settings: Any,
) -> Agent:
    """The CEM agent: `agents.common.policy_search` with `elites`; their arguments."""
    return search(policy, example, elites(population, best, **settings), episodes=episodes, discrete=discrete)
