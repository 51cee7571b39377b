"""The distributed driver: one actor is the host driver, several are as good, and lost ones begin anew."""

from functools import cache
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.dqn import lane_epsilons
from envs import keys, parallel
from experiments.drivers import engines, told
from experiments.drivers.crew import Crew
from experiments.drivers.lanes import key_of, key_words
from experiments.drivers.terms import Terms
from tests.experiments.apart import (
    ENV,
    EPISODES,
    HYPERS,
    LANES,
    LAY,
    POOLS,
    by_rows,
    make,
    on_host,
    parts_of,
    played,
    sending_rows,
)


@pytest.mark.parametrize("name", ["dqn", "per", "impala", "r2d2"])
def test_one_actor_is_the_host_driver(name):
    expected, told_there, judged = played(on_host(name))
    found, told_here, here = played(by_rows(name, Terms()))
    chex.assert_trees_all_equal(found, expected)
    chex.assert_trees_all_equal(here, judged)
    for a, b in zip(told_here, told_there, strict=True):
        chex.assert_trees_all_equal({k: a[k] for k in b}, b)
        assert a["version_age"] == 0 and a["actors_alive"] == 1 and a["actors_lost"] == 0


FOUR = Terms(actors=4, eval_actors=4)


@cache
def of_four(name: str, ahead: int) -> Any:
    return played(by_rows(name, FOUR._replace(ahead=ahead)))


@pytest.mark.parametrize(("name", "ahead"), [("per", 2), ("impala", 1)])
def test_in_fixed_order_a_run_is_the_same_each_time_whatever_runs_the_actors(name, ahead):
    terms = FOUR._replace(ahead=ahead)
    state, metrics, judged = of_four(name, ahead)
    again = played(by_rows(name, terms, engines.threads(sending_rows(name, terms))))
    chex.assert_trees_all_equal(again[0], state)
    chex.assert_trees_all_equal(again[2], judged)
    assert judged["eval_return"].shape == (1, EPISODES)
    updates = parts_of(name).schedule.updates
    assert metrics[0]["version_age"] <= metrics[1]["version_age"] == ahead * updates
    assert all(np.isfinite(x).all() for name, x in metrics[1].items() if not name.startswith("episode"))


def test_actors_play_lanes_of_their_own_and_say_so():
    state, _, _ = of_four("per", 2)
    rows = state.replay.ring.rows
    assert state.replay.ring.groups == 4 and state.replay.ring.fill.tolist() == [[4 * (2 + 2 * 3)] * 4]
    seen = np.asarray(rows.timestep.observation[0]).reshape(-1, 4, *rows.timestep.observation.shape[2:])
    assert len({x.tobytes() for x in seen.swapaxes(0, 1)}) == 4
    with parallel.among(2, 4):
        assert parallel.size() == 4 and parallel.index() == 2 and not parallel.bound()
        own = parallel.own_key(keys.key(0))
        assert float(parallel.total(jnp.float32(3))) == 3
    chex.assert_trees_all_equal(jax.random.key_data(own), jax.random.key_data(jax.random.fold_in(keys.key(0), 2)))
    assert parallel.size() == 1 and parallel.index() == 0


def test_a_ladder_of_exploration_spans_the_lanes_of_all_actors():
    whole = np.asarray(lane_epsilons(jnp.float32(0.4), 7.0, 8))
    own = []
    for actor in range(4):
        with parallel.among(actor, 4):
            own.append(lane_epsilons(jnp.float32(0.4), 7.0, 2))
    np.testing.assert_allclose(np.concatenate(own), whole, rtol=1e-6)
    np.testing.assert_allclose(whole[[0, -1]], [0.4, 0.4**8], rtol=1e-5)


def test_tasks_in_graph_are_played_in_graph_and_equal_the_in_graph_driver():
    from experiments.drivers import in_graph

    inside = in_graph.driver(ENV, make("impala"), HYPERS, LAY, num_envs=LANES, iterations=3, eval_episodes=EPISODES)
    expected, _, _ = played(inside)
    found, _, _ = played(by_rows("impala", Terms(), env=ENV))
    chex.assert_trees_all_close(found.agent, expected.agent, atol=1e-6)
    together, metrics, _ = played(by_rows("impala", FOUR._replace(actors=2, eval_actors=1), env=ENV))
    assert np.isfinite(metrics[1]["loss"]).all()
    del together


@pytest.mark.parametrize("ahead", [0, 1])
def test_in_order_of_arrival_samples_per_insert_are_as_planned(ahead):
    """A slow actor brings fewer rows, the others more; how many make an update stays the same."""
    terms = Terms(actors=2, ahead=ahead, order="arrival", eval_actors=2)
    made = by_rows("dqn", terms, late(engines.inline(sending_rows("dqn", terms)), 1))
    state, metrics, _ = played(made, 1)
    fill = state.replay.fill[0]
    unroll, updates, _ = parts_of("dqn").schedule
    assert metrics[0]["samples_per_insert"] == pytest.approx(updates * 8 / (unroll * LANES), rel=0.01)
    rounds = parts_of("dqn").schedule.warmup + 3
    assert fill.sum() == 2 * rounds * parts_of("dqn").schedule.unroll
    assert (fill[0] > fill[1] > 0) if ahead else (fill[0] == fill[1])


