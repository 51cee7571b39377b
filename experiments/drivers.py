"""Drivers: many runs of one loop at once, over devices, in graph or around a simulator on the host.

Both give a `Loop` whose functions take and return whole stacks of runs: `init(keys[R])`, `step(state)` with metrics as
numpy `[R]`, `evaluate(actors, keys[R])` with numpy `[R, episodes]`. State stays on the devices, laid out by
`devices.Layout`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from agents import keys
from agents.base import Agent
from envs.base import Environment
from experiments import devices, loops
from experiments.devices import Layout
from experiments.loops import Loop, Schedule
from replay.base import Replay


class Parts(NamedTuple):
    """What an experiment builds, for one run; its numbers may be traced."""

    agent: Agent
    replay: Replay
    schedule: Schedule


class Driver(NamedTuple):
    """A `Loop` over R runs, with what saving and stopping need."""

    loop: Loop
    shape: Callable[[], Any]
    """The state's shapes, dtypes and shardings, without computing it."""
    close: Callable[[], None]


def in_graph(
    env: Environment,
    make: Callable[[Any], Parts],
    hypers: Any,
    lay: Layout,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int,
    judged: Environment | None = None,
    backend: str = "pmap",
) -> Driver:
    """Runs of `loops.in_graph`.

    Args:
      env: a task in JAX.
      make: hyper-parameters of one run -> its parts.
      hypers: a tree of arrays `[R]`; the empty tree if there is no sweep.
      lay: over which devices.
      num_envs: lanes of a run on each device.
      iterations: per chunk.
      eval_episodes: of one evaluation.
      judged: the task of evaluations, where it is not `env`.
      backend: see `devices.mapped`.
    """
    hypers = devices.place(lay, hypers)

    def one(hypers: Any) -> Loop:
        agent, replay, schedule = make(hypers)
        return loops.in_graph(
            env, agent, replay, schedule,
            num_envs=num_envs, iterations=iterations, eval_episodes=eval_episodes, judged=judged,
        )  # fmt: skip

    init = devices.mapped(lay, lambda h, key: one(h).init(key), backend=backend)
    step = devices.mapped(lay, lambda h, run: one(h).step(run), donate=(1,), backend=backend)
    evaluate = devices.mapped(lay, lambda h, actor, key: one(h).evaluate(actor, key), backend=backend)
    actor = devices.mapped(lay, lambda h, run: one(h).actor(run), backend=backend)

    def measured(state: Any) -> tuple[Any, dict[str, np.ndarray]]:
        state, metrics = step(hypers, state)
        return state, devices.collect(lay, metrics)

    loop = Loop(
        init=lambda k: init(hypers, devices.place(lay, k)),
        step=measured,
        evaluate=lambda actors, k: devices.collect(lay, evaluate(hypers, actors, devices.place(lay, k))),
        actor=lambda state: actor(hypers, state),
    )

    def shape() -> Any:
        example = devices.place(lay, keys.key(np.arange(lay.runs)))
        return laid_out(lay, jax.eval_shape(init, hypers, example))

    return Driver(loop, shape, lambda: None)


def laid_out(lay: Layout, shapes: Any) -> Any:
    """Shapes with the layout's sharding, as a template to restore into."""
    sharding = lay.sharding if len(lay.devices) > 1 else jax.sharding.SingleDeviceSharding(lay.devices[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)
