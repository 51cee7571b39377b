"""The hierarchical actor-critic: what its levels do, and what they learn from, against rows read one by one."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, LAST, Agent, Info, Step, valid
from agents.hac import hac
from envs import keys
from envs.tasks.point_maze import point_maze
from experiments.drivers import base

H, LIMIT, LANES = 4, 24, 3
ENV = point_maze("u", goal="any", start="any", threshold=0.3, time_limit=LIMIT)
LEVELS = {k: replay.Levels(k, H, lambda x: x[..., :2], (0.15, 0.15), ENV.spec.goals, LIMIT) for k in (1, 2, 3)}


class Nothing(NamedTuple):
    params: Any


def walker(wide: float) -> Agent:
    """Steps towards the goal, or for levels above it sets a subgoal on the way; noise when exploring."""

    def act(actor, key, carry, timestep, explore):
        way = timestep.observation["desired_goal"] - timestep.observation["observation"]
        noise = 0.3 * jax.random.normal(key, way.shape) if explore else 0.0
        if wide:
            return timestep.observation["observation"] + jnp.clip(way + noise, -wide, wide), carry, {}
        return jnp.clip(5 * way + 5 * noise, -1, 1), carry, {}

    def update(state, key, sample):
        return state, Info({"loss": jnp.float32(0)})

    return Agent(lambda key, t: Nothing(jnp.zeros(1)), lambda s: s.params, lambda batch: (), act, update)


def played(k: int, steps: int = 90) -> Step:
    agent = hac([walker(w) for w in (0.0, 0.4, 1.2)[:k]], LEVELS[k], 2, testing=0.5)
    key = keys.key(1)
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(key, LANES))
    state = agent.init(key, timestep)

    def body(carry, key):
        env_state, timestep, live = carry
        row, live = base.act_row(agent, agent.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), live), row

    start = (env_state, timestep, base.begin(agent, LANES))
    roll = jax.jit(lambda s, k: jax.lax.scan(body, s, k)[1])
    rows = jax.tree.map(np.asarray, roll(start, jax.random.split(key, steps)))
    # A third entry says which row it is: whoever stands in a corner is at one place for a while.
    seen = rows.timestep.observation
    number = np.arange(steps)[:, None] * LANES + np.arange(LANES)[None]
    told = np.concatenate([seen["observation"], number[..., None].astype(np.float32)], axis=-1)
    return rows._replace(timestep=rows.timestep._replace(observation={**seen, "observation": told}))


ROWS = {k: played(k) for k in (2, 3)}


def near(k, a, b):
    return bool((np.abs(a - b) <= LEVELS[k].threshold).all())


class Action(NamedTuple):
    """What a level did between two rows of a lane."""

    start: int
    end: int
    attempt: int  # number of the attempt that it belongs to


def actions_of(k: int, lane: int) -> list[list[Action]]:
    """Every level's complete actions in a lane, from the rules of the paper, row by row."""
    rows = ROWS[k]
    kind, place = rows.timestep.step_type[:, lane], rows.timestep.observation["observation"][:, lane, :2]
    wanted = rows.timestep.observation["desired_goal"][:, lane]
    found: list[list[Action]] = [[] for _ in range(k)]
    began, spent, attempts = [0] * k, [0] * k, [0] * k
    for t in range(len(kind)):
        if kind[t] == FIRST:
            began, spent, attempts = [t] * k, [0] * k, [n + 1 for n in attempts]
            continue
        top = np.linalg.norm(place[t] - wanted[t]) <= 0.3
        # The goals that were pursued up to this row are those of the row before.
        hit = [near(k, place[t], rows.extras["subgoal"][i][t - 1, lane]) for i in range(k - 1)] + [bool(top)]
        i, last = 0, kind[t] == LAST
        while i < k:
            found[i].append(Action(began[i], t, attempts[i]))
            began[i], spent[i] = t, spent[i] + 1
            if not (any(hit[i:]) or spent[i] >= H or last) or i == k - 1:
                break
            attempts[i], spent[i] = attempts[i] + 1, 0
            i += 1
    return found


@pytest.mark.parametrize("k", [2, 3])
def test_attempts_end_when_they_should(k):
    rows = ROWS[k]
    for lane in range(LANES):
        found = actions_of(k, lane)
        for i in range(1, k):
            age, kind = rows.extras["age"][i - 1][:, lane], rows.timestep.step_type[:, lane]
            starts = {a.start for a in found[i]} | {a.end for a in found[i] if kind[a.end] != LAST}
            set_anew = np.flatnonzero(age == 0)
            assert starts <= set(set_anew.tolist())
            assert set(set_anew.tolist()) - starts <= {
                t for t in set_anew if kind[t] == LAST or t > found[i][-1].end - 1
            }
            for a in found[i]:
                assert (age[a.start : a.end] == np.arange(a.end - a.start)).all()
                goal = rows.extras["subgoal"][i - 1][a.start : a.end, lane]
                assert (goal == goal[0]).all()


def test_levels_below_a_test_do_not_explore():
    rows = ROWS[3]
    high, low = rows.extras["test"][1], rows.extras["test"][0]
    assert low[high].all(), "below a test everything is one"
    place, goal = rows.timestep.observation["observation"][..., :2], rows.extras["subgoal"][0]
    greedy = np.clip(5 * (goal - place), -1, 1)
    same = np.isclose(rows.action, greedy, atol=1e-5).all(-1)
    assert same[low].all() and not same[~low].all()
    assert 0.3 < high.mean() < 0.8


