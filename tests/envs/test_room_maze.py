"""The maze of rooms: the contract, its doors, what its teacher knows, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs import keys, wrappers
from envs.tasks import room_maze
from envs.tasks.room_maze import MOVES, STAY, doors, neighbour, routes
from tests.envs.contract import check_environment, play

ENV = room_maze.room_maze(map_seed=3)


def test_it_is_an_environment_that_can_be_drawn():
    check_environment(ENV)
    state, _ = ENV.reset(keys.key(0))
    frame = np.asarray(ENV.render(state))
    assert frame.shape == (170, 170, 3) and len(np.unique(frame.reshape(-1, 3), axis=0)) == 4


@pytest.mark.parametrize("seed", range(20))
def test_all_rooms_are_connected_and_doors_have_two_sides(seed):
    found, leave = doors(seed), routes(doors(seed))
    for room, side in np.argwhere(found):
        assert found[neighbour(room, side), side ^ 1]
    assert found.sum() // 2 >= 15 and (leave[np.arange(16), np.arange(16)] == STAY).all()
    for start in range(16):
        for goal in range(16):
            room, steps = start, 0
            while room != goal:
                assert found[room, leave[room, goal]]
                room, steps = neighbour(room, leave[room, goal]), steps + 1
            assert steps <= 15


def taught(timestep):
    act = lambda seen: ENV.spec.subgoals.action(seen, ENV.spec.subgoals.right(seen))  # noqa: E731
    return jax.vmap(act)(timestep.observation)


def test_the_teacher_solves_it_and_its_steps_are_moves_of_the_maze():
    played = play(ENV, steps=300, lanes=8, policy=taught)
    kind, reward, discount, seen = played.timestep
    ended = kind == 2
    assert ended.sum() > 50 and (discount[ended] == 0).mean() > 0.98
    np.testing.assert_allclose(reward[ended & (discount == 0)], 0.99, rtol=1e-6)
    assert ((seen[..., 0] == seen[..., 2]) & (seen[..., 1] == seen[..., 3]) == (discount == 0)).all()
    place = 3 * (seen[..., 0] // 4) + seen[..., 1] // 3, 3 * (seen[..., 0] % 4) + seen[..., 1] % 3
    moved = sum(np.abs(np.diff(x, axis=0)) for x in place)[kind[1:] != 0]
    assert moved.max() == 1
    away = np.array(MOVES)[played.action]
    went = np.stack([np.diff(x, axis=0) for x in place], -1)
    assert 0.9 < (went == away).all(-1)[kind[1:] != 0].mean() < 0.95  # a tenth slips, a quarter of that as it meant to


def test_outcomes_and_keys():
    told = ENV.spec.subgoals
    found = doors(3)
    room, side = np.argwhere(found)[0]
    other = neighbour(room, side)
    goal = (room + 5) % 16
    before = jnp.array([room, 4, goal, 2, 0, 1, 2, 0])
    after = before.at[0].set(other)
    assert [bool(x) for x in told.outcome(before, side, after)] == [True, True]
    assert [bool(x) for x in told.outcome(before, side ^ 1, after)] == [True, False]
    assert [bool(x) for x in told.outcome(before, side, before.at[1].set(5))] == [False, False]
    home = before.at[0].set(goal)
    assert [bool(x) for x in told.outcome(home, STAY, home.at[1].set(2))] == [True, True]
    assert int(told.right(home)) == STAY
    for keys_, arguments in ((told.high, (before,)), (told.low, (before, side)), (told.whole.low, (before, 0))):
        for key, size in zip(keys_.of(*arguments), keys_.sizes, strict=True):
            assert 0 <= int(key) < size
    seen = [jnp.array([15, 8, 14, 8, 3, 3, 3, 3]), jnp.array([14, 8, 14, 8, 2, 2, 2, 2])]
    assert all(int(told.low.of(x, STAY)[0]) < told.low.sizes[0] for x in seen)
    assert all(int(told.whole.low.of(x, 0)[0]) < told.whole.low.sizes[0] for x in seen)


def test_giving_up_ends_the_episode():
    env = room_maze.room_maze(give_up=True)
    assert env.spec.action.num == 5 and env.spec.subgoals.give_up == 4
    state, first = env.reset(keys.key(1))
    _, last = env.step(state, jnp.int32(4))
    assert last.last() and last.discount == 0 and float(last.reward) == pytest.approx(-0.01)
    assert (last.observation == first.observation).all()


def test_wrappers_that_change_what_is_seen_drop_the_subgoals():
    assert wrappers.action_repeat(ENV, 2).spec.subgoals is None
    assert wrappers.time_limit(ENV, 20).spec.subgoals is ENV.spec.subgoals


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match=r"room_maze: slip must be in \[0, 1\], got 2"):
        room_maze.room_maze(slip=2)
    with pytest.raises(ValueError, match="room_maze: time_limit must be at least 1, got 0"):
        room_maze.room_maze(time_limit=0)
