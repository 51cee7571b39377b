"""The lanes of an actor, of a simulator or in graph, and the keys that come with what it is asked for."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Agent, Array, Key, Step, TimeStep, Tree
from envs import keys as run_keys
from envs import parallel
from envs.base import Environment, HostEnvironment
from experiments.drivers import base, devices, in_graph
from experiments.drivers.acting import Unroll, acting
from experiments.drivers.base import Live
from experiments.drivers.devices import Layout

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make, Parts

SPREAD = 611_953
"""How far apart the seeds of actors are."""


class Lanes(NamedTuple):
    """Lanes of a simulator or in graph; arrays are `[1, 1, ...]`, of one run on one device."""

    play: Callable[[Any, Key], tuple[Step, Live]]
    """`(actor, key) -> (rows, what acting carried on)`, whose counts of episodes begin anew."""
    evaluate: Callable[[Any, Key], dict[str, np.ndarray]]
    close: Callable[[], None]


def key_words(key: Key) -> np.ndarray:
    """A key as what it is made of, uint32 `[..., 2]`."""
    return np.array(jax.random.key_data(run_keys.unrolled(key)))


def key_of(words: np.ndarray) -> Key:
    """The inverse."""
    return jax.random.wrap_key_data(jnp.asarray(words), impl=run_keys.IMPL)


def numbered(agent: Agent, index: Array | int, actors: int) -> Agent:
    """The agent as actor `index` of so many, for whatever depends on the number of a lane among all of them."""

    def inside(function: Callable[..., Tree]) -> Callable[..., Tree]:
        def call(*args: Tree) -> Tree:
            with parallel.among(index, actors):
                return function(*args)

        return call

    return agent if actors == 1 else agent._replace(begin=inside(agent.begin), act=inside(agent.act))


def lanes(
    env: Environment | HostEnvironment,
    make: "Make",
    *,
    actor: int,
    actors: int,
    generation: int,
    seed: int,
    num_envs: int,
    eval_episodes: int,
    evaluation_env: Environment | HostEnvironment | None = None,
    device: jax.Device | None = None,
) -> Lanes:
    """The lanes of an actor; for arguments see `collector`."""
    lay = devices.layout(1, devices=[device] if device else jax.devices()[:1])
    hypers = devices.place(lay, {"run": np.zeros(1, np.int32), "actor": np.full(1, actor, np.int32)})

    def own(hypers: "Hypers") -> "Parts":
        parts = make({name: value for name, value in hypers.items() if name != "actor"})
        return parts._replace(agent=numbered(parts.agent, hypers["actor"], actors))

    kind: Any = _in_graph if isinstance(env, Environment) else _in_pool
    return kind(
        env, own, hypers, lay,
        actors=actors, generation=generation, seed=seed + SPREAD * actor, run_seed=seed, num_envs=num_envs,
        eval_episodes=eval_episodes, evaluation_env=evaluation_env,
    )  # fmt: skip


def ended(live: Live) -> tuple[float, float, float]:
    """Number of the episodes that ended, and the sums of their returns and lengths, over all lanes."""
    episodes, returns, lengths = (float(np.sum(np.asarray(x), dtype=np.float64)) for x in live.finished)
    return episodes, returns, lengths


def judged(own: Lanes, shipped: tuple[Tree, list[Array]], words: np.ndarray) -> dict[str, np.ndarray]:
    """Greedy episodes with what was shipped, `[1, episodes]` each."""
    return own.evaluate(shipped[0], jax.random.wrap_key_data(jnp.asarray(words)[None], impl=run_keys.IMPL))


def _in_pool(
    env: HostEnvironment, make: "Make", hypers: "Hypers", lay: Layout, *,
    actors: int, generation: int, seed: int, run_seed: int, num_envs: int, eval_episodes: int,
    evaluation_env: HostEnvironment | None,
) -> Lanes:  # fmt: skip
    """Lanes of a simulator, as the host driver has them."""
    del actors, run_seed
    side = acting(
        env, make, hypers, lay,
        num_envs=num_envs, eval_episodes=eval_episodes, seeds=[seed], evaluation_env=evaluation_env, backend="pmap",
    )  # fmt: skip
    static = make(jax.tree.map(lambda x: x[0, 0], hypers))
    mapped = partial(devices.mapped, lay)

    def peek(hypers: "Hypers", rows: Step, actor: Tree, live: Live, timestep: TimeStep, key: Key) -> Step:
        parts = make(hypers)
        return base.with_next_row(parts.agent, parts.replay, rows, actor, key, live, timestep)

    def renewed(hypers: "Hypers", live: Live) -> tuple[Live, Live]:
        return live._replace(finished=base.nothing_finished(num_envs)), live

    peek_all = mapped(peek, in_axes=(0,) * 6)
    renewed_all = mapped(renewed, in_axes=(0, 0))
    now = [side.lanes(generation)]

    def play(actor: Tree, key: Key) -> tuple[Step, Live]:
        unrolls: list[Unroll] = []
        live = side.play(now[0], actor, key[None, None, None], 0, unrolls.append)
        rows = unrolls[0].rows
        if unrolls[0].peeked:
            rows = peek_all(hypers, rows, *unrolls[0].peeked[:3], _folded(key, static.schedule.unroll)[None, None])
        now[0], before = renewed_all(hypers, live)
        return rows, before

    return Lanes(play, side.evaluate, side.close)


@jax.jit
def _folded(key: Key, number: Array | int) -> Key:
    return jax.random.fold_in(key, number)


def _in_graph(
    env: Environment, make: "Make", hypers: "Hypers", lay: Layout, *,
    actors: int, generation: int, seed: int, run_seed: int, num_envs: int, eval_episodes: int,
    evaluation_env: Environment | None,
) -> Lanes:  # fmt: skip
    """Lanes in graph, an unroll of which is one compiled function; the first generation's are the in-graph driver's."""
    del seed

    def begin(hypers: "Hypers", key: Key) -> tuple:
        with parallel.among(hypers["actor"], actors):
            k_env, _ = run_keys.split(key)
            env_state, timestep = jax.vmap(env.reset)(base.lane_keys(k_env, num_envs))
            return env_state, timestep, base.begin(make(hypers).agent, num_envs)

    def unroll(hypers: "Hypers", actor: Tree, state: tuple, key: Key) -> tuple[tuple, Step, Live]:
        parts = make(hypers)
        # The key is the actor's own already, as `envs.parallel.own_key` would have made it.
        play = in_graph.player(env, parts.agent, parts.replay, parts.schedule.unroll)
        (env_state, timestep, live), rows = play(actor, state, key)
        renewed = live._replace(finished=base.nothing_finished(num_envs))
        return (env_state, timestep, renewed), rows, live

    def evaluate(hypers: "Hypers", actor: Tree, key: Key) -> dict[str, Array]:
        return in_graph.evaluation(evaluation_env or env, make(hypers).agent, eval_episodes)(actor, key)

    mapped = partial(devices.mapped, lay)
    unroll_all = mapped(unroll, in_axes=(0,) * 4)
    evaluate_all = mapped(evaluate, in_axes=(0, 0, 0))
    key = run_keys.key(np.array([run_seed]))
    if generation:
        key = jax.vmap(jax.random.fold_in, (0, None))(key, 7919 * generation)
    now = [mapped(begin, in_axes=(0, 0))(hypers, devices.place(lay, key))]

    def play(actor: Tree, key: Key) -> tuple[Step, Live]:
        now[0], rows, live = unroll_all(hypers, actor, now[0], key[None, None])
        return rows, live

    def judge(actor: Tree, key: Key) -> dict[str, np.ndarray]:
        return devices.collect(lay, evaluate_all(hypers, actor, devices.place(lay, key)))

    return Lanes(play, judge, now.clear)
