"""The distributed driver: actors elsewhere play, and one learner takes their rows.

The learner asks (`crew`), and with the request go the parameters and the key to act with; an actor answers with rows
(`collecting`). So an actor is never asked for more than is wanted, never acts on parameters that were dropped on the
way, and holds nothing that the run would miss. Learning is the host driver's (`learning`), which with one actor that
does not run ahead gives the same parameters and the same replay, bit for bit.

A round is as many messages as there are actors, one of each in fixed order and any in order of arrival, and then the
updates that go with so many rows: samples per insert are what the schedule says, and no row is dropped.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from agents.base import Key
from envs import keys as run_keys
from envs.base import Spec, blank
from experiments.drivers import base, devices, told
from experiments.drivers.acting import Unroll, actor_of
from experiments.drivers.base import Driver, Loop, RunState
from experiments.drivers.collecting import Message
from experiments.drivers.crew import Crew
from experiments.drivers.devices import Layout, laid_out
from experiments.drivers.engines import Engine
from experiments.drivers.lanes import key_words
from experiments.drivers.learning import Learner, learning
from experiments.drivers.terms import Feed, Terms, episodes_of, evaluate_by, shipped

if TYPE_CHECKING:
    from experiments.drivers.contract import Parts


def driver(
    engine: Engine,
    spec: Spec,
    make: "Callable[[Any], Parts]",
    hypers: Any,
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
      lay: of one run on one device.
      terms: how they work together.
      num_envs: lanes of all actors.
      iterations: rounds per chunk.
      eval_episodes: of one evaluation.
    """
    hypers = devices.place(lay, hypers)
    parts = make(jax.tree.map(lambda x: x[0, 0], hypers))
    learn = learning(make, hypers, lay, "pmap")
    actors, warmup = terms.actors, parts.schedule.warmup
    needed = told.needed(make, spec) if terms.priorities else []
    (unroll, updates, _), peek = parts.schedule, parts.replay.wants_next_row
    drawn = told.sample_of(parts, spec, num_envs, actors).steps
    learned = updates * told.transitions(drawn)
    nothing: Any = ()

    def begin(hypers: Any, key: Key) -> RunState:
        own = make(hypers)
        _, k_rest = run_keys.split(key)
        run = base.begin_run(own.agent, own.replay, k_rest, blank(spec, num_envs), actors)
        return run._replace(live=nothing)

    mapped = partial(devices.mapped, lay)
    begin_all = mapped(begin, in_axes=(0, 0))
    warmup_all = mapped(lambda hypers, key: base.warmup_keys(key, warmup), in_axes=(0, 0))
    chunk_all = mapped(lambda hypers, key: base.chunk_keys(key, iterations), in_axes=(0, 0))
    next_all = mapped(lambda chunks: chunks + 1, in_axes=(0,))
    actor_all = mapped(partial(actor_of, make), in_axes=(0, 0))

    def rows_of(key: Key) -> tuple[Key, list[np.ndarray]]:
        k_run, k_rows, _ = chunk_all(hypers, key)
        return k_run, [*key_words(k_rows[0, 0])]

    crew = Crew(engine, actors, terms.patience)
    early: list[Any] = []  # messages of the warm-up, for what they tell of episodes
    feed = Feed(rows_of)
    counts: dict[str, Any] = {"round": 0, "asked": 0, "updates": 0, "version": 0, "rows": 0, "repeats": {}}

    def publish(agent: Any, actor: Any) -> None:
        """Makes parameters known, if it is time."""
        if "handle" not in counts or counts["round"] % terms.publish_every == 0:
            leaves = told.chosen(agent, needed) if needed else []
            counts["handle"] = engine.publish(jax.tree.map(shipped, (actor, leaves)))
            counts["version"] = counts["updates"]

    def ask(actor: int, number: int) -> None:
        repeats = counts["repeats"].get((actor, number), 0)
        counts["repeats"][actor, number] = repeats + 1
        crew.ask(actor, "collect", counts["handle"], counts["version"], feed.words(number), repeats)

    def ask_all() -> None:
        """Before a round: asks each actor for what it may be ahead with."""
        number = counts["round"]
        if terms.order == "fixed":
            for ahead in range(counts["asked"], number + terms.ahead + 1):
                for actor in range(actors):
                    ask(actor, ahead)
            counts["asked"] = number + terms.ahead + 1
        else:
            for actor in range(actors):
                for _ in range(crew.pending(actor, "collect"), terms.ahead + 1):
                    ask(actor, number)
        for stale in [key for key in counts["repeats"] if key[1] < number]:
            del counts["repeats"][stale]

    def messages() -> Iterator[tuple[int, Message]]:
        """Of a round: which group of the replay each is for, and itself."""
        for slot in range(actors):
            actor, message = crew.take("collect", [slot] if terms.order == "fixed" else None)
            if terms.order == "arrival" and terms.ahead:
                ask(actor, counts["round"])
            yield (slot if parts.replay.first_carry_only else actor), message

    def unroll_of(number: int, group: int, message: Message) -> Unroll:
        there = lambda tree: jax.tree.map(lambda x: np.asarray(x)[None, None], tree)  # noqa: E731
        place = () if actors == 1 and message.priority is None else there((np.int32(group), message.priority))
        return Unroll(number, there(message.rows), (), place)

    def round_of(take: Callable[[Unroll, bool], None], number: int, seen: list[Message]) -> None:
        ask_all()
        for i, (group, message) in enumerate(messages()):
            take(unroll_of(number, group, message), i == actors - 1)
            counts["rows"] += message.rows.timestep.step_type.size * unroll // (unroll + peek)
            seen.append(message._replace(rows=nothing, priority=None))  # rows are where Ray keeps few
        counts["round"] += 1
        feed.forget(counts["round"])

    def init(keys: Key) -> RunState:
        run = begin_all(hypers, devices.place(lay, keys))
        k_run, before = run.key, list[np.ndarray]()
        if warmup:
            k_run, k_rows = warmup_all(hypers, run.key)
            before = [*key_words(k_rows[0, 0])]
        feed.begin(k_run, before)
        crew.begin(0)
        storage = [run.replay]

        def store(unroll: Unroll, last: bool) -> None:
            storage[0] = learn.add(storage[0], unroll)

        for i in range(warmup):
            publish(run.agent, actor_all(hypers, run))
            round_of(store, i, early)
        return run._replace(key=k_run, replay=storage[0])

    def step(run: RunState) -> tuple[RunState, dict[str, np.ndarray]]:
        if not feed.begun:
            feed.begin(run.key)
            crew.begin(int(devices.collect(lay, run.chunks)[0]))
        began = time.monotonic()
        k_run, _, k_learn = chunk_all(hypers, run.key)
        learner, metrics, ages = [Learner(run.agent, run.replay, actor_all(hypers, run))], [], []
        seen: list[Message] = []
        counts["rows"] = 0

        def update(unroll: Unroll, last: bool) -> None:
            if last:
                learner[0], measured = learn.learn(learner[0], k_learn, unroll)
                metrics.append(measured)
            else:
                learner[0] = learner[0]._replace(replay=learn.add(learner[0].replay, unroll))

        for i in range(iterations):
            publish(learner[0].agent, learner[0].actor)
            before = len(seen)
            round_of(update, i, seen)
            ages += [counts["updates"] - message.version for message in seen[before:]]
            counts["updates"] += updates
        means = jax.tree.map(lambda *xs: np.mean([np.asarray(x) for x in xs], axis=0), *metrics)
        around = {"samples_per_insert": iterations * learned / counts["rows"]}
        of_crew = crew.metrics()
        share = of_crew.pop("waited_seconds") / max(time.monotonic() - began, 1e-9)
        around |= {**episodes_of([*early, *seen]), **of_crew, "version_age": float(np.mean(ages)), "waiting": share}
        early.clear()
        agent, storage, _ = learner[0]
        run = run._replace(agent=agent, replay=storage, key=k_run, chunks=next_all(run.chunks))
        return run, {
            **{name: np.full(1, value, np.float32) for name, value in around.items()},
            **devices.collect(lay, means),
        }

    def evaluate(actors: Any, keys: Key) -> dict[str, np.ndarray]:
        return evaluate_by(crew, engine, actors, keys, terms.eval_actors, eval_episodes)

    def shape() -> Any:
        keys = devices.place(lay, run_keys.key(np.arange(1)))
        return laid_out(lay, jax.eval_shape(begin_all, hypers, keys))

    return Driver(Loop(init, step, evaluate, lambda run: actor_all(hypers, run)), shape, engine.close)
