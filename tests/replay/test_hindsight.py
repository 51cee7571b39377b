"""Hindsight against plain histories: every goal comes from a row that the strategy allows, and rewards follow it."""

from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import replay
from agents.base import FIRST, LAST, valid
from replay.hindsight import Strategy
from tests.replay import model

ROWS, ADDED, BATCH = 24, 31, 256
STRATEGIES = Strategy.__args__


def reached(achieved, desired):
    return (achieved == desired).all(-1)


def reward_fn(achieved, desired):
    return reached(achieved, desired).astype(np.float32) - 1


def history(patterns):
    """Rows whose achieved goal says where they are, (time, lane); nobody ever wanted that."""
    steps = model.history(patterns, ADDED)
    where = steps.timestep.observation["vector"][..., :2]
    seen = {"observation": where, "achieved_goal": where, "desired_goal": np.full_like(where, -1)}
    return steps._replace(timestep=steps.timestep._replace(observation=seen))


def memory(strategy, k=4.0, length=1, horizon=ROWS, cut=None):
    return replay.mapped(
        replay.uniform(2 * ROWS, BATCH, length), replay.hindsight(strategy, k, reward_fn, horizon, cut)
    )


RUN = {
    strategy: jax.jit(
        lambda steps, k, key, strategy=strategy: (
            (m := memory(strategy, k, cut=reached)).sample(
                m.add(m.add(m.init(jax.tree.map(lambda x: x[0], steps)), jax.tree.map(lambda x: x[:20], steps)),
                      jax.tree.map(lambda x: x[20:], steps)), key
            )
        )
    )
    for strategy in STRATEGIES
}  # fmt: skip


def sampled(plain, steps, *relabels, key=None):
    """A sample of a replay of the last rows."""
    storage = replay.mapped(plain, *relabels) if relabels else plain

    def draw(steps, key):
        first = jax.tree.map(lambda x: x[0], steps)
        return storage.sample(storage.add(storage.init(first), jax.tree.map(lambda x: x[-ROWS:], steps)), key).steps

    draw = jax.jit(draw)
    return draw(steps, jax.random.key(0) if key is None else key)


def episode_of(steps, t, lane):
    """Times of the rows of the episode of (t, lane) that the ring still holds."""
    kind = steps.timestep.step_type[:, lane]
    first = max(s for s in range(t + 1) if kind[s] == FIRST or s == 0)
    after = [s for s in range(t + 1, ADDED) if kind[s] == FIRST]
    last = (after[0] if after else ADDED) - 1
    return list(range(max(first, ADDED - ROWS), last + 1))


def allowed(strategy, steps, t, lane):
    rows = episode_of(steps, t, lane)
    return {
        "future": [(s, lane) for s in rows if s > t],
        "final": [(rows[-1], lane)],
        "episode": [(s, lane) for s in rows],
        "random": [(s, b) for s in range(ADDED - ROWS, ADDED) for b in range(2)],
    }[strategy]


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(patterns=st.lists(model.episodes, min_size=2, max_size=2), seed=st.integers(0, 9))
def test_goals_come_from_the_rows_that_the_strategy_allows(strategy, patterns, seed):
    steps = history(patterns)
    drawn = jax.tree.map(np.asarray, RUN[strategy](steps, jnp.float32(np.inf), jax.random.key(seed)).steps)
    seen = drawn.timestep.observation
    times, lanes = seen["achieved_goal"][0].astype(int).T
    inside = np.asarray(valid(drawn))[0]
    for i, (t, lane) in enumerate(zip(times, lanes, strict=True)):
        goal = tuple(seen["desired_goal"][0, i].astype(int))
        assert goal == tuple(seen["desired_goal"][1, i].astype(int)), "one goal for a window"
        if not inside[i]:
            continue
        assert goal in allowed(strategy, steps, t, lane), (t, lane, goal)
        hit = goal == (t + 1, lane)
        assert drawn.timestep.reward[1, i] == hit - 1
        original = steps.timestep.discount[t + 1, lane]
        assert drawn.timestep.discount[1, i] == (0 if hit else original)
    jax.tree.map(np.testing.assert_array_equal, seen["observation"], seen["achieved_goal"])


@pytest.mark.parametrize("strategy", ["future", "episode", "random"])
def test_they_are_uniform_over_those_rows(strategy):
    steps = history([[(7, model.TRUNCATED)], [(5, model.TERMINATED)]])
    counts, times = Counter(), Counter()
    for seed in range(40):
        drawn = RUN[strategy](steps, jnp.float32(np.inf), jax.random.key(seed)).steps
        at = np.asarray(drawn.timestep.observation["achieved_goal"][0]).astype(int)
        goal = np.asarray(drawn.timestep.observation["desired_goal"][0]).astype(int)
        chosen = (at[:, 0] == 17) & (at[:, 1] == 0) | (strategy == "random")
        times[17] += chosen.sum()
        counts.update(map(tuple, goal[chosen].tolist()))
    expected = allowed(strategy, steps, 17, 0)
    assert set(counts) == set(expected)
    share = np.array([counts[row] for row in expected]) / times[17]
    error = np.sqrt(share.mean() / times[17])
    assert abs(share - 1 / len(expected)).max() < 4.5 * error, share


