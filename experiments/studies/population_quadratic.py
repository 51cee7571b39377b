"""The toy of population-based training (Jaderberg et al., 2017, figure 2): two workers that each see half a problem."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from agents.common import populations
from envs import keys
from envs.base import Array, Key

RATE, EVERY = 0.01, 10
BOUNDS = populations.Bounds(0.0, 10.0)
EXPLORE = populations.Explore(factors=(1.0, 1.0), noise=0.1)


def quality(theta: Array) -> Array:
    """What is to be maximised, at `theta [..., 2]`; at most 1.2."""
    return 1.2 - jnp.sum(theta**2, axis=-1)


def best(seeds: Sequence[int], rule: str = "truncation", explore: bool = True, steps: int = 200) -> np.ndarray:
    """The better quality of two workers, each of which climbs `1.2 - h0 theta0² - h1 theta1²` with an h of its own.

    Args:
      seeds: of the draws.
      rule: who copies whom every tenth step, one of `populations.RULES`; by "none" the two are a grid search.
      explore: change h where it is copied; without it the copies stay alike.
      steps: of gradient ascent.

    Returns:
      `[seeds]`.
    """
    how = EXPLORE if explore else populations.Explore(factors=(1.0, 1.0))

    def step(state: tuple, inputs: tuple) -> tuple[tuple, None]:
        theta, h = state
        number, key = inputs
        theta = theta - 2 * RATE * h * theta
        values = {"first": h[:, 0], "second": h[:, 1]}
        bounds = dict.fromkeys(values, BOUNDS)
        parents, values = populations.turn(key, quality(theta)[:, None], values, bounds, rule, 0.5, how)
        turned = theta[parents], jnp.stack([values["first"], values["second"]], axis=1)
        due = number % EVERY == 0
        return jax.tree.map(lambda new, old: jnp.where(due, new, old), turned, (theta, h)), None

    def run(key: Key) -> Array:
        inputs = jnp.arange(1, steps + 1), jax.random.split(key, steps)
        (theta, _), _ = jax.lax.scan(step, (jnp.full((2, 2), 0.9), jnp.eye(2)), inputs)
        return jnp.max(quality(theta))

    return np.asarray(jax.jit(jax.vmap(run))(keys.key(np.asarray(seeds))))
