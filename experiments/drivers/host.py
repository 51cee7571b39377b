"""The host driver: a simulator outside the graph, acting and learning compiled around it.

The runs of a device are lanes of one pool. Acting and learning are the functions of `loops`, mapped over runs and
devices as in graph and drawing the same keys in the same order, so that the same task gives the same result on either
driver. Where the replay wants no peek, the update is dispatched while the simulator still works on the last step of an
unroll: learning and simulation overlap, and nothing is learned from later than it would have been.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Key, Step, TimeStep, Tree
from envs import goals, parallel
from envs import keys as run_keys
from envs.base import HostEnvironment, Pool, blank
from experiments.drivers import base, devices
from experiments.drivers.base import Driver, Live, Loop, RunState
from experiments.drivers.contract import Parts
from experiments.drivers.devices import Layout, laid_out
from replay.base import opening

# A step takes a fraction of Python's usual 5 ms, for which a thread would keep the interpreter from the others.
SWITCH_SECONDS = 2e-5


def driver(
    env: HostEnvironment,
    make: Callable[[Any], Parts],
    hypers: Any,
    lay: Layout,
    *,
    seeds: Sequence[int],
    **numbers: Any,
) -> Driver:
    """Runs of one agent around a simulator: one pool of lanes for each device, driven by a thread of its own.

    Runs on different devices know nothing of each other, so neither waits for the other, and while one simulates the
    other computes. A pool is made, stepped and closed by one thread, since some simulators belong to the thread that
    made them. Where devices share the runs there is one pool for all.

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
    drivers = [
        around_pool(env, make, h, member, seeds=s.tolist(), **numbers)
        for member, (h, s) in zip(members, chosen, strict=True)
    ]
    threads = [ThreadPoolExecutor(1, thread_name_prefix=f"device{i}") for i in range(len(drivers))]

    def each(function: Callable[[Driver], Callable[..., Any]], *arguments: Sequence[Any]) -> list[Any]:
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

    def evaluate(actors: Any, keys: Key) -> dict[str, np.ndarray]:
        return numbers_of(each(lambda d: d.loop.evaluate, devices.apart(lay, actors), [keys[runs] for runs in index]))

    placed = devices.place(lay, hypers)
    actor_all = devices.mapped(lay, partial(actor_of, make))

    def shape() -> Any:
        whole = lambda x: jax.ShapeDtypeStruct((len(drivers), *x.shape[1:]), x.dtype)  # noqa: E731
        return laid_out(lay, jax.tree.map(whole, drivers[0].shape()))

    def close() -> None:
        each(lambda d: d.close)
        for thread in threads:
            thread.shutdown()

    return Driver(Loop(init, step, evaluate, lambda run: actor_all(placed, run)), shape, close)


def actor_of(make: Callable[[Any], Parts], hypers: Any, run: RunState) -> Any:
    """What acting needs of a run, in buffers of its own, since the run's are donated to learning."""
    return jax.tree.map(jnp.copy, make(hypers).agent.actor(run.agent))


