"""Recorded episodes in the place of an environment: a run whose chunk is one `scan` of updates, many runs at once.

The arrays of the dataset are an argument of the compiled chunk, which all runs share: they are no constants of it, no
part of a run's state, and in no checkpoint.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Tree
from envs import keys
from envs.base import Spec, blank
from envs.keys import split
from experiments.drivers import base, devices
from experiments.drivers.base import Driver, Loop, RunState

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make, Parts


class Offline(NamedTuple):
    """One run as pure functions; `driver` maps them over runs and devices."""

    init: Callable[[Key], RunState]
    step: Callable[[Any, RunState], tuple[RunState, dict[str, Array]]]
    """`(data, run) -> (run, metrics)`: a chunk, from the arrays of a dataset; scalars, the agent's."""
    actor: Callable[[RunState], Any]


def loop(parts: "Parts", spec: Spec, iterations: int) -> Offline:
    """A run whose chunk is one jittable function.

    Args:
      parts: of one run; of the schedule only the updates are used.
      spec: the task of the dataset, of which the agent sees a row of zeros when it is made.
      iterations: per chunk, each of `schedule.updates` updates.
    """
    agent, replay, schedule = parts

    def init(key: Key) -> RunState:
        return base.begin_run(agent, replay, key, jax.tree.map(jnp.asarray, blank(spec, 1)))

    def step(data: Tree, run: RunState) -> tuple[RunState, dict[str, Array]]:
        k_chunk, k_run = split(run.key)

        def iteration(state: tuple, key: Key) -> tuple[tuple, dict[str, Array]]:
            agent_state, stored, metrics = base.learn(agent, replay, schedule.updates, state[0], state[1], key, data)
            return (agent_state, stored), metrics

        state, metrics = jax.lax.scan(iteration, (run.agent, run.replay), split(k_chunk, iterations))
        metrics = jax.tree.map(lambda x: jnp.mean(x, axis=0), metrics)
        run = run._replace(agent=state[0], replay=state[1], key=k_run, chunks=run.chunks + 1)
        return run, metrics

    return Offline(init, step, lambda run: agent.actor(run.agent))


def driver(
    judge: Driver,
    spec: Spec,
    make: "Make",
    hypers: "Hypers",
    lay: devices.Layout,
    data: Tree,
    *,
    iterations: int,
    backend: str = "pmap",
) -> Driver:
    """Runs of `loop`, stacked.

    Args:
      judge: a driver of the same runs around the task of the evaluations, of which nothing else is used.
      spec: that task.
      make: hyper-parameters of one run -> its parts.
      hypers: a tree of arrays `[R]`.
      lay: over which devices.
      data: the arrays of the dataset, `devices.common` to all runs.
      iterations: per chunk.
      backend: see `devices.mapped`.
    """
    hypers = devices.place(lay, hypers)

    def one(hypers: "Hypers") -> Offline:
        return loop(make(hypers), spec, iterations)

    init = devices.mapped(lay, lambda h, key: one(h).init(key), backend=backend)
    step = devices.mapped(
        lay, lambda h, data, run: one(h).step(data, run), in_axes=(0, None, 0), donate=(2,), backend=backend
    )
    actor = devices.mapped(lay, lambda h, run: one(h).actor(run), backend=backend)

    def measured(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        run, metrics = step(hypers, data, run)
        return run, devices.collect(lay, metrics)

    def shape() -> RunState:
        example = devices.place(lay, keys.key(np.arange(lay.runs)))
        return devices.laid_out(lay, jax.eval_shape(init, hypers, example))

    stacked = Loop(
        init=lambda k: init(hypers, devices.place(lay, k)),
        step=measured,
        evaluate=judge.loop.evaluate,
        actor=lambda run: actor(hypers, run),
    )
    return Driver(stacked, shape, judge.close)
