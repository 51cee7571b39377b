"""Drivers of runs that know nothing of each other, each on a device of its own and driven by a thread of its own."""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import jax
import numpy as np

from agents.base import Key, Tree
from experiments.drivers import devices
from experiments.drivers.acting import actor_of
from experiments.drivers.base import Driver, Loop, RunState
from experiments.drivers.devices import Layout, laid_out

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make

# A step takes a fraction of Python's usual 5 ms, for which a thread would keep the interpreter from the others.
SWITCH_SECONDS = 2e-5


def side_by_side(drivers: Sequence[Driver], make: "Make", hypers: "Hypers", lay: Layout) -> Driver:
    """Several drivers as one.

    Neither waits for another, and while one simulates the others compute. What a driver makes is made, used and closed
    by one thread, since some simulators belong to the thread that made them.

    Args:
      drivers: one for each device of the layout, with the runs that `devices.order` has there.
      make: hyper-parameters of one run -> its parts.
      hypers: a tree of arrays `[R]`.
      lay: over which devices.
    """
    index = devices.order(lay)
    threads = [ThreadPoolExecutor(1, thread_name_prefix=f"device{i}") for i in range(len(drivers))]

    def each(function: Callable[[Driver], Callable[..., Tree]], *arguments: Sequence[Tree]) -> list[Tree]:
        before = sys.getswitchinterval()
        sys.setswitchinterval(SWITCH_SECONDS)
        try:
            each_own = zip(threads, drivers, *arguments, strict=True)
            calls = [thread.submit(function(d), *own) for thread, d, *own in each_own]
            return [call.result() for call in calls]
        finally:
            sys.setswitchinterval(before)

    def numbers_of(parts: Sequence[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
        return jax.tree.map(lambda *xs: np.concatenate(xs)[: lay.runs], *parts)

    def init(keys: Key) -> RunState:
        return devices.together(lay, each(lambda d: d.loop.init, [keys[runs] for runs in index]))

    def step(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        states, metrics = zip(*each(lambda d: d.loop.step, devices.apart(lay, run)), strict=True)
        return devices.together(lay, states), numbers_of(metrics)

    def evaluate(actors: Tree, keys: Key) -> dict[str, np.ndarray]:
        return numbers_of(each(lambda d: d.loop.evaluate, devices.apart(lay, actors), [keys[runs] for runs in index]))

    placed = devices.place(lay, hypers)
    actor_all = devices.mapped(lay, partial(actor_of, make))

    def shape() -> RunState:
        whole = lambda x: jax.ShapeDtypeStruct((len(drivers), *x.shape[1:]), x.dtype)  # noqa: E731
        return laid_out(lay, jax.tree.map(whole, drivers[0].shape()))

    def close() -> None:
        each(lambda d: d.close)
        for thread in threads:
            thread.shutdown()

    return Driver(Loop(init, step, evaluate, lambda run: actor_all(placed, run)), shape, close)
