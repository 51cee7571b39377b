"""The learning side of the drivers outside the graph: what becomes of complete rows. It knows nothing of pools."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Step, Tree
from envs import parallel
from experiments.drivers import base, devices
from experiments.drivers.acting import Unroll
from experiments.drivers.devices import Layout

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make


class Learner(NamedTuple):
    """What learning holds of the runs around one pool, and `actor`, which is what acting needs of it."""

    agent: Any
    replay: Any
    actor: Any


class Learning(NamedTuple):
    """The learning side of the runs around one pool."""

    add: Callable[[Any, Unroll], Any]
    """`(replay, unroll) -> replay`, without learning."""
    learn: Callable[[Learner, Key, Unroll], tuple[Learner, dict[str, Any]]]
    """`(learner, keys of all unrolls, unroll) -> (learner, metrics)`: stores the rows and makes the updates."""
    update: Callable[[Learner, Key, int], tuple[Learner, dict[str, Any]]]
    """`(learner, keys of all unrolls, number) -> (learner, metrics)`: the updates alone; numbers have no bound."""


def learning(make: "Make", hypers: "Hypers", lay: Layout, backend: str, data: Tree = ()) -> Learning:
    """The learning side; for arguments see `experiments.drivers.host.around_pool`, `hypers` being laid out already."""
    static = make(jax.tree.map(lambda x: x[0, 0], hypers))
    unroll, updates, _ = static.schedule

    # Of one run; `mapped` lays them over runs and devices. The replay goes only where it is donated: a function that
    # handed it through would copy it.

    def add(hypers: "Hypers", storage: Tree, rows: Step, i: Array | int, peeked: tuple, place: tuple) -> Tree:
        parts = make(hypers)
        if peeked:
            actor, live, timestep, unroll_keys = peeked
            key = jax.random.fold_in(parallel.own_key(unroll_keys[i]), unroll)
            rows = base.with_next_row(parts.agent, parts.replay, rows, actor, key, live, timestep)
        return parts.replay.add(storage, rows, *place)

    def study(hypers: "Hypers", agent: Tree, storage: Tree, key: Key, data: Tree) -> tuple:
        parts = make(hypers)
        agent, storage, metrics = base.learn(parts.agent, parts.replay, updates, agent, storage, key, data)
        return agent, storage, jax.tree.map(jnp.copy, parts.agent.actor(agent)), metrics

    def learn(
        hypers: "Hypers",
        agent: Tree,
        storage: Tree,
        rows: Step,
        keys: Key,
        i: Array | int,
        peeked: tuple,
        place: tuple,
        data: Tree,
    ) -> tuple:
        return study(hypers, agent, add(hypers, storage, rows, i, peeked, place), keys[i], data)

    add_all = devices.mapped(lay, add, in_axes=(0, 0, 0, None, 0, 0), donate=(1,), backend=backend)
    learn_all = devices.mapped(lay, learn, in_axes=(0,) * 5 + (None, 0, 0, None), donate=(1, 2), backend=backend)

    def study_later(hypers: "Hypers", agent: Tree, storage: Tree, keys: Key, i: Array | int, data: Tree) -> tuple:
        return study(hypers, agent, storage, jax.random.fold_in(keys[0], i), data)

    update_all = devices.mapped(lay, study_later, in_axes=(0,) * 4 + (None, None), donate=(1, 2), backend=backend)

    def add_unroll(storage: Tree, unroll: Unroll) -> Tree:
        return add_all(hypers, storage, unroll.rows, unroll.number, unroll.peeked, unroll.place)

    def learn_unroll(learner: Learner, keys: Key, unroll: Unroll) -> tuple[Learner, dict[str, Array]]:
        where = (unroll.rows, keys, unroll.number, unroll.peeked, unroll.place, data)
        *learned, metrics = learn_all(hypers, learner.agent, learner.replay, *where)
        return Learner(*learned), metrics

    def update(learner: Learner, keys: Key, number: int) -> tuple[Learner, dict[str, Array]]:
        *learned, metrics = update_all(hypers, learner.agent, learner.replay, keys, np.int32(number), data)
        return Learner(*learned), metrics

    return Learning(add_unroll, learn_unroll, update)
