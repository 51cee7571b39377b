"""The grid with signs: moves, pay, what signs say, which goals are held out, and bad input."""

import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys
from envs.tasks.sign_grid import DIGITS, HEIGHT, MOVES, WIDTH, cells, sign_grid, signed
from tests.envs.contract import check_environment, play

SIZE = 5


def test_contract():
    env = sign_grid(SIZE, time_limit=12)
    check_environment(env)
    frame = env.render(env.reset(keys.key(0))[0])
    assert frame.dtype == jnp.uint8 and frame.ndim == 3


def test_the_rules_are_those_of_a_plain_model():
    played = play(sign_grid(SIZE, time_limit=12), steps=150, lanes=3)
    told, kinds = played.timestep.observation, played.timestep.step_type
    for t, lane in np.ndindex(150, 3):
        place, goal = told["achieved_goal"][t + 1, lane], told["desired_goal"][t + 1, lane]
        picture = np.zeros((SIZE, SIZE))
        picture[tuple(place.astype(int))] = 1
        np.testing.assert_array_equal(told["observation"][t + 1, lane], picture)
        if kinds[t + 1, lane] == 0:
            continue
        before = told["achieved_goal"][t, lane]
        np.testing.assert_array_equal(place, np.clip(before + MOVES[played.action[t, lane]], 0, SIZE - 1))
        np.testing.assert_array_equal(told["sign"][t, lane], told["sign"][t + 1, lane])
        assert (
            played.timestep.reward[t + 1, lane] == (place == goal).all() and played.timestep.discount[t + 1, lane] == 1
        )
    assert played.timestep.reward.any()


def test_a_sign_shows_the_digits_of_row_and_column_somewhere():
    font = np.array([[[c == "#" for c in row] for row in digit] for digit in DIGITS], float)
    for seed, goal in enumerate([(0, 1), (7, 4), (9, 9)]):
        sign = np.asarray(signed(keys.key(seed), jnp.array(goal), 0.0))
        assert sign.shape == (HEIGHT, WIDTH)
        sign = sign / sign.max()
        for half, digit in zip((sign[:, :5], sign[:, 5:]), goal, strict=True):
            windows = [half[i : i + 5, j : j + 3] for i in range(3) for j in range(3)]
            assert any((window == font[digit]).all() for window in windows) and half.sum() == font[digit].sum()


def test_goals_are_seen_or_held_out_and_every_digit_is_seen_on_either_half():
    for size in (5, 6, 10):
        seen, held, every = ({tuple(cell) for cell in cells(size, which)} for which in ("seen", "held", "all"))
        assert seen | held == every and not seen & held and 0.15 <= len(held) / len(every) <= 0.25
        for half in range(2):
            assert {cell[half] for cell in seen} == set(range(size))
    for goals in ("seen", "held"):
        drawn = play(sign_grid(SIZE, goals, time_limit=3), steps=100).timestep.observation["desired_goal"]
        assert {tuple(cell) for cell in drawn.reshape(-1, 2).astype(int)} <= {tuple(c) for c in cells(SIZE, goals)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 2}, "size must be from 3 to 10, got 2"),
        ({"size": 11}, "size must be from 3 to 10, got 11"),
        ({"goals": "none"}, "goals is 'none'; allowed: seen, held, all"),
        ({"noise": -1.0}, "noise must not be negative, got -1.0"),
        ({"time_limit": 0}, "time_limit must be at least 1, got 0"),
    ],
)
def test_bad_arguments_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        sign_grid(**options)
