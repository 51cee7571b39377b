"""Small runs whose actors are apart from the learner, by rows and by gradients, on one task."""

from functools import cache
from typing import Any

import jax
import numpy as np

import replay
from envs import keys
from envs.host import pool_of
from envs.tasks.catch import catch
from experiments.drivers import devices, distributed, engines, gradients, grading, host
from experiments.drivers import lanes as those
from experiments.drivers.collecting import Collector, collector
from experiments.drivers.contract import Parts, Schedule
from experiments.drivers.terms import Terms
from tests.agents import listing

ENV = catch(rows=4, columns=3)
POOLS = pool_of(ENV)
LAY = devices.layout(1, devices=jax.devices()[:1])
HYPERS = {"run": np.arange(1)}
LANES, EPISODES, ITERATIONS = 4, 8, 3


@cache
def parts_of(name: str) -> Parts:
    """The parts of a tiny agent."""
    if name == "dqn":
        return Parts(listing.dqn_parts(ENV.spec).agent, replay.uniform(400, 8), Schedule(4, 2, 2))
    if name == "per":
        storage = replay.mapped(replay.prioritised(400, 8, 2, alpha=0.6, single=True), replay.n_step(2, 0.9))
        return Parts(listing.dqn_parts(ENV.spec).agent, storage, Schedule(4, 2, 2))
    agent, storage, schedule = listing.AGENTS[name].make(ENV.spec)
    if name == "r2d2":
        return Parts(agent, replay.prioritised(400, 8, 8, alpha=0.9, stride=2), Schedule(4, 1, 3))
    if name == "impala":
        return Parts(agent, replay.on_policy(8), schedule._replace(updates=1))
    return Parts(agent, storage, schedule)


def make(name: str) -> Any:
    """What drivers take."""
    return lambda hypers: parts_of(name)


def on_host(name: str, iterations: int = ITERATIONS) -> Any:
    """The run without actors."""
    numbers: dict[str, Any] = {"num_envs": LANES, "iterations": iterations, "eval_episodes": EPISODES}
    return host.driver(POOLS, make(name), HYPERS, LAY, seeds=[3], **numbers)


def sending_rows(name: str, terms: Terms, env: Any = POOLS) -> engines.Build:
    """Actors that send rows."""

    def of(actor: int, generation: int) -> Collector:
        return collector(
            env, make(name), actor=actor, actors=terms.actors, generation=generation, seed=3,
            num_envs=LANES // terms.actors, eval_episodes=EPISODES // terms.eval_actors, priorities=terms.priorities,
        )  # fmt: skip

    return of


def by_rows(name: str, terms: Terms, engine: engines.Engine | None = None, env: Any = POOLS, **more: Any) -> Any:
    """A learner of rows, whose actors play in turn by default."""
    run_by = engine or engines.inline(sending_rows(name, terms, env))
    sizes = {"num_envs": LANES, "iterations": ITERATIONS, "eval_episodes": EPISODES, **more}
    return distributed.driver(run_by, ENV.spec, make(name), HYPERS, LAY, terms, **sizes)


def sending_gradients(name: str, terms: Terms, outliers: float = 0.0) -> engines.Build:
    """Actors that send gradients."""

    def of(actor: int, generation: int) -> Any:
        place = {"actor": actor, "actors": terms.actors, "num_envs": LANES // terms.actors}
        lanes = those.lanes(POOLS, make(name), **place, generation=generation, seed=3, eval_episodes=EPISODES)
        warmup = parts_of(name).schedule.warmup
        return grading.grader(lanes, make(name), ENV.spec, **place, outliers=outliers, warmup=warmup)

    return of


def by_gradients(name: str, terms: Terms, engine: engines.Engine | None = None, **more: Any) -> Any:
    """A learner of gradients, whose actors learn in turn by default."""
    run_by = engine or engines.inline(sending_gradients(name, terms))
    sizes = {"num_envs": LANES, "iterations": ITERATIONS, "eval_episodes": EPISODES, "most_age": -1, **more}
    return gradients.driver(run_by, ENV.spec, make(name), HYPERS, LAY, terms, **sizes)


def played(made: Any, chunks: int = 2) -> tuple[Any, list[Any], Any]:
    """The state at the end, the metrics of each chunk, and an evaluation."""
    state, metrics = made.loop.init(keys.key(np.array([3]))), []
    for _ in range(chunks):
        state, measured = made.loop.step(state)
        metrics.append(measured)
    found = made.loop.evaluate(made.loop.actor(state), keys.key(np.array([5])))
    made.close()
    return devices.collect(LAY, plain(state)), metrics, found


def plain(state: Any) -> Any:
    """What of a run's state two drivers share, with its key as numbers."""
    return state._replace(env=(), timestep=(), live=(), key=jax.random.key_data(state.key))