def around_pool(
    env: HostEnvironment,
    make: Callable[[Any], Parts],
    hypers: Any,
    lay: Layout,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int,
    seeds: Sequence[int],
    evaluation_env: HostEnvironment | None = None,
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
      backend: see `devices.mapped`.
    """
    width = len(lay.devices) if lay.shared else 1
    hypers = devices.place(lay, hypers)
    static = make(jax.tree.map(lambda x: x[0, 0], hypers))
    unroll, updates, warmup = static.schedule
    peek, whole = static.replay.wants_next_row, static.replay.first_carry_only

    # Of one run; `mapped` below lays them over runs and devices.

    def begin(hypers: Any, key: Key, timestep: TimeStep) -> tuple[RunState, Step]:
        parts = make(hypers)
        _, k_rest = run_keys.split(key)  # in graph the other half resets the environments
        run = base.begin_run(parts.agent, parts.replay, k_rest, timestep)
        row, _ = base.act_row(parts.agent, parts.agent.actor(run.agent), run.live, k_rest, timestep)
        rows = jax.tree.map(lambda x: jnp.zeros((unroll, *x.shape), x.dtype), row)
        return run, opening(rows) if whole else rows

    # The replay goes only where it is donated: a function that handed it through would copy it.
    def warmup_keys(hypers: Any, key: Key) -> tuple[Key, Key]:
        k_warmup, k_run = run_keys.split(key)
        return k_run, run_keys.split(k_warmup, warmup)

    def chunk_keys(hypers: Any, key: Key) -> tuple[Key, Key, Key]:
        k_chunk, k_run = run_keys.split(key)
        keys = jax.vmap(jax.random.split)(jax.random.split(k_chunk, iterations))
        return k_run, keys[:, 0], keys[:, 1]

    def act(hypers: Any, actor: Any, live: Live, rows: Step, timestep: TimeStep, keys: Key, i: Any, t: Any) -> tuple:
        # Without the barrier LLVM (of jaxlib 0.11) does not come to an end with the hash that is fused into its uses.
        key = jax.lax.optimization_barrier(jax.random.fold_in(parallel.own_key(keys[i]), t))
        row, live = base.act_row(make(hypers).agent, actor, live, key, timestep)
        # Of what only a window's first row keeps there is one row: the others' are dropped.
        rows = jax.tree.map(lambda xs, x: xs.at[t].set(x, mode="drop"), rows, row)
        return base.env_action(env.spec, row.action), live, rows

    def add(hypers: Any, storage: Any, rows: Step, i: Any, peeked: Any) -> Any:
        parts = make(hypers)
        if peek:
            actor, live, timestep, unroll_keys = peeked
            key = jax.random.fold_in(parallel.own_key(unroll_keys[i]), unroll)
            rows = base.with_next_row(parts.agent, parts.replay, rows, actor, key, live, timestep)
        return parts.replay.add(storage, rows)

    def learn(hypers: Any, agent: Any, storage: Any, rows: Step, keys: Key, i: Any, peeked: Any) -> tuple:
        parts = make(hypers)
        storage = add(hypers, storage, rows, i, peeked)
        agent, storage, metrics = base.learn(parts.agent, parts.replay, updates, agent, storage, keys[i])
        return agent, storage, jax.tree.map(jnp.copy, parts.agent.actor(agent)), metrics

    def close_chunk(hypers: Any, live: Live, chunks: Any, metrics: Tree) -> tuple[Live, Any, Tree]:
        live, episodes = base.summary(live)
        return live, chunks + 1, {**episodes, **metrics}

    def begin_greedy(hypers: Any) -> Any:
        return make(hypers).agent.begin(eval_episodes // width)

    def greedy(hypers: Any, actor: Any, carry: Any, key: Key, timestep: TimeStep, t: Any) -> tuple[Tree, Any]:
        action, carry, _ = make(hypers).agent.act(actor, jax.random.fold_in(key, t), carry, timestep, False)
        return base.env_action(env.spec, action), carry

    def mapped(fn: Callable[..., Any], arguments: int, common: int = 0, donate: tuple[int, ...] = ()) -> Callable:
        axes = (0,) * (arguments - common) + (None,) * common
        return devices.mapped(lay, fn, in_axes=axes, donate=donate, backend=backend)

    begin_all, actor_all = mapped(begin, 3), mapped(partial(actor_of, make), 2)
    warmup_keys_all, chunk_keys_all = mapped(warmup_keys, 2), mapped(chunk_keys, 2)
    act_all = mapped(act, 8, common=2, donate=(2, 3))
    add_all = devices.mapped(lay, add, in_axes=(0, 0, 0, None, 0), donate=(1,), backend=backend)
    learn_all = devices.mapped(lay, learn, in_axes=(0,) * 5 + (None, 0), donate=(1, 2), backend=backend)
    close_all, begin_greedy_all = mapped(close_chunk, 4), mapped(begin_greedy, 1)
    greedy_all = mapped(greedy, 6, common=1, donate=(2,))

    tasks = {"train": env, "evaluate": evaluation_env or env}
    pools: dict[str, Pool] = {}
    now: dict[str, Any] = {}  # the simulator's side of the run: the current TimeStep and the buffer of rows

    def pool(name: str, lanes: int, offset: int) -> Pool:
        if name not in pools:
            spare = devices.places(lay) - lay.runs  # they repeat the first run, as in `devices.place`
            everyone = [seed + offset for seed in [*seeds, *list(seeds[:1]) * spare]]
            pools[name] = tasks[name].pool(lanes * width * len(everyone), everyone)
        return pools[name]

    def start(keys: Any, generation: int) -> RunState:
        """Resets the lanes; returns a fresh run on them, whose only use on a restored run is its buffer of rows."""
        now["timestep"] = devices.lanes_in(lay, pool("train", num_envs, 7919 * generation).reset())
        run, now["rows"] = begin_all(hypers, devices.place(lay, keys), now["timestep"])
        return run

    def nothing() -> None:
        pass

    def act_through(run: RunState, actor: Any, keys: Key, i: int, meanwhile: Callable[[], None]) -> RunState:
        """One unroll; `meanwhile` runs once its rows are complete, while the simulator takes the last step."""
        lanes = pools["train"]
        live = run.live
        for t in range(unroll):
            action, live, now["rows"] = act_all(hypers, actor, live, now["rows"], now["timestep"], keys, i, t)
            lanes.send(devices.lanes_out(lay, action))
            if t == unroll - 1:
                meanwhile()
            now["timestep"] = devices.lanes_in(lay, lanes.recv())
        return run._replace(live=live)

    def init(keys: Key) -> RunState:
        run = start(keys, 0)
        if warmup:
            k_run, k_rows = warmup_keys_all(hypers, run.key)
            run = run._replace(key=k_run)
            actor = actor_all(hypers, run)
            for i in range(warmup):
                run = act_through(run, actor, k_rows, i, nothing)
                peeked = (actor, run.live, now["timestep"], k_rows) if peek else ()
                run = run._replace(replay=add_all(hypers, run.replay, now["rows"], i, peeked))
        return run

    def step(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        if not now:
            start(run_keys.key(np.arange(lay.runs)), int(devices.collect(lay, run.chunks)[0]))
        k_run, k_rows, k_learn = chunk_keys_all(hypers, run.key)
        run = run._replace(key=k_run)
        learned = [run.agent, run.replay, actor_all(hypers, run)]
        metrics = []

        def update(i: int, peeked: Any) -> None:
            *learned[:], measured = learn_all(hypers, learned[0], learned[1], now["rows"], k_learn, i, peeked)
            metrics.append(measured)

        for i in range(iterations):
            actor = learned[2]
            run = act_through(run, actor, k_rows, i, nothing if peek else partial(update, i, ()))
            if peek:
                update(i, (actor, run.live, now["timestep"], k_rows))
        means = jax.tree.map(lambda *xs: np.mean([np.asarray(x) for x in xs], axis=0), *metrics)
        live, chunks, chunk = close_all(hypers, run.live, run.chunks, means)
        run = run._replace(agent=learned[0], replay=learned[1], live=live, chunks=chunks)
        return run, devices.collect(lay, chunk)

    def evaluate(actors: Any, keys: Key) -> dict[str, np.ndarray]:
        spec = tasks["evaluate"].spec
        lanes = pool("evaluate", eval_episodes // width, 104729)
        timestep, carry, k_act = lanes.reset(), begin_greedy_all(hypers), devices.place(lay, keys)
        over, t = np.zeros(lanes.num_envs, bool), 0
        returns, lengths = np.zeros(lanes.num_envs, np.float32), np.zeros(lanes.num_envs, np.int32)
        success = np.zeros(lanes.num_envs, bool)
        while not over.all() and t < (spec.time_limit or base.ENDLESS):
            action, carry = greedy_all(hypers, actors, carry, k_act, devices.lanes_in(lay, timestep), t)
            lanes.send(devices.lanes_out(lay, action))
            timestep = lanes.recv()
            returns += np.where(over, 0.0, timestep.reward)
            lengths += ~over
            success = np.where(over, success, goals.succeeded(spec, timestep))
            over |= timestep.last()
            t += 1
        by_run = lambda x: x.reshape(devices.places(lay), eval_episodes)[: lay.runs]  # noqa: E731
        reached = {"eval_success": by_run(success.astype(np.float32))} if spec.goals else {}
        cut = {} if spec.time_limit else {"eval_cut": by_run((~over).astype(np.float32))}
        return {"eval_return": by_run(returns), "eval_length": by_run(lengths), **reached, **cut}

    def shape() -> Any:
        keys = devices.place(lay, run_keys.key(np.arange(lay.runs)))
        timestep = devices.lanes_in(lay, blank(env.spec, num_envs * devices.places(lay) * width))
        return laid_out(lay, jax.eval_shape(begin_all, hypers, keys, timestep)[0])

    def close() -> None:
        for opened in pools.values():
            opened.close()
        pools.clear()
        now.clear()

    return Driver(Loop(init, step, evaluate, lambda run: actor_all(hypers, run)), shape, close)
