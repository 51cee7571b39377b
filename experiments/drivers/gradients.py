"""The distributed driver of actors that learn: one learner descends the gradients that they send, one after the other.

A3C is this with a gradient of each unroll, Gorila with gradients from replays that the actors keep. A gradient is of
the parameters that its actor was given, and the version of those goes with it: it lacks as many updates as the others
made meanwhile. With one actor and nothing ahead it lacks none, and the run is the host driver's.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, Tree
from envs import keys as run_keys
from envs.base import Spec, blank
from experiments.drivers import base, devices, slopes, told
from experiments.drivers.acting import actor_of
from experiments.drivers.base import Driver, Loop, RunState
from experiments.drivers.crew import Crew
from experiments.drivers.devices import Layout, laid_out
from experiments.drivers.engines import Engine
from experiments.drivers.grading import Gradient
from experiments.drivers.lanes import key_words
from experiments.drivers.terms import Feed, Terms, episodes_of, evaluate_by, finished, shipped

if TYPE_CHECKING:
    from experiments.drivers.contract import Hypers, Make


def driver(
    engine: Engine,
    spec: Spec,
    make: "Make",
    hypers: "Hypers",
    lay: Layout,
    terms: Terms,
    *,
    num_envs: int,
    iterations: int,
    eval_episodes: int,
    most_age: int,
) -> Driver:
    """A run whose lanes and replays are elsewhere; for other arguments see `distributed.driver`.

    A checkpoint holds what is learned. Replays are the actors', who fill them anew when the run is resumed.

    Args:
      engine: of actors that are a `grading.Grader` each.
      most_age: updates that a gradient may lack before it is dropped; negative for any number.
    """
    hypers = devices.place(lay, hypers)
    parts = make(jax.tree.map(lambda x: x[0, 0], hypers))
    actors, updates, warmup = terms.actors, parts.schedule.updates, parts.schedule.warmup
    like = told.sample_of(parts, spec, num_envs // actors)
    needed = slopes.needed(parts, spec, num_envs // actors)

    def begin(hypers: "Hypers", key: Key) -> RunState:
        own = make(hypers)
        _, k_rest = run_keys.split(key)
        run = base.begin_run(own.agent, own.replay, k_rest, blank(spec, num_envs // actors))
        nothing: Any = ()
        return run._replace(live=nothing, replay=())

    def learning_keys(key: Key) -> tuple[Key, Key, Key]:
        """As `base.chunk_keys`, with the keys of each update as `base.learn` makes them."""
        k_run, k_rows, k_learn = base.chunk_keys(key, iterations)
        each = k_learn[:, None] if updates == 1 else jax.vmap(lambda k: run_keys.split(k, updates))(k_learn)
        return k_run, k_rows, each

    def descend(hypers: "Hypers", agent_state: Tree, key: Key, slope: Tree) -> tuple[Tree, Tree, dict[str, Array]]:
        own = make(hypers)
        _, k_update = run_keys.split(key)
        state, measured = slopes.apply(own.agent, agent_state, k_update, slope, like)
        return state, jax.tree.map(jnp.copy, own.agent.actor(state)), measured

    mapped = partial(devices.mapped, lay)
    begin_all = mapped(begin, in_axes=(0, 0))
    warmup_all = mapped(lambda hypers, key: base.warmup_keys(key, warmup), in_axes=(0, 0))
    keys_all = mapped(lambda hypers, key: learning_keys(key), in_axes=(0, 0))
    descend_all = mapped(descend, in_axes=(0,) * 4, donate=(1,))
    next_all = mapped(lambda chunks: chunks + 1, in_axes=(0,))
    actor_all = mapped(partial(actor_of, make), in_axes=(0, 0))
    crew = Crew(engine, actors, terms.patience)

    def chunk_of(key: Key) -> tuple[Key, list[tuple[np.ndarray, np.ndarray, bool]]]:
        """Keys of the gradients of a chunk, counted for each actor, and whether rows are to be played before each."""
        k_run, k_rows, k_learn = keys_all(hypers, key)
        rows, learn = key_words(k_rows[0, 0]), key_words(k_learn[0, 0])
        return k_run, [(rows[i], learn[i, u], u == 0) for i in range(iterations) for u in range(updates)]

    feed = Feed(chunk_of)
    now: dict[str, Any] = {"updates": 0, "asked": [0] * actors, "taken": [0] * actors}

    def publish(agent: Tree, actor: Tree) -> None:
        if "handle" not in now or now["updates"] % terms.publish_every == 0:
            leaves = told.chosen(agent, needed)
            now["handle"] = engine.publish(jax.tree.map(shipped, (actor, leaves)))
            now["version"] = now["updates"]

    def ask(actor: int) -> None:
        """Tops up what an actor is asked for."""
        while now["asked"][actor] <= now["taken"][actor] + terms.ahead:
            crew.ask(actor, "grade", now["handle"], now["version"], *feed.words(now["asked"][actor]))
            now["asked"][actor] += 1
        feed.forget(min(now["asked"]))

    def start(run: RunState, generation: int) -> None:
        feed.begin(run.key)
        crew.begin(generation)

    def init(keys: Key) -> RunState:
        run = begin_all(hypers, devices.place(lay, keys))
        k_run, k_rows = warmup_all(hypers, run.key) if warmup else (run.key, None)
        run = run._replace(key=k_run)
        start(run, 0)
        publish(run.agent, actor_all(hypers, run))
        if k_rows is not None:
            for actor in range(actors):
                crew.ask(actor, "fill", now["handle"], key_words(k_rows[0, 0]))
            now["early"] = [Gradient((), {}, crew.answer("fill", actor), 0) for actor in range(actors)]
        return run

    def step(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        if not feed.begun:
            start(run, int(devices.collect(lay, run.chunks)[0]))
        began = time.monotonic()
        k_run, _, keys = keys_all(hypers, run.key)
        agent, actor_params = run.agent, actor_all(hypers, run)
        seen: list[Gradient] = []
        ages, dropped, measures = [], 0, []
        publish(agent, actor_params)
        for actor in range(actors):
            ask(actor)
        for i in range(iterations * updates):
            for slot in range(actors):
                found = crew.take("grade", [slot] if terms.order == "fixed" else None)
                assert found
                actor, message = found
                now["taken"][actor] += 1
                seen.append(message._replace(gradient=()))
                ages.append(now["updates"] - message.version)
                if most_age < 0 or ages[-1] <= most_age:
                    slope = jax.tree.map(lambda x: x[None, None], message.gradient)
                    agent, actor_params, measured = descend_all(
                        hypers, agent, keys[:, :, i // updates, i % updates], slope
                    )
                    measures.append(measured)
                    now["updates"] += 1
                    publish(agent, actor_params)
                else:
                    dropped += 1
                ask(actor)
        of_crew = crew.metrics()
        share = of_crew.pop("waited_seconds") / max(time.monotonic() - began, 1e-9)
        numbers = {name: float(np.mean([each.metrics[name] for each in seen])) for name in seen[0].metrics}
        if measures:
            numbers |= {name: float(np.mean([np.asarray(each[name]) for each in measures])) for name in measures[0]}
        around = {"version_age": float(np.mean(ages)), "dropped": dropped / len(seen), "waiting": share}
        run = run._replace(agent=agent, key=k_run, chunks=next_all(run.chunks))
        everything = {**episodes_of(finished([*now.pop("early", ()), *seen])), **of_crew, **around, **numbers}
        return run, {name: np.full(1, value, np.float32) for name, value in everything.items()}

    def evaluate(actors: Tree, keys: Key) -> dict[str, np.ndarray]:
        return evaluate_by(crew, engine, actors, keys, terms, eval_episodes)

    def shape() -> RunState:
        return laid_out(lay, jax.eval_shape(begin_all, hypers, devices.place(lay, run_keys.key(np.arange(1)))))

    return Driver(Loop(init, step, evaluate, lambda run: actor_all(hypers, run)), shape, engine.close)