def test_a_learner_that_runs_freely_learns_between_messages():
    """A message is there every fourth time that somebody looks; a chunk has as many rows as ever."""
    terms = Terms(actors=2, ahead=1, order="arrival", eval_actors=2, ratio="free")
    engine, looked = engines.inline(sending_rows("dqn", terms)), [0]

    def wait(tickets: Any, seconds: float) -> list[Any]:
        looked[0] += seconds == 0
        return engine.wait(tickets, seconds) if seconds or looked[0] % 4 == 0 else []

    state, metrics, _ = played(by_rows("dqn", terms, engine._replace(wait=wait)), 1)
    unroll, updates, warmup = parts_of("dqn").schedule
    assert state.replay.fill[0].sum() == 2 * (warmup + 3) * unroll
    # Six messages, each after three looks in vain, and the learner learns after a look in vain or the last message.
    phases = 3 * 6 + 1
    assert state.agent.updates[0] == phases * updates
    np.testing.assert_allclose(metrics[0]["samples_per_insert"], phases * updates * 8 / (3 * unroll * LANES))
    assert metrics[0]["version_age"] > 0 and np.isfinite(metrics[0]["loss"]).all()


def late(engine: engines.Engine, slow: int) -> engines.Engine:
    """The answers of one actor are seen only every third time that somebody looks."""
    owner: dict[Any, int] = {}
    looked = [0]

    def submit(actor: int, *arguments: Any) -> Any:
        ticket = engine.submit(actor, *arguments)
        owner[ticket] = actor
        return ticket

    def wait(tickets: Any, seconds: float) -> list[Any]:
        looked[0] += 1
        return [t for t in engine.wait(tickets, seconds) if owner[t] != slow or looked[0] % 5 == 0]

    return engine._replace(submit=submit, wait=wait)


def losing(engine: engines.Engine, actor: int, calls: set[int], started: list[Any]) -> engines.Engine:
    """An engine that loses what an actor was asked for at some calls, and notes who was begun."""
    counted, lost = [0], set()

    def start(who: int, generation: int) -> None:
        started.append((who, generation))
        engine.start(who, generation)

    def submit(who: int, *arguments: Any) -> Any:
        ticket = engine.submit(who, *arguments)
        if who == actor:
            counted[0] += 1
            if counted[0] in calls:
                lost.add(ticket)
        return ticket

    def result(ticket: Any) -> Any:
        if ticket in lost:
            raise engines.LostError("killed")
        return engine.result(ticket)

    return engine._replace(start=start, submit=submit, result=result)


def test_a_lost_actor_begins_anew_in_its_group():
    terms = Terms(actors=2, ahead=1, eval_actors=2)
    started: list[Any] = []
    made = by_rows("per", terms, losing(engines.inline(sending_rows("per", terms)), 1, {4}, started))
    state, metrics, judged = played(made, 2)
    assert started == [(0, 0), (1, 0), (1, 1)]
    assert metrics[-1]["actors_lost"] == 1 and metrics[-1]["actors_alive"] == 2
    unroll, rounds = 4, 2 + 2 * 3
    assert state.replay.ring.fill[0].tolist() == [unroll * rounds] * 2
    kinds = np.asarray(state.replay.ring.rows.timestep.step_type[0]).reshape(-1, LANES)
    seam = 3 * unroll  # the fourth message is the first of the next generation
    assert (kinds[seam, 2:] == 0).all() and (kinds[0] == 0).all()
    assert judged["eval_return"].shape == (1, EPISODES)


def test_actors_that_are_lost_again_and_again_end_the_run():
    terms = Terms(actors=2)
    made = by_rows("dqn", terms, losing(engines.inline(sending_rows("dqn", terms)), 0, set(range(100)), []))
    with pytest.raises(RuntimeError, match="7 actors were lost without a message between them"):
        played(made)


def test_what_an_actor_raises_ends_the_run_with_its_traceback():
    def of(actor: int, generation: int) -> Any:
        raise KeyError("the user's own")

    terms = Terms(actors=2)
    run_by = engines.threads(of)
    with pytest.raises(KeyError, match="the user's own") as raised:
        by_rows("dqn", terms, run_by).loop.init(keys.key(np.array([3])))
    assert any(entry.name == "of" for entry in raised.traceback)


