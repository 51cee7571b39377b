"""What MERLIN is to learn in a maze that asks for memory.

What it, RL-MEM and memory Q-networks reach in other tasks, and not without their parts, are claims:
docs/results/claims/merlin_*.toml, rl_mem_*.toml and mqn_*.toml. No claim can measure steps between goals.
"""

from typing import Any

import jax
import numpy as np
import pytest

import envs
from envs import keys
from experiments import merlin
from experiments.drivers import devices
from experiments.run import episodes, plans, prepare

STEPS, LANES = 4_800_000, 32


def maker(task: Any) -> Any:
    """The parts of a run, as a function of nothing that is swept."""
    return lambda hypers: merlin.make(merlin.Config(rows=100, discount=0.95), task.spec, plans.Size(LANES, 1, STEPS))


def trained() -> Any:
    """What one seed acts by after its run, on one device."""
    task = envs.make("bellmax/teleport-maze")
    make = maker(task)
    schedule = make({}).schedule
    layout = devices.layout(1)
    driver = prepare.driver_of(
        task, make, {"run": np.arange(1)}, layout, np.arange(1),
        num_envs=LANES, iterations=(STEPS // (schedule.unroll * LANES) - schedule.warmup) // 10, eval_episodes=256,
    )  # fmt: skip
    state = driver.loop.init(keys.key(np.arange(1)))
    for _ in range(10):
        state, metrics = driver.loop.step(state)
        print({name: round(float(x.mean()), 4) for name, x in metrics.items()}, flush=True)
    return jax.tree.map(lambda x: x[0], devices.collect(layout, driver.loop.actor(state)))


@pytest.mark.slow
@pytest.mark.xfail(
    reason="33 steps to the first goal and 30 to 60 to later ones after 4,790,000 steps, see docs/results/merlin.md",
    raises=AssertionError,
    strict=True,
)
def test_merlin_finds_its_way_back_to_goals() -> None:
    """Steps to the fourth goal and later ones, over those to the first.

    Where the first takes more than 50 steps, the lanes that come to later ones are the lucky ones.
    """
    task = envs.make("bellmax/teleport-maze", time_limit=1_000)
    agent = episodes.exploring(maker(task))({}).agent
    gaps = episodes.stepping(task, agent, 256, 8)(trained(), keys.key(5))
    print(gaps)
    assert gaps[0] <= 50 and np.mean(gaps[3:]) < 0.6 * gaps[0]
