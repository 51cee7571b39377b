"""Whole trainings, for tests of what agents learn and of what happens without their mechanisms."""

from importlib import import_module
from typing import Any

import jax
import numpy as np

import envs
from envs import keys
from envs.base import Environment
from experiments.drivers import contract, devices, in_graph
from experiments.drivers.contract import Parts
from experiments.run import episodes, plans
from tests.thorough import THOROUGH


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
    loop = in_graph.loop(env, *parts, num_envs=lanes, iterations=iterations)
    evaluate = in_graph.evaluation(evaluate_on or env, parts.agent, episodes)

    def train(key: jax.Array) -> jax.Array:
        run, _ = loop.step(loop.init(key))
        return evaluate(loop.actor(run), key)["eval_return"].mean()

    return np.asarray(jax.jit(jax.vmap(train), compiler_options=THOROUGH)(keys.key(np.arange(seeds))))


def trained(
    experiment: str,
    env: str,
    steps: int,
    *,
    evaluations: int = 1,
    seeds: int = 5,
    lanes: int = 16,
    options: dict[str, Any] | None = None,
    sampled: bool = False,
    judged: int = 100,
    **flags: Any,
) -> tuple[np.ndarray, Any]:
    """Trains seeds 0, 1, ... on a task in graph.

    Args:
      experiment: the module's name.
      env: the task.
      steps: of each seed.
      evaluations: how many, evenly spaced, the last one at the end.
      seeds: how many.
      lanes: environments of each seed.
      options: of the task.
      sampled: evaluate policies as they play in training.
      judged: episodes of one evaluation.
      **flags: of the agent.

    Returns:
      Returns, greedy unless they are to be sampled, `[evaluations, seeds]`, each the mean of `judged` episodes; and
      what agents and replays are in the end, `(agent, replay)` with leaves `[seeds, ...]`.
    """
    task: Any = envs.make(env, **(options or {}))
    module = import_module(f"experiments.{experiment}")
    config = module.Config(**flags)
    make = lambda hypers: module.make(config, task.spec, plans.Size(lanes, 1, steps))  # noqa: E731
    make = episodes.exploring(make) if sampled else make
    schedule: contract.Schedule = make({}).schedule
    iterations = (steps // (schedule.unroll * lanes) - schedule.warmup) // evaluations
    lay = devices.layout(seeds)
    numbers = {"num_envs": lanes, "iterations": iterations, "eval_episodes": judged}
    loop = in_graph.driver(task, make, {"run": np.arange(seeds)}, lay, **numbers).loop
    state, returns = loop.init(keys.key(np.arange(seeds))), []
    for i in range(evaluations):
        state, _ = loop.step(state)
        played = loop.evaluate(loop.actor(state), keys.key(1000 * (i + 1) + np.arange(seeds)))
        returns.append(played["eval_return"].mean(axis=1))
    return np.stack(returns), devices.collect(lay, (state.agent, state.replay))