@pytest.mark.parametrize("k", [0.0, 1.0, 4.0])
def test_k_of_k_plus_one_are_relabelled(k):
    steps = history([[(6, model.TRUNCATED)]] * 2)
    drawn = [RUN["future"](steps, jnp.float32(k), jax.random.key(seed)).steps for seed in range(20)]
    inside = np.concatenate([np.asarray(valid(d))[0] for d in drawn])
    changed = np.concatenate([np.asarray(d.timestep.observation["desired_goal"][0, :, 0]) for d in drawn]) >= 0
    share, error = changed[inside].mean(), 4 * np.sqrt(0.25 / inside.sum())
    assert abs(share - k / (k + 1)) <= (error if k else 0)
    if not k:
        plain = replay.uniform(2 * ROWS, BATCH)
        same = sampled(plain, steps, replay.hindsight("future", 0, reward_fn, 9))
        first, _ = jax.random.split(jax.random.key(0))
        jax.tree.map(np.testing.assert_array_equal, same, sampled(plain, steps, key=first))


def test_an_end_that_only_the_old_goal_made_is_undone_and_the_new_goal_ends():
    steps = history([[(4, model.TERMINATED)]] * 2)
    wanted = steps.timestep.observation["desired_goal"]
    ended = steps.timestep.step_type == LAST
    wanted[ended] = steps.timestep.observation["achieved_goal"][ended]
    drawn = jax.tree.map(np.asarray, RUN["random"](steps, jnp.float32(np.inf), jax.random.key(0)).steps)
    inside = np.asarray(valid(drawn))[0]
    hit = reached(*(drawn.timestep.observation[name][1] for name in ("achieved_goal", "desired_goal")))
    assert hit.any() and (drawn.timestep.step_type[1] == LAST)[inside & ~hit].any()
    np.testing.assert_array_equal(drawn.timestep.discount[1][inside], np.where(hit, 0, 1)[inside])


def test_windows_of_several_transitions_have_one_goal_and_fold():
    """The three-step return ends where the new goal is reached."""
    steps = history([[(6, model.TRUNCATED)]] * 2)
    relabel = replay.hindsight("future", float("inf"), reward_fn, ROWS, reached)
    folded = sampled(replay.uniform(2 * ROWS, BATCH, 3), steps, relabel, replay.n_step(3, 0.5))
    seen = jax.tree.map(np.asarray, folded.timestep.observation)
    gap = (seen["desired_goal"][0] - seen["achieved_goal"][0])[:, 0]
    inside = np.asarray(valid(folded))[0]
    for i in np.flatnonzero(inside & (gap > 0)):
        short = gap[i] <= 3
        np.testing.assert_allclose(folded.timestep.discount[1, i] == 0, short)
        if short:
            np.testing.assert_allclose(folded.timestep.reward[1, i], -sum(0.5**j for j in range(int(gap[i]) - 1)))


def test_over_priorities():
    steps = history([[(6, model.TRUNCATED)]] * 2)
    relabel = replay.hindsight("final", float("inf"), reward_fn, 9)
    drawn = sampled(replay.prioritised(2 * ROWS, 64), steps, relabel)
    at, goal = (
        np.asarray(drawn.timestep.observation[f"{name}_goal"][0]).astype(int) for name in ("achieved", "desired")
    )
    inside = np.asarray(valid(drawn))[0]
    assert inside.sum() > len(inside) / 2
    for (t, lane), got in zip(at[inside], goal[inside], strict=True):
        assert tuple(got) == allowed("final", steps, t, lane)[0]


def test_impossible_arguments():
    with pytest.raises(ValueError, match="strategy is 'past'; allowed: future, final, episode, random"):
        replay.hindsight("past", 4, reward_fn, 10)
    with pytest.raises(ValueError, match="k is -1; it must be 0 or more"):
        replay.hindsight("future", -1, reward_fn, 10)
    with pytest.raises(ValueError, match="horizon is 0"):
        replay.hindsight("future", 4, reward_fn, 0)
    plain = model.history([[(3, model.TRUNCATED)]], 12)
    first = jax.tree.map(lambda x: x[0], plain)
    relabel = replay.hindsight("future", 4, reward_fn, 10)
    for storage, words in ((replay.uniform(12, 4), "a task with goals"), (replay.on_policy(4), "no ring")):
        made = replay.mapped(storage, relabel)
        with pytest.raises(ValueError, match=words):
            jax.eval_shape(made.sample, jax.eval_shape(made.init, first), jax.random.key(0))
