"""What MERLIN, RL-MEM and memory Q-networks learn on tasks that ask for memory, and what not without their parts.

The figures that they were seen to reach, and by which commands, are in docs/results/.
"""

from functools import cache
from importlib import import_module
from typing import Any

import jax
import numpy as np
import pytest

import envs
from envs import keys
from experiments.drivers import base, devices, in_graph
from experiments.run import episodes, plans, prepare


def maker(experiment: str, task: Any, steps: int, lanes: int, **flags: Any) -> Any:
    """The parts of a run, as a function of nothing that is swept."""
    module = import_module(f"experiments.{experiment}")
    return lambda hypers: module.make(module.Config(**flags), task.spec, plans.Size(lanes, 1, steps))


def session(
    experiment: str, env: str, steps: int, options: dict[str, Any], lanes: int = 128, seeds: int = 1, **flags: Any
) -> tuple[base.Driver, Any, dict[str, np.ndarray]]:
    """A run to its end: the driver, the state, and the metrics of the last tenth."""
    task = envs.make(env, **options)
    make = maker(experiment, task, steps, lanes, **flags)
    schedule = make({}).schedule
    iterations = (steps // (schedule.unroll * lanes) - schedule.warmup) // 10
    driver = prepare.driver_of(
        task, make, {"run": np.arange(seeds)}, devices.layout(seeds), np.arange(seeds),
        num_envs=lanes, iterations=iterations, eval_episodes=256,
    )  # fmt: skip
    state = driver.loop.init(keys.key(np.arange(seeds)))
    for _ in range(10):
        state, metrics = driver.loop.step(state)
        print({name: round(float(x.mean()), 4) for name, x in metrics.items()}, flush=True)
    return driver, state, metrics


def first_actor(driver: base.Driver, state: Any) -> Any:
    """What the first seed acts by, on one device."""
    actors = devices.collect(devices.layout(1), driver.loop.actor(state))
    return jax.tree.map(lambda x: x[0], actors)


def trained(*args: Any, **kwargs: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Greedy return of every seed, each the mean of 256 episodes, and the last metrics; arguments as of `session`."""
    driver, state, metrics = session(*args, **kwargs)
    actor = driver.loop.actor(state)
    returns = driver.loop.evaluate(actor, keys.key(100 + np.arange(len(metrics["loss"]))))["eval_return"].mean(axis=1)
    print(args, kwargs, returns)
    return returns, metrics


def falls_short(what: str) -> pytest.MarkDecorator:
    """Marks a threshold that is not reached, `what` being the figure and the page that has it."""
    return pytest.mark.xfail(reason=what, raises=AssertionError, strict=True)


SIX = {"cards": 6}
MERLIN_SIX: dict[str, Any] = {"unroll": 10, "rows": 10, "recall": False}
UNWEIGHTED = {"observation_cost": 1.0, "return_cost": 1.0}


@pytest.mark.slow
def test_merlin_finds_pairs_among_six_cards() -> None:
    returns, metrics = trained("merlin", "bellmax/card-pairs", 1_700_000, SIX, **MERLIN_SIX)
    assert returns.mean() >= 2.6
    assert metrics["kl"].mean() > 0.1


@pytest.mark.slow
def test_merlin_with_all_weights_1_collapses() -> None:
    returns, metrics = trained("merlin", "bellmax/card-pairs", 1_700_000, SIX, **MERLIN_SIX, **UNWEIGHTED)
    assert returns.mean() <= 2.0
    assert metrics["kl"].mean() < 0.1


EIGHT = {"cards": 8}
MERLIN_EIGHT: dict[str, Any] = {"unroll": 13, "rows": 13, "recall": False}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ablation", "steps", "low", "high"),
    [
        ({}, 10_000_000, 3.2, 4.0),
        ({"remember": False}, 10_000_000, 0.0, 2.4),
        ({"observation_cost": 0.0, "kl_cost": 0.0}, 10_000_000, 0.0, 3.2),
        ({}, 3_000_000, 2.9, 4.0),
        ({"write": False}, 3_000_000, 0.0, 2.6),  # twice as slow; its LSTM alone gets there in the end
    ],
)
def test_merlin_finds_pairs_among_eight_cards(ablation: dict[str, Any], steps: int, low: float, high: float) -> None:
    returns, _ = trained("merlin", "bellmax/card-pairs", steps, EIGHT, **MERLIN_EIGHT, **ablation)
    assert low <= returns.mean() <= high


RL_MEM_EIGHT: dict[str, Any] = {"unroll": 13, "rows": 13, "recall": False, "lstm": (32,)}


@cache
def rl_mem_on_eight_cards(blind: bool) -> float:
    """Pairs found, the mean of five seeds."""
    flags = {**RL_MEM_EIGHT, "blind": blind}
    return float(trained("rl_mem", "bellmax/card-pairs", 10_000_000, EIGHT, seeds=5, **flags)[0].mean())


@pytest.mark.slow
@falls_short("a mean of 2.98 over five seeds, see docs/results/rl_mem.md")
def test_rl_mem_finds_pairs_among_eight_cards() -> None:
    assert rl_mem_on_eight_cards(False) >= 3.2


@pytest.mark.slow
def test_rl_mem_finds_more_pairs_than_its_blind_twin() -> None:
    """2.98 and 2.54 were seen."""
    assert rl_mem_on_eight_cards(False) > rl_mem_on_eight_cards(True) + 0.15


@pytest.mark.slow
@falls_short("33 steps to the first goal and 30 to 60 to later ones after 4,790,000 steps, see docs/results/merlin.md")
def test_merlin_finds_its_way_back_to_goals() -> None:
    """Steps to the fourth goal and later ones, over those to the first.

    Where the first takes more than 50 steps, the lanes that come to later ones are the lucky ones.
    """
    flags: dict[str, Any] = {"rows": 100, "discount": 0.95}
    steps, lanes = 4_800_000, 32
    driver, state, _ = session("merlin", "bellmax/teleport-maze", steps, {}, lanes, **flags)
    task = envs.make("bellmax/teleport-maze", time_limit=1_000)
    agent = episodes.exploring(maker("merlin", task, steps, lanes, **flags))({}).agent
    gaps = episodes.stepping(task, agent, 256, 8)(first_actor(driver, state), keys.key(5))
    print(gaps)
    assert gaps[0] <= 50 and np.mean(gaps[3:]) < 0.6 * gaps[0]


MINIGRID: dict[str, dict[str, Any]] = {
    "merlin": {"unroll": 40, "rows": 60, "discount": 0.97},
    "rl_mem": {"unroll": 40, "memory": "lstm", "discount": 0.97, "entropy_cost": 0.005, "learning_rate": 2e-3},
}


@pytest.mark.slow
@falls_short("greedily 0.37 to 0.61 after 3,700,000 to 4,500,000 steps, see docs/results/rl_mem.md")
@pytest.mark.parametrize("experiment", MINIGRID)
def test_the_object_at_the_start_is_remembered_at_the_fork(experiment: str) -> None:
    """Only episodes that end at the right object pay at all."""
    options = {"drop": "mission"}
    env = "envpool/MiniGrid-MemoryS7-v0"
    driver, state, _ = session(experiment, env, 4_000_000, options, 64, **MINIGRID[experiment])
    returns = driver.loop.evaluate(driver.loop.actor(state), keys.key(np.array([100])))["eval_return"]
    driver.close()
    print(returns.mean(), (returns > 0).mean())
    assert (returns > 0).mean() >= 0.9


CHAIN: dict[str, Any] = {
    "length": 101, "rows": 101, "unroll": 102, "updates": 8, "memory_size": 32, "hidden": (32,), "batch_size": 16,
    "discount": 0.9, "warmup": 4_000, "epsilon_fraction": 0.3,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "low", "high"),
    [
        ({"memory": "mqn"}, 0.9, 1.0),
        ({"memory": "frmqn"}, 0.9, 1.0),
        ({"memory": "mqn", "blind": True}, -0.2, 0.2),
        ({"memory": "lstm"}, -0.2, 0.5),
    ],
)
def test_a_memory_q_network_remembers_over_a_hundred_steps(flags: dict[str, Any], low: float, high: float) -> None:
    returns, _ = trained("mqn", "bellmax/memory-chain", 1_000_000, {"length": 100}, lanes=16, **CHAIN, **flags)
    assert low <= returns.mean() <= high


REPEAT: dict[str, Any] = {
    "rows": 40, "length": 104, "unroll": 104, "updates": 8, "memory_size": 64, "batch_size": 32, "discount": 0.0,
    "warmup": 4_000, "epsilon_fraction": 0.2, "epsilon_end": 0.02,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "low", "high"),
    [({"memory": "mqn", "timed": True}, 0.9, 1.0), ({"memory": "lstm"}, -0.6, 0.5)],
)
def test_a_memory_q_network_repeats_what_was_shown_32_cards_ago(flags: dict[str, Any], low: float, high: float) -> None:
    options = {"k": 32, "decks": 2}
    returns, _ = trained("mqn", "bellmax/repeat-previous", 2_000_000, options, lanes=16, **REPEAT, **flags)
    assert low <= returns.mean() <= high


MAZE: dict[str, Any] = {
    "length": 50, "rows": 50, "unroll": 25, "updates": 5, "memory_size": 64, "batch_size": 32, "warmup": 4_000,
    "epsilon_fraction": 0.3, "epsilon_end": 0.3, "learning_rate": 5e-4, "hold": 30, "alpha": 0.6, "target_rate": 0.1,
    "buffer_size": 400_000,
}  # fmt: skip


@pytest.mark.slow
@falls_short("after 2,000,000 steps both goals are reached alike, see docs/results/mqn.md")
def test_a_memory_q_network_goes_the_right_way_in_longer_mazes() -> None:
    """Share of episodes of a corridor of 25 that end at the right goal, trained on 5, 7 and 9."""
    driver, state, _ = session("mqn", "bellmax/i-maze", 2_000_000, {}, lanes=16, **MAZE, memory="mqn")
    env: Any = envs.make("bellmax/i-maze", lengths=(25,), time_limit=100)
    agent = maker("mqn", env, 1_000, 16, **MAZE, memory="mqn")({}).agent
    played = jax.jit(in_graph.evaluation(env, agent, 256))(first_actor(driver, state), keys.key(5))
    right = float((played["eval_return"] + 0.04 * played["eval_length"] > 0.5).mean())
    print(right, float(played["eval_length"].mean()))
    assert right > 0.9
