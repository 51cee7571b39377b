"""The door and the key: its rules against a plain model, its two tasks, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from envs import keys
from envs.tasks.door_key import FORWARD, LEFT, MOVES, PICK_UP, RIGHT, TOGGLE, door_key
from tests.envs.contract import check_environment, play

SIZE, LIMIT = 6, 300
INSIDE = SIZE - 2


def read(board):
    """What an observation says: place, facing, key (None while it is held), door, whether it is open."""
    parts = np.split(board, np.cumsum([INSIDE, INSIDE, 4, INSIDE, INSIDE, INSIDE, INSIDE]))
    row, column, facing, key_row, key_column, door_row, door_column = (int(x.argmax()) for x in parts[:7])
    held, is_open = parts[7]
    key = None if held else (key_row + 1, key_column + 1)
    assert parts[3].sum() == parts[4].sum() == 1 - held
    return (row + 1, column + 1), facing, key, (door_row + 1, door_column + 1), bool(is_open)


def stepped(place, facing, key, door, is_open, action):
    """One step of the plain model."""
    if action in (LEFT, RIGHT):
        return place, (facing + (1 if action == RIGHT else -1)) % 4, key, door, is_open
    ahead = tuple(int(x) for x in np.add(place, MOVES[facing]))
    inside = all(1 <= x <= INSIDE for x in ahead)
    free = inside and ahead != key and (ahead[1] != door[1] or (ahead == door and is_open))
    if action == FORWARD and free:
        place = ahead
    if action == PICK_UP and ahead == key:
        key = None
    if action == TOGGLE and ahead == door and key is None:
        is_open = not is_open
    return place, facing, key, door, is_open


def test_contract_and_registry():
    env = door_key(5, time_limit=40)
    check_environment(env)
    frame = env.render(env.reset(keys.key(0))[0])
    assert frame.dtype == jnp.uint8 and frame.shape == (80, 80, 3)
    check_environment(envs.make("bellmax/door-key", size=6, goals=2, time_limit=40))


def test_the_rules_are_those_of_a_plain_model():
    played = play(door_key(SIZE, 2, time_limit=LIMIT), steps=4000, lanes=4)
    observation, kinds = played.timestep.observation, played.timestep.step_type
    paid = missed = opened = 0
    for lane in range(4):
        t = 0
        for row in range(4000):
            now, after = (read(observation["board"][r, lane]) for r in (row, row + 1))
            if kinds[row + 1, lane] == 0:
                t = 0
                assert after[2] is not None and not after[4] and after[0][1] < after[3][1] and after[2][1] < after[3][1]
                assert after[3][0] > 1 and after[0] != after[2]
                continue
            t += 1
            task = observation["task"][row, lane]
            assert task == observation["task"][row + 1, lane]
            expected = stepped(*now, played.action[row, lane])
            assert after == expected
            right, wrong = (INSIDE, INSIDE), (1, INSIDE)
            right, wrong = (wrong, right) if task else (right, wrong)
            reward = 1 - 0.9 * t / LIMIT if after[0] == right else 0.0
            np.testing.assert_allclose(played.timestep.reward[row + 1, lane], reward, rtol=1e-5)
            assert (played.timestep.discount[row + 1, lane] == 0) == (after[0] in (right, wrong))
            paid, missed, opened = paid + (reward > 0), missed + (after[0] == wrong), opened + after[4]
    assert paid and missed and opened and set(np.unique(observation["task"])) == {0, 1}


def test_a_task_that_is_given_is_the_only_one():
    env = door_key(6, 2, task=1)
    found = jax.vmap(lambda key: env.reset(key)[1].observation["task"])(keys.split(keys.key(0), 16))
    np.testing.assert_array_equal(found, 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 4}, "size must be at least 5, got 4"),
        ({"time_limit": 0}, "time_limit must be at least 1, got 0"),
        ({"goals": 3}, "goals must be 1 or 2, got 3"),
        ({"task": 1}, "task must be from 0 to 0, got 1"),
    ],
)
def test_bad_arguments_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        door_key(**options)
