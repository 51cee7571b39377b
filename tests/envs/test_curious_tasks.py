"""The maze of rooms with a key, the noisy television and the arena: their rules against plain models."""

from collections import deque

import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from envs.tasks.arena import arena
from envs.tasks.key_maze import MOVES, key_maze, plan
from envs.tasks.noisy_tv import noisy_tv
from tests.envs.contract import check_environment, play

MAKERS = {
    "key_maze": lambda: key_maze(2, 3, time_limit=40),
    "noisy_tv": lambda: noisy_tv(4, "always", time_limit=40),
    "arena": lambda: arena(6, 2, 4, time_limit=40),
}


@pytest.mark.parametrize("name", MAKERS)
def test_contract(name):
    env = MAKERS[name]()
    check_environment(env)
    frame = env.render(env.reset(keys.key(0))[0])
    assert frame.dtype == jnp.uint8 and frame.ndim == 3


def shortest(rooms, size, with_key=True):
    """Steps to the goal by breadth-first search over cells and the key; None if there is no way."""
    places = plan(rooms, size)
    seen, queue = {(*places.start, False)}, deque([(*places.start, False, 0)])
    while queue:
        row, column, key, depth = queue.popleft()
        if (row, column) == places.goal:
            return depth
        for down, right in MOVES:
            cell = row + down, column + right
            held = key or (with_key and cell == places.key)
            if places.walls[cell] or (cell == places.door and not key) or (*cell, held) in seen:
                continue
            seen.add((*cell, held))
            queue.append((*cell, held, depth + 1))
    return None


@pytest.mark.parametrize(("rooms", "size"), [(2, 3), (3, 4), (4, 5)])
def test_the_goal_is_reached_with_the_key_alone(rooms, size):
    assert shortest(rooms, size, with_key=False) is None
    assert 2 * size <= shortest(rooms, size) < 200


def test_key_maze_against_a_plain_model():
    places, env = plan(2, 3), key_maze(2, 3, time_limit=60)
    played = play(env, steps=250, lanes=4)
    kinds, observation = played.timestep.step_type, played.timestep.observation
    held_at_end = 0
    for lane in range(4):
        row, column, key = *places.start, False
        for t in range(250):
            if kinds[t + 1, lane] == 0:
                row, column, key = *places.start, False
            else:
                cell = tuple(np.add((row, column), MOVES[played.action[t, lane]]))
                if not places.walls[cell] and (key or cell != places.door):
                    row, column = cell
                key = key or (row, column) == places.key
            expected = np.concatenate([np.eye(5)[row], np.eye(9)[column], [float(key)]])
            np.testing.assert_array_equal(observation[t + 1, lane], expected)
            won = (row, column) == places.goal
            assert played.timestep.reward[t + 1, lane] == won and (played.timestep.discount[t + 1, lane] == 0) == won
        held_at_end += key
    assert held_at_end


def test_the_television_changes_when_it_is_told_to():
    for kind, changes in (("off", lambda a: a != a), ("always", lambda a: a == a), ("remote", lambda a: a == 4)):
        played = play(noisy_tv(3, kind, pixels=4, time_limit=50), steps=100)
        screen = played.timestep.observation[..., 6:]
        within = played.timestep.step_type[1:] != 0
        changed = (screen[1:] != screen[:-1]).any(-1)
        np.testing.assert_array_equal(changed[within], changes(played.action)[within])


def test_the_object_follows_a_law_where_it_is_touched_and_is_out_of_sight_elsewhere():
    law: dict = {}
    played = play(arena(4, 2, 3, time_limit=60), steps=300)
    place, shape = played.timestep.observation[..., :4].argmax(-1), played.timestep.observation[..., 4:]
    touched = np.isin(place, (1, 2))  # the middle of four
    assert (shape.sum(-1) == touched).all()
    for t, lane in np.argwhere((played.timestep.step_type[1:] != 0) & touched[1:] & touched[:-1]):
        before = played.action[t, lane], shape[t, lane].argmax()
        assert law.setdefault(before, shape[t + 1, lane].argmax()) == shape[t + 1, lane].argmax()
    assert len(law) > 8


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: key_maze(1), "rooms must be at least 2, got 1"),
        (lambda: key_maze(reward="all"), "reward is 'all'; allowed: goal, none"),
        (lambda: key_maze(shown="all"), "shown is 'all'; allowed: one-hot, numbers"),
        (lambda: noisy_tv(television="on"), "television is 'on'; allowed: off, always, remote"),
        (lambda: arena(2, 2), "length must be above objects, 2, got 2"),
    ],
)
def test_bad_arguments_are_refused(make, told):
    with pytest.raises(ValueError, match=told):
        make()
