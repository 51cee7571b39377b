"""The chain of six states, and the subgoals of it and of the maze with a key."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from envs.tasks.key_maze import key_maze, plan
from envs.tasks.six_states import six_states
from tests.envs.contract import check_environment, play

ENV = six_states()


def test_it_is_an_environment_that_can_be_drawn():
    check_environment(ENV)
    state, _ = ENV.reset(keys.key(0))
    assert len(np.unique(np.asarray(ENV.render(state)).reshape(-1, 3), axis=0)) == 4


def returns_of(env, policy, steps=3_000):
    kind, reward, _, seen = play(env, steps=steps, lanes=16, policy=policy).timestep
    ended = kind == 2
    return reward[ended], kind, seen


def test_right_pays_what_the_paper_says_and_left_nearly_nothing():
    """Always right is as good as can be, since the visit is all that counts: 0.2 + 0.8 * 0.01."""
    right, kind, seen = returns_of(ENV, lambda t: jnp.ones(t.reward.shape, jnp.int32))
    assert set(np.unique(right).tolist()) <= {0.0, np.float32(0.01), 1.0}
    assert 0.17 < right.mean() < 0.245
    left, *_ = returns_of(ENV, lambda t: jnp.zeros(t.reward.shape, jnp.int32), 100)
    np.testing.assert_allclose(left, 0.01)
    assert (seen[kind == 0] == 1).all() and seen.max() == 5


def test_the_far_end_has_to_be_visited():
    sure = six_states(success=1.0)
    state, row = sure.reset(keys.key(0))
    for action in (1, 1, 1, 1, 0, 0, 0, 0, 0):
        assert row.reward == 0.0
        state, row = sure.step(state, action)
    assert row.reward == 1.0 and row.discount == 0.0


def test_outcomes_on_the_chain():
    told = ENV.spec.subgoals
    of = lambda goal, after: tuple(bool(x) for x in told.outcome(jnp.int32(2), jnp.int32(goal), jnp.int32(after)))  # noqa: E731
    assert of(3, 3) == (True, True) and of(3, 2) == (False, False)
    assert of(3, 0) == (True, False), "the episode ended, and not at the goal"
    assert of(0, 0) == (True, True)
    assert int(told.action(jnp.int32(2), jnp.int32(5))) == 1 and int(told.action(jnp.int32(2), jnp.int32(0))) == 0


@pytest.mark.parametrize(("rooms", "size", "shown"), [(2, 2, "one-hot"), (3, 3, "numbers"), (4, 5, "one-hot")])
def test_the_teacher_of_the_maze_walks_a_shortest_way(rooms, size, shown):
    """Each subgoal of its is reached, and the whole takes as many steps as the shortest way does."""
    env = key_maze(rooms, size, shown=shown)
    told = env.spec.subgoals
    state, row = env.reset(keys.key(0))
    step = jax.jit(lambda s, a: env.step(s, a))
    choose = jax.jit(lambda seen: (told.right(seen), told.action(seen, told.right(seen))))
    outcome = jax.jit(told.outcome)
    reached, steps = [], 0
    while not row.last():
        goal, action = choose(row.observation)
        state, after = step(state, action)
        over, there = outcome(row.observation, goal, after.observation)
        if there:
            reached.append(int(goal))
        assert bool(over) == bool(there) or bool(after.last())
        row, steps = after, steps + 1
    doors = rooms - 1
    expected = [*range(min(1, rooms - 2)), doors, *range(min(1, rooms - 2), doors), doors + 1]
    assert reached == expected and float(row.reward) == 1.0 and bool(told.solved(row.observation))
    assert steps == shortest(rooms, size)


def shortest(rooms: int, size: int) -> int:
    """Steps from the start by the key to the goal, by search over cells and the key."""
    places = plan(rooms, size)
    edge, far, steps = {(*places.start, False)}, set(), 0
    while True:
        far |= edge
        if any(cell[:2] == places.goal for cell in edge):
            return steps
        ahead = set()
        for row, column, key in edge:
            for y, x in ((-1, 0), (1, 0), (0, -1), (0, 1)):
                cell = row + y, column + x
                if not places.walls[cell] and (cell != places.door or key):
                    ahead.add((*cell, key or cell == places.key))
        edge, steps = ahead - far, steps + 1


def test_the_place_as_numbers():
    env = key_maze(2, 3, shown="numbers")
    check_environment(env)
    _, row = env.reset(keys.key(0))
    np.testing.assert_allclose(row.observation, [1 / 4, 1 / 4, 0])


def test_a_maze_without_a_goal_has_no_subgoals():
    assert key_maze(reward="none").spec.subgoals is None


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"success": 1.5}, r"six_states: success must be in \[0, 1\], got 1.5"),
        ({"time_limit": 0}, "six_states: time_limit must be at least 1, got 0"),
    ],
)
def test_refusals(options, told):
    with pytest.raises(ValueError, match=told):
        six_states(**options)