def test_an_overdue_actor_is_replaced(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("experiments.drivers.crew.time.monotonic", lambda: clock[0])
    asked: list[Any] = []
    stuck = {0}

    def wait(tickets: Any, seconds: float) -> list[Any]:
        clock[0] += seconds
        return [t for t in tickets if t[0] not in stuck or t[1] > 0]

    generation = {0: 0, 1: 0}

    def start(actor: int, number: int) -> None:
        generation[actor] = number

    def submit(actor: int, method: str, word: Any) -> Any:
        asked.append((actor, generation[actor], word))
        return actor, generation[actor], word

    engine = engines.Engine(start, lambda x: x, submit, wait, lambda ticket: ticket, lambda: None)
    crew = Crew(engine, 2, patience=10.0)
    crew.begin(0)
    stuck.clear()
    for actor in range(2):
        crew.ask(actor, "collect", "first")
    assert [crew.take("collect")[0], crew.take("collect")[0]] == [0, 1]  # until then it may have been compiling
    stuck.add(0)
    for word in ("second", "third"):
        crew.ask(0, "collect", word)
    assert crew.take("collect", [0]) == (0, (0, 1, "second"))
    assert 10 < clock[0] < 20
    assert asked[-2:] == [(0, 1, "second"), (0, 1, "third")]
    assert crew.lost == 1 and crew.take("collect")[1] == (0, 1, "third")


@pytest.mark.parametrize("name", ["per", "r2d2"])
def test_an_actor_says_of_its_windows_what_the_learner_would(name):
    parts, terms = parts_of(name), Terms(priorities=True)
    state = parts.agent.init(keys.key(1), jax.tree.map(jnp.asarray, POOLS.pool(LANES, 3).reset()))
    used = told.needed(make(name), ENV.spec)
    leaves = [np.array(x) for x, here in zip(jax.tree.leaves(state), used, strict=True) if here]
    assert len(leaves) == len(jax.tree.leaves((state.params, state.target)))  # and no statistics of the optimiser
    one = sending_rows(name, terms)(0, 0)
    there = jax.tree.map(lambda x: np.array(x)[None, None], (parts.agent.actor(state), leaves))
    messages = [one.collect(there, 7, key_words(keys.key(i)), 0) for i in range(5)]
    tail = parts.replay.minimum - 1
    rows = jax.tree.map(lambda *xs: np.concatenate(xs), *[message.rows for message in messages])
    unroll, update = (
        parts.schedule.unroll,
        jax.jit(lambda rows, key: parts.agent.update(state, key, parts.replay.every(rows))),
    )
    for i, message in enumerate(messages):
        begin = i * unroll - tail
        if begin < 0:
            known = np.isfinite(message.priority).reshape(-1, LANES)
            assert (known == known[:, :1]).all() and not known[0].any()
            continue
        window = jax.tree.map(lambda x, begin=begin: x[begin : begin + tail + unroll], rows)
        expected = update(window, key_of(key_words(keys.key(i))))[1].priority
        np.testing.assert_allclose(message.priority, expected, rtol=1e-5, atol=5e-7)
    assert message.version == 7 and sum(each.finished[0] for each in messages) > 0
    storage = parts.replay.init(jax.tree.map(lambda x: x[0], rows))
    for message in messages:
        storage = parts.replay.add(storage, message.rows, 0, message.priority)
    assert len(np.unique(np.asarray(storage.tree[0]))) > 5
    one.close()


def test_priorities_of_actors_enter_the_replay():
    terms = Terms(actors=2, ahead=1, eval_actors=2)
    for own in (True, False):
        made = by_rows("per", terms._replace(priorities=own))
        leaves = np.asarray(made.loop.init(keys.key(np.array([3]))).replay.tree[0])
        assert (leaves > 0).sum() > 10
        assert own == (len(np.unique(leaves[leaves > 0])) > 1)  # else all enter with the largest so far
        made.close()


def test_a_replay_or_an_agent_without_priorities_is_refused():
    for name, message in (("impala", "windows are not cut"), ("curious", "windows are not cut")):
        parts = parts_of("impala") if name == "impala" else parts_of("dqn")
        own = parts._replace(replay=parts.replay._replace(every=None))
        with pytest.raises(ValueError, match=message):
            told.needed(lambda hypers, own=own: own, ENV.spec)
    silent = parts_of("dqn").agent
    mute = silent._replace(update=lambda *a: (lambda s, i: (s, i._replace(priority=None)))(*silent.update(*a)))
    with pytest.raises(ValueError, match="tells no priorities"):
        told.needed(lambda hypers: parts_of("dqn")._replace(agent=mute), ENV.spec)


def test_new_parameters_are_published_as_often_as_asked():
    terms = Terms(publish_every=3)
    published: list[Any] = []
    engine = engines.inline(sending_rows("impala", terms))
    engine = engine._replace(publish=lambda tree: published.append(tree) or tree)
    _, metrics, _ = played(by_rows("impala", terms, engine))
    assert len(published) == 2 + 1 and metrics[-1]["version_age"] == 1  # 0, 1 and 2 updates old
