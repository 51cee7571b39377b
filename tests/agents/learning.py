"""Whole trainings by the experiments' own parts, for tests of what agents learn."""

from importlib import import_module
from typing import Any

import numpy as np

import envs
from agents import keys
from experiments import devices, drivers, loops, runs


def trained(
    experiment: str,
    env: str,
    steps: int,
    *,
    evaluations: int = 1,
    seeds: int = 5,
    lanes: int = 16,
    options: dict[str, Any] | None = None,
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
      **flags: of the agent.

    Returns:
      Greedy returns `[evaluations, seeds]`, each the mean of 100 episodes; and what agents and replays are in the end,
      `(agent, replay)` with leaves `[seeds, ...]`.
    """
    task: Any = envs.make(env, **(options or {}))
    module = import_module(f"experiments.{experiment}")
    config = module.Config(**flags)
    make = lambda hypers: module.make(config, task.spec, runs.Scale(lanes, 1, steps))  # noqa: E731
    schedule: loops.Schedule = make({}).schedule
    iterations = (steps // (schedule.unroll * lanes) - schedule.warmup) // evaluations
    lay = devices.layout(seeds)
    numbers = {"num_envs": lanes, "iterations": iterations, "eval_episodes": 100}
    loop = drivers.in_graph(task, make, {"run": np.arange(seeds)}, lay, **numbers).loop
    state, returns = loop.init(keys.key(np.arange(seeds))), []
    for i in range(evaluations):
        state, _ = loop.step(state)
        played = loop.evaluate(loop.actor(state), keys.key(1000 * (i + 1) + np.arange(seeds)))
        returns.append(played["eval_return"].mean(axis=1))
    return np.stack(returns), devices.collect(lay, (state.agent, state.replay))
