"""DRQN and R2D2 on tasks that cannot be done without memory, and what they cannot learn without their parts."""

from importlib import import_module
from typing import Any

import numpy as np

import envs
from agents import keys
from experiments import devices, drivers, runs

SEEDS, LANES = 5, 16


def returns(
    experiment: str, env: str, steps: int, options: dict[str, Any] | None = None, seeds: int = SEEDS, **flags: Any
) -> np.ndarray:
    """Greedy return of every seed after training, `[seeds]`, each the mean of 100 episodes."""
    task: Any = envs.make(env, **(options or {}))
    module = import_module(f"experiments.{experiment}")
    config = module.Config(**flags)
    make = lambda hypers: module.make(config, task.spec, runs.Scale(LANES, 1, steps))  # noqa: E731
    schedule = make({}).schedule
    iterations = steps // (schedule.unroll * LANES) - schedule.warmup
    driver = drivers.in_graph(
        task, make, {"run": np.arange(seeds)}, devices.layout(seeds),
        num_envs=LANES, iterations=iterations, eval_episodes=100,
    )  # fmt: skip
    state, _ = driver.loop.step(driver.loop.init(keys.key(np.arange(seeds))))
    return driver.loop.evaluate(driver.loop.actor(state), keys.key(100 + np.arange(seeds)))["eval_return"].mean(axis=1)
