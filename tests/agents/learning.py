"""What an agent has learned of a task, for tests of mechanisms and of what happens without them."""

import jax
import numpy as np

from agents import keys
from envs.base import Environment
from experiments import loops
from experiments.drivers import Parts


def learned(
    env: Environment,
    parts: Parts,
    iterations: int,
    lanes: int = 8,
    seeds: int = 3,
    evaluate_on: Environment | None = None,
    episodes: int = 64,
) -> np.ndarray:
    """Mean greedy return of each seed after so many iterations, `[seeds]`."""
    loop = loops.in_graph(env, *parts, num_envs=lanes, iterations=iterations)
    evaluate = loops.evaluation(evaluate_on or env, parts.agent, episodes)

    def train(key: jax.Array) -> jax.Array:
        run, _ = loop.step(loop.init(key))
        return evaluate(loop.actor(run), key)["eval_return"].mean()

    return np.asarray(jax.jit(jax.vmap(train))(keys.key(np.arange(seeds))))
