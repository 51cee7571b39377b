"""The host driver: a simulator outside the graph, acting and learning compiled around it.

The runs of a device are lanes of one pool. Acting (`experiments.drivers.acting`) and learning
(`experiments.drivers.learning`) are the functions of `experiments.drivers.base`, mapped over runs and devices as in
graph and drawing the same keys in the same order, so that the same task gives the same result on either driver. Where
the replay wants no peek, the update is dispatched while the simulator still works on the last step of an unroll:
learning and simulation overlap, and nothing is learned from later than it would have been.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from agents.base import Array, Key, Tree
from envs import keys as run_keys
from envs.base import HostEnvironment
from experiments.drivers import base, devices
from experiments.drivers.acting import Unroll, acting
from experiments.drivers.base import Driver, Live, Loop, RunState
from experiments.drivers.devices import Layout, laid_out
from experiments.drivers.learning import Learner, learning
from experiments.drivers.side_by_side import side_by_side

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make


def driver(
    env: HostEnvironment,
    make: "Make",
    hypers: "Hypers",
    lay: Layout,
    *,
    seeds: Sequence[int],
    **numbers: Any,
) -> Driver:
    """Runs of one agent around a simulator: one pool of lanes for each device, driven by a thread of its own.

    Runs on different devices know nothing of each other (`side_by_side`). Where devices share the runs there is one
    pool for all.

    Args:
      env: opens pools of lanes.
      make: hyper-parameters of one run -> its parts.
      hypers: a tree of arrays `[R]`; the empty tree if there is no sweep.
      lay: over which devices.
      seeds: of the runs, R of them; a run's episodes do not depend on which others there are.
      **numbers: those of `around_pool`.
    """
    base.warn_of_endless((numbers.get("evaluation_env") or env).spec)
    if lay.shared or len(lay.devices) == 1:
        return around_pool(env, make, hypers, lay, seeds=seeds, **numbers)
    members, index = devices.groups(lay), devices.order(lay)
    chosen = [jax.tree.map(lambda x, runs=runs: np.asarray(x)[runs], (hypers, np.asarray(seeds))) for runs in index]
    data = numbers.pop("data", ())
    drivers = [
        around_pool(env, make, h, member, seeds=s.tolist(), data=devices.copy_on(member.devices[0], data), **numbers)
        for member, (h, s) in zip(members, chosen, strict=True)
    ]
    return side_by_side(drivers, make, hypers, lay)


def around_pool(
    env: HostEnvironment,
    make: "Make",
    hypers: "Hypers",
    lay: Layout,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int,
    seeds: Sequence[int],
    evaluation_env: HostEnvironment | None = None,
    data: Tree = (),
    backend: str = "pmap",
) -> Driver:
    """Runs of one agent around a pool.

    The state holds no environment: a restored run starts new episodes, and everything else goes on as it was.

    Args:
      env: opens pools of lanes.
      make: hyper-parameters of one run -> its parts.
      hypers: a tree of arrays `[R]`; the empty tree if there is no sweep.
      lay: over which devices.
      num_envs: lanes of a run on each device.
      iterations: per chunk.
      eval_episodes: of one evaluation, per run.
      seeds: of the runs, R of them; a run's episodes do not depend on which others there are.
      evaluation_env: the task of evaluations, where it is not `env`.
      data: the arrays of a dataset that the replay serves, `devices.common` to all runs.
      backend: see `devices.mapped`.
    """
    hypers = devices.place(lay, hypers)
    warmup = make(jax.tree.map(lambda x: x[0, 0], hypers)).schedule.warmup
    side = acting(
        env, make, hypers, lay,
        num_envs=num_envs, eval_episodes=eval_episodes, seeds=seeds, evaluation_env=evaluation_env, backend=backend,
    )  # fmt: skip
    learn = learning(make, hypers, lay, backend, data)

    # Of one run; `mapped` lays them over runs and devices.

    def warmup_keys(hypers: "Hypers", key: Key) -> tuple[Key, Key]:
        return base.warmup_keys(key, warmup)

    def chunk_keys(hypers: "Hypers", key: Key) -> tuple[Key, Key, Key]:
        return base.chunk_keys(key, iterations)

    def close_chunk(hypers: "Hypers", live: Live, chunks: Array, metrics: Tree) -> tuple[Live, Array, Tree]:
        live, episodes = base.summary(live)
        return live, chunks + 1, {**episodes, **metrics}

    mapped = partial(devices.mapped, lay, backend=backend)
    warmup_keys_all, chunk_keys_all = mapped(warmup_keys, in_axes=(0, 0)), mapped(chunk_keys, in_axes=(0, 0))
    close_all = mapped(close_chunk, in_axes=(0, 0, 0, 0))

    def init(keys: Key) -> RunState:
        run = side.start(keys, 0)
        if warmup:
            k_run, k_rows = warmup_keys_all(hypers, run.key)
            actor, storage, live = side.actor(run), [run.replay], run.live

            def store(unroll: Unroll) -> None:
                storage[0] = learn.add(storage[0], unroll)

            for i in range(warmup):
                live = side.play(live, actor, k_rows, i, store)
            run = run._replace(key=k_run, live=live, replay=storage[0])
        return run

    def step(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        if not side.started():
            side.start(run_keys.key(np.arange(lay.runs)), int(devices.collect(lay, run.chunks)[0]))
        k_run, k_rows, k_learn = chunk_keys_all(hypers, run.key)
        learner, live = [Learner(run.agent, run.replay, side.actor(run))], run.live
        metrics = []

        def update(unroll: Unroll) -> None:
            learner[0], measured = learn.learn(learner[0], k_learn, unroll)
            metrics.append(measured)

        for i in range(iterations):
            live = side.play(live, learner[0].actor, k_rows, i, update)
        means = jax.tree.map(lambda *xs: np.mean([np.asarray(x) for x in xs], axis=0), *metrics)
        live, chunks, chunk = close_all(hypers, live, run.chunks, means)
        agent, storage, _ = learner[0]
        run = run._replace(agent=agent, replay=storage, live=live, key=k_run, chunks=chunks)
        return run, devices.collect(lay, chunk)

    return Driver(Loop(init, step, side.evaluate, side.actor), lambda: laid_out(lay, side.shape()), side.close)
