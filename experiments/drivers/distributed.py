"""The distributed driver: actors elsewhere play, and one learner takes their rows.

The learner asks (`rounds`), and with the request go the parameters and the key to act with; an actor answers with rows
(`collecting`). So an actor is never asked for more than is wanted, never acts on parameters that were dropped on the
way, and holds nothing that the run would miss. Learning is the host driver's (`learning`), which with one actor that
does not run ahead gives the same parameters and the same replay, bit for bit.

A round is as many messages as there are actors and then the updates that go with so many rows: samples per insert are
what the schedule says, and no row is dropped. A learner that runs freely takes what messages there are, learns, and
looks again; a chunk then has as many messages as ever, and as many updates as there was time for.

Several learners that joined (`joining`) run this code together, each with actors, lanes and a replay of its own, and
average their gradients. What it tells is of all of them.
"""

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from agents.base import Array, Key, Tree
from envs import keys as run_keys
from envs.base import Spec, blank
from experiments.drivers import base, devices, joining, told
from experiments.drivers.acting import Unroll, actor_of
from experiments.drivers.base import Driver, Loop, RunState
from experiments.drivers.collecting import Message
from experiments.drivers.devices import Layout, laid_out
from experiments.drivers.engines import Engine
from experiments.drivers.lanes import key_words
from experiments.drivers.learning import Learner, learning
from experiments.drivers.rounds import Rounds
from experiments.drivers.terms import Terms, episodes_of, evaluate_by, finished

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
) -> Driver:
    """A run whose lanes are elsewhere.

    Its state holds no lanes: a restored run starts new episodes, and everything else goes on as it was.

    Args:
      engine: of actors that are a `collecting.Collector` each, with equal parts of the lanes.
      spec: the task.
      make: hyper-parameters of one run -> its parts.
      hypers: a tree of arrays `[1]`.
      lay: of one run on one device, or of `joining.layout`.
      terms: how they work together.
      num_envs: lanes of all actors of this learner.
      iterations: rounds per chunk.
      eval_episodes: of one evaluation, that this learner's actors play.
    """
    hypers = devices.place(lay, hypers)
    alone = jax.tree.map(lambda x: x[0, 0], hypers)
    parts = make(alone)
    learn = learning(make, hypers, lay, "pmap")
    actors, warmup = terms.actors, parts.schedule.warmup
    needed = told.needed(make, spec) if terms.priorities else []
    unroll, updates = parts.schedule.unroll, parts.schedule.updates
    learned = updates * told.transitions(told.sample_of(parts, spec, num_envs, actors).steps)
    nothing: Any = ()

    def begin(hypers: "Hypers", key: Key) -> RunState:
        own = make(hypers)
        _, k_rest = run_keys.split(key)
        run = base.begin_run(own.agent, own.replay, k_rest, blank(spec, num_envs), actors)
        return run._replace(live=nothing)

    mapped, mine = partial(devices.mapped, lay), partial(joining.own, lay)
    total, everyone = joining.totals(lay), joining.all_of(lay)
    begin_all = mapped(begin, in_axes=(0, 0))
    warmup_all = mapped(lambda hypers, key: base.warmup_keys(key, warmup), in_axes=(0, 0))
    chunk_all = mapped(lambda hypers, key: base.chunk_keys(key, iterations), in_axes=(0, 0))
    next_all = mapped(lambda chunks: chunks + 1, in_axes=(0,))
    actor_all = mapped(partial(actor_of, make), in_axes=(0, 0))

    def rows_of(key: Key) -> tuple[Key, list[np.ndarray]]:
        k_run, k_rows, _ = chunk_all(hypers, key)
        return k_run, [*key_words(mine(k_rows)[0, 0])]

    rounds = Rounds(engine, terms, rows_of)
    early: list[Any] = []  # messages of the warm-up, for what they tell of episodes

    def publish(agent: Tree, actor: Tree) -> None:
        rounds.publish(told.chosen(mine(agent), needed) if needed else [], mine(actor))

    def unroll_of(number: int, group: int, message: Message) -> Unroll:
        there = lambda tree: jax.tree.map(lambda x: np.asarray(x)[None, None], tree)  # noqa: E731
        place = () if actors == 1 and message.priority is None else there((np.int32(group), message.priority))
        return Unroll(number, there(message.rows), (), place)

    def init(keys: Key) -> RunState:
        run = begin_all(hypers, devices.place(lay, keys))
        k_run, before = run.key, list[np.ndarray]()
        if warmup:
            k_run, k_rows = warmup_all(hypers, run.key)
            before = [*key_words(mine(k_rows)[0, 0])]
        rounds.begin(k_run, 0, before)
        storage = run.replay
        for i in range(warmup):
            publish(run.agent, actor_all(hypers, run))
            for slot, (actor, message) in enumerate(rounds.messages()):
                storage = learn.add(storage, unroll_of(i, group_of(slot, actor), message))
                early.append(without_rows(message))
        return run._replace(key=k_run, replay=storage)

    def group_of(slot: int, actor: int) -> int:
        return slot if parts.replay.first_carry_only else actor

    def without_rows(message: Message) -> Message:
        return message._replace(rows=nothing, priority=None)  # rows are where Ray keeps few

    def in_rounds(
        learner: Learner, keys: Key, seen: list[tuple[int, Message]]
    ) -> tuple[Learner, list[dict[str, Array]]]:
        """A chunk with the same updates after each round."""
        metrics = []
        for i in range(iterations):
            publish(learner.agent, learner.actor)
            for slot, (actor, message) in enumerate(rounds.messages()):
                rows = unroll_of(i, group_of(slot, actor), message)
                if slot == actors - 1:
                    learner, measured = learn.learn(learner, keys, rows)
                    metrics.append(measured)
                else:
                    learner = learner._replace(replay=learn.add(learner.replay, rows))
                seen.append((rounds.updates - message.version, without_rows(message)))
            rounds.updates += updates
        return learner, metrics

    def freely(learner: Learner, keys: Key, seen: list[tuple[int, Message]]) -> tuple[Learner, list[dict[str, Array]]]:
        """A chunk of as many messages, between which the learner does not wait."""
        metrics: list[Any] = []
        while len(seen) < iterations * actors:
            publish(learner.agent, learner.actor)
            for actor, message in rounds.ready(iterations * actors - len(seen)):
                learner = learner._replace(replay=learn.add(learner.replay, unroll_of(0, actor, message)))
                seen.append((rounds.updates - message.version, without_rows(message)))
            learner, measured = learn.update(learner, keys, len(metrics))
            metrics.append(jax.block_until_ready(measured))  # or else updates would pile up that nobody has made
            rounds.updates += updates
        return learner, metrics

    def step(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        if not rounds.feed.begun:
            rounds.begin(run.key, int(devices.collect(lay, run.chunks)[0]))
        began = time.monotonic()
        k_run, _, k_learn = chunk_all(hypers, run.key)
        learner, seen = Learner(run.agent, run.replay, actor_all(hypers, run)), list[Any]()
        learner, metrics = (freely if terms.ratio == "free" else in_rounds)(learner, k_learn, seen)
        means = jax.tree.map(
            lambda *xs: np.mean([np.asarray(x) for x in xs], axis=0), *[devices.collect(lay, each) for each in metrics]
        )
        of_crew = rounds.crew.metrics()
        share = of_crew["waited_seconds"] / max(time.monotonic() - began, 1e-9)
        rows = len(seen) * unroll * num_envs // actors
        age = float(np.mean([age for age, _ in seen]))
        here = [1, of_crew["actors_alive"], of_crew["actors_lost"], age, share, len(metrics) * learned, rows]
        sums = total(np.array([*here, *finished([*early, *(message for _, message in seen)])], np.float64))
        learners, alive, lost, age, share, samples, rows = sums[: len(here)]
        early.clear()
        around = {
            **episodes_of(sums[len(here) :]),
            "actors_alive": alive,
            "actors_lost": lost,
            "version_age": age / learners,
            "waiting": share / learners,
            "samples_per_insert": samples / rows,
        }
        run = run._replace(agent=learner.agent, replay=learner.replay, key=k_run, chunks=next_all(run.chunks))
        return run, {**{name: np.full(1, value, np.float32) for name, value in around.items()}, **means}

    def evaluate(actors: Tree, keys: Key) -> dict[str, np.ndarray]:
        found = evaluate_by(rounds.crew, engine, mine(actors), keys, terms, eval_episodes)
        return {name: everyone(x) for name, x in found.items()}

    def shape() -> RunState:
        one = jax.eval_shape(begin, alone, run_keys.key(0))
        whole = lambda x: jax.ShapeDtypeStruct((len(lay.devices), 1, *x.shape), x.dtype)  # noqa: E731
        return laid_out(lay, jax.tree.map(whole, one))

    return Driver(Loop(init, step, evaluate, lambda run: actor_all(hypers, run)), shape, engine.close)
