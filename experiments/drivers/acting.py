"""The acting side of the host driver: the pools, what acting carries, and the rows of the unroll under way.

It knows nothing of updates. As soon as the rows of an unroll are complete it hands them on as an `Unroll`, which is all
that goes from here to `experiments.drivers.learning`: where the replay wants no peek, that is while the simulator still
works on the last step.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Step, TimeStep, Tree
from envs import goals, parallel
from envs import keys as run_keys
from envs.base import HostEnvironment, Pool, blank
from experiments.drivers import base, devices
from experiments.drivers.base import Live, RunState
from experiments.drivers.devices import Layout
from replay.base import opening

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make


class Unroll(NamedTuple):
    """The complete rows of an unroll, over all runs."""

    number: int
    """Which of the chunk or of the warm-up it is."""
    rows: Step
    peeked: tuple
    """What the row after them is made from: actor, `Live`, `TimeStep` and the keys of all unrolls; () if not wanted."""
    place: tuple = ()
    """Which group of lanes of the replay they are of, and the priorities of windows, as arrays; () if there is one."""


class Acting(NamedTuple):
    """The acting side of the runs around one pool."""

    start: Callable[[Key, int], RunState]
    """`(keys[R], generation)`: resets the lanes; a fresh run on them."""
    lanes: Callable[[int], Live]
    """`(generation)`: the same for lanes alone, of an actor that holds no run: what acting carries on."""
    started: Callable[[], bool]
    """Whether there are lanes, which a run that was restored has not."""
    actor: Callable[[RunState], Any]
    """What acting needs of the runs."""
    play: Callable[[Live, Any, Key, int, Callable[[Unroll], None]], Live]
    """`(live, actor, keys, number, hand)`: one unroll, handed to `hand`; what acting carries on."""
    evaluate: Callable[[Any, Key], dict[str, np.ndarray]]
    shape: Callable[[], Any]
    """Of a fresh run, without computing it."""
    close: Callable[[], None]


def acting(
    env: HostEnvironment,
    make: "Make",
    hypers: "Hypers",
    lay: Layout,
    *,
    num_envs: int,
    eval_episodes: int,
    seeds: Sequence[int],
    evaluation_env: HostEnvironment | None,
    backend: str,
) -> Acting:
    """The acting side; for arguments see `experiments.drivers.host.around_pool`, `hypers` being laid out already."""
    width = len(lay.devices) if lay.shared else 1
    static = make(jax.tree.map(lambda x: x[0, 0], hypers))
    unroll, peek, whole = static.schedule.unroll, static.replay.wants_next_row, static.replay.first_carry_only

    # Of one run; `mapped` below lays them over runs and devices.

    def begin(hypers: "Hypers", key: Key, timestep: TimeStep) -> tuple[RunState, Step]:
        parts = make(hypers)
        _, k_rest = run_keys.split(key)  # in graph the other half resets the environments
        run = base.begin_run(parts.agent, parts.replay, k_rest, timestep)
        row, _ = base.act_row(parts.agent, parts.agent.actor(run.agent), run.live, k_rest, timestep)
        rows = jax.tree.map(lambda x: jnp.zeros((unroll, *x.shape), x.dtype), row)
        return run, opening(rows) if whole else rows

    def begin_lanes(hypers: "Hypers", key: Key, timestep: TimeStep) -> tuple[Live, Step]:
        run, rows = begin(hypers, key, timestep)  # of which XLA leaves out what is not handed on
        return run.live, rows

    def act(
        hypers: "Hypers",
        actor: Tree,
        live: Live,
        rows: Step,
        timestep: TimeStep,
        keys: Key,
        i: Array | int,
        t: Array | int,
    ) -> tuple:
        # Without the barrier LLVM (of jaxlib 0.11) does not come to an end with the hash that is fused into its uses.
        key = jax.lax.optimization_barrier(jax.random.fold_in(parallel.own_key(keys[i]), t))
        row, live = base.act_row(make(hypers).agent, actor, live, key, timestep)
        # Of what only a window's first row keeps there is one row: the others' are dropped.
        rows = jax.tree.map(lambda xs, x: xs.at[t].set(x, mode="drop"), rows, row)
        return base.env_action(env.spec, row.action), live, rows

    def begin_greedy(hypers: "Hypers") -> Tree:
        return make(hypers).agent.begin(eval_episodes // width)

    def greedy(
        hypers: "Hypers", actor: Tree, carry: Tree, key: Key, timestep: TimeStep, t: Array | int
    ) -> tuple[Tree, Tree]:
        action, carry, _ = make(hypers).agent.act(actor, jax.random.fold_in(key, t), carry, timestep, False)
        return base.env_action(env.spec, action), carry

    mapped = partial(devices.mapped, lay, backend=backend)
    begin_all, actor_all = mapped(begin, in_axes=(0, 0, 0)), mapped(partial(actor_of, make), in_axes=(0, 0))
    begin_lanes_all = mapped(begin_lanes, in_axes=(0, 0, 0))
    act_all = mapped(act, in_axes=(0,) * 6 + (None, None), donate=(2, 3))
    begin_greedy_all = mapped(begin_greedy, in_axes=(0,))
    greedy_all = mapped(greedy, in_axes=(0,) * 5 + (None,), donate=(2,))

    tasks = {"train": env, "evaluate": evaluation_env or env}
    pools: dict[str, Pool] = {}
    now: dict[str, Any] = {}  # the simulator's side of the run: the current TimeStep and the buffer of rows

    def pool(name: str, lanes: int, offset: int) -> Pool:
        if name not in pools:
            spare = devices.places(lay) - lay.runs  # they repeat the first run, as in `devices.place`
            everyone = [seed + offset for seed in [*seeds, *list(seeds[:1]) * spare]]
            pools[name] = tasks[name].pool(lanes * width * len(everyone), everyone)
        return pools[name]

    def later(generation: int) -> int:
        """What is added to seeds of a restored run's lanes, for new episodes; tasks that stay for good stay as well."""
        return 0 if env.spec.episodes == 0 else 7919 * generation

    def start(keys: Key, generation: int) -> RunState:
        """Resets the lanes; returns a fresh run on them, whose only use on a restored run is its buffer of rows."""
        now["timestep"] = devices.lanes_in(lay, pool("train", num_envs, later(generation)).reset())
        run, now["rows"] = begin_all(hypers, devices.place(lay, keys), now["timestep"])
        return run

    def begun(generation: int) -> Live:
        keys = devices.place(lay, run_keys.key(np.arange(lay.runs)))
        now["timestep"] = devices.lanes_in(lay, pool("train", num_envs, later(generation)).reset())
        live, now["rows"] = begin_lanes_all(hypers, keys, now["timestep"])
        return jax.tree.map(jnp.copy, live)  # equal zeros may share a buffer, and are donated

    def play(live: Live, actor: Tree, keys: Key, i: int, hand: Callable[[Unroll], None]) -> Live:
        lanes = pools["train"]
        for t in range(unroll):
            action, live, now["rows"] = act_all(hypers, actor, live, now["rows"], now["timestep"], keys, i, t)
            lanes.send(devices.lanes_out(lay, action))
            if t == unroll - 1 and not peek:
                hand(Unroll(i, now["rows"], ()))
            now["timestep"] = devices.lanes_in(lay, lanes.recv())
        if peek:
            hand(Unroll(i, now["rows"], (actor, live, now["timestep"], keys)))
        return live

    def evaluate(actors: Tree, keys: Key) -> dict[str, np.ndarray]:
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

    def shape() -> RunState:
        keys = devices.place(lay, run_keys.key(np.arange(lay.runs)))
        timestep = devices.lanes_in(lay, blank(env.spec, num_envs * devices.places(lay) * width))
        return jax.eval_shape(begin_all, hypers, keys, timestep)[0]

    def close() -> None:
        for opened in pools.values():
            opened.close()
        pools.clear()
        now.clear()

    return Acting(start, begun, lambda: bool(now), lambda run: actor_all(hypers, run), play, evaluate, shape, close)


def actor_of(make: "Make", hypers: "Hypers", run: RunState) -> Tree:
    """What acting needs of a run, in buffers of its own, since the run's are donated to learning."""
    return jax.tree.map(jnp.copy, make(hypers).agent.actor(run.agent))