def drawn(k: int, goals: int = 3, actions: bool = True, seed: int = 0) -> tuple[Any, Any]:
    rows = ROWS[k]
    storage = replay.uniform(LANES * len(rows.action), 300)
    state = storage.add(storage.init(jax.tree.map(lambda x: x[0], rows)), rows)
    made = replay.mapped(storage, replay.subgoal_attempts(LEVELS[k], goals, actions))
    sample = jax.jit(made.sample)
    return jax.tree.map(np.asarray, sample(state, jax.random.key(seed)).steps), rows


@pytest.mark.parametrize(("k", "actions"), [(2, True), (3, True), (3, False)])
def test_every_transition_is_one_of_the_three_kinds(k, actions):
    samples, rows = drawn(k, actions=actions)
    place = rows.timestep.observation["observation"][..., :2]
    actions_in = [actions_of(k, lane) for lane in range(LANES)]
    for i, steps in enumerate(samples):
        inside = valid(steps)[0]
        assert inside.mean() > 0.8
        kinds = {"plain": 0, "goal": 0, "test": 0}
        for n in np.flatnonzero(inside):
            (start, lane), (end, same) = (
                divmod(int(x[2]), LANES) for x in steps.timestep.observation["observation"][:, n]
            )
            (attempt,) = [a.attempt for a in actions_in[lane][i] if (a.start, a.end) == (start, end)]
            assert lane == same
            after = place[end, lane]
            goal, action = steps.timestep.observation["desired_goal"][0, n], steps.action[0, n]
            top = i == k - 1
            own = (
                rows.timestep.observation["desired_goal"][start, lane]
                if top
                else rows.extras["subgoal"][i][start, lane]
            )
            done = np.linalg.norm(after - goal) <= 0.3 if top else near(k, after, goal)
            reward, discount = steps.timestep.reward[1, n], steps.timestep.discount[1, n]
            asked = rows.extras["subgoal"][i - 1][start, lane] if i else rows.action[start, lane]
            if reward == -H:
                kinds["test"] += 1
                assert i > 0 and rows.extras["test"][i - 1][start, lane] and not near(k, after, asked)
                assert discount == 0 and (action == asked).all() and (goal == own).all()
                assert end - start == H or i > 1
                continue
            assert (reward, discount) == ((0, 0) if done else (-1, 1))
            hit = i == 0 or near(k, after, asked) or not actions
            np.testing.assert_array_equal(action, asked if hit else after)
            if (goal == own).all():
                kinds["plain"] += 1
                continue
            kinds["goal"] += 1
            ends = [a.end for a in actions_in[lane][i] if a.attempt == attempt]
            ends.append(len(place) - 1)  # of an episode under way
            assert any((place[e, lane] == goal).all() for e in ends), (i, start, end, ends)
        assert kinds["plain"] and kinds["goal"] > 1.5 * kinds["plain"]
        assert bool(kinds["test"]) == (i > 0)


def test_the_last_state_of_an_attempt_is_always_among_the_goals():
    samples, rows = drawn(2, goals=1)
    steps, place, relabelled = samples[0], rows.timestep.observation["observation"][..., :2], 0
    for n in np.flatnonzero(valid(steps)[0]):
        goal = steps.timestep.observation["desired_goal"][0, n]
        t, lane = divmod(int(steps.timestep.observation["observation"][0, n, 2]), LANES)
        if (goal == rows.extras["subgoal"][0][t, lane]).all():
            continue
        acts = actions_of(2, lane)[0]
        attempt = next(a.attempt for a in acts if a.start == t)
        assert (place[max(a.end for a in acts if a.attempt == attempt), lane] == goal).all()
        relabelled += 1
    assert relabelled > 50, relabelled


def test_actions_are_drawn_alike_however_long_they_lasted():
    """So are the goals of hindsight: one for each action of the attempt, beside the last."""
    length = lambda a: a.end - a.start  # noqa: E731
    rows = ROWS[2]
    found = [actions_of(2, lane)[1] for lane in range(LANES)]
    stored = [length(a) for acts in found for a in acts]
    place, drawn_lengths, goals, expected = rows.timestep.observation["observation"][..., :2], [], [], []
    for seed in range(8):
        steps = drawn(2, goals=2, seed=seed)[0][1]
        for n in np.flatnonzero(valid(steps)[0]):
            t, lane = divmod(int(steps.timestep.observation["observation"][0, n, 2]), LANES)
            action = next(a for a in found[lane] if a.start == t)
            drawn_lengths.append(length(action))
            goal = steps.timestep.observation["desired_goal"][0, n]
            same = [a for a in found[lane] if a.attempt == action.attempt]
            which = [a for a in same if (place[a.end, lane] == goal).all()]
            if len(which) == 1 and rows.timestep.step_type[same[-1].end, lane] == LAST:
                goals.append(length(which[0]))
                expected.append(np.mean([length(a) == H for a in same]) / 2 + (length(same[-1]) == H) / 2)
    longest, share = np.mean(np.equal(drawn_lengths, H)), np.mean(np.equal(stored, H))
    assert 0.05 < share < 0.5 and abs(longest - share) < 0.04, (longest, share)
    assert len(goals) > 500 and abs(np.mean(np.equal(goals, H)) - np.mean(expected)) < 0.04


def test_as_many_agents_as_levels():
    with pytest.raises(ValueError, match="there are 1 agents for 2 levels"):
        hac([walker(0.0)], LEVELS[2], 2)
