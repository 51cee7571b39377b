"""The ant mazes: floor plans, what is observed and paid, auto-reset, and that threads change nothing."""

import numpy as np
import pytest

import envs
from agents.base import FIRST, LAST, MID
from envs.tasks.ant_maze import CELL, HEIGHT, NAMES, TASKS, TORQUE, _boxes, _joined
from envs.tasks.gather import Gather


def roll(pool, steps, seed=0, scale=1.0):
    rng = np.random.default_rng(seed)
    rows = [pool.reset()]
    for _ in range(steps):
        pool.send(rng.uniform(-TORQUE, TORQUE, (pool.num_envs, 8)) * scale)
        rows.append(pool.recv())
    return rows


@pytest.mark.parametrize("id", NAMES)
def test_rows(id):
    env = envs.make(f"mujoco/{id}", time_limit=7)
    pool = env.pool(3, 0)
    rows = roll(pool, 20)
    kind = np.array([row.step_type for row in rows])
    reward, discount = (np.array([getattr(row, name) for row in rows]) for name in ("reward", "discount"))
    seen = rows[0].observation
    assert {name: x.shape[1:] for name, x in seen.items()} == {
        n: tuple(b.shape) for n, b in env.spec.observation.items()
    }
    assert all(x.dtype == np.float32 for x in seen.values())
    assert (kind[0] == FIRST).all() and (reward[kind == FIRST] == 0).all() and (discount[kind != LAST] == 1).all()
    np.testing.assert_array_equal(kind[:-1] == LAST, kind[1:] == FIRST)
    if id != "AntGather":
        assert (np.flatnonzero(kind[:, 0] == LAST) == [7, 15]).all() and (discount == 1).all()
        for row in rows[1:]:
            far = np.linalg.norm(row.observation["achieved_goal"] - row.observation["desired_goal"], axis=1)
            np.testing.assert_allclose(row.reward, np.where(row.step_type == FIRST, 0, -far), rtol=1e-4)
            np.testing.assert_allclose(row.observation["achieved_goal"][:, :2], row.observation["observation"][:, :2])
    clock = np.array([row.observation["observation"][:, -1] for row in rows])
    np.testing.assert_allclose(clock[:8, 0] * 1000, np.arange(8), atol=1e-4)
    frame = pool.frame()
    assert frame.dtype == np.uint8 and frame.shape[0] % 2 == 0 and len(np.unique(frame.reshape(-1, 3), axis=0)) > 3
    pool.close()


def test_threads_and_neighbours_change_nothing():
    env, one = (envs.make("mujoco/AntPush", time_limit=9, num_threads=n) for n in (2, 1))
    pools = [env.pool(4, [3, 5]), one.pool(4, [3, 5])]
    both, again = (roll(pool, 12) for pool in pools)
    for row, same in zip(both, again, strict=True):
        np.testing.assert_array_equal(row.observation["observation"], same.observation["observation"])
    alone = one.pool(2, 5)
    np.testing.assert_array_equal(alone.reset().observation["observation"], both[0].observation["observation"][2:])
    for pool in (*pools, alone):
        pool.close()


def test_floor_plans():
    """Centres of cells relative to the ant, and every goal in a free one."""
    for task in TASKS.values():
        solid = [(c, h) for kind, c, h in _boxes(task) if kind == "wall"]
        goal = np.array(task.target[:2])
        assert not any((np.abs(goal - c[:2]) < h[:2]).all() for c, h in solid)
        assert not any((np.abs(c[:2]) < h[:2]).all() for c, h in solid), "the ant starts free"
    walls = {tuple(c[:2]) for kind, c, _ in _boxes(TASKS["AntMaze"]) if kind == "wall"}
    assert {(0.0, 8.0), (8.0, 8.0)} <= walls and (16.0, 8.0) not in walls
    (block,) = [c for kind, c, _ in _boxes(TASKS["AntPush"]) if kind == "block"]
    assert block.tolist() == [0, CELL, HEIGHT / 2]
    fall = _boxes(TASKS["AntFall"])
    (block,) = [c for kind, c, _ in fall if kind == "block"]
    assert block.tolist() == [8, 8, HEIGHT * 1.5]
    assert not any((c[:2] == [0, 16]).all() for _, c, _ in fall), "nothing bridges the chasm yet"


def test_fewer_boxes_fill_the_same_space():
    points = np.random.default_rng(0).uniform([-12, -12, 0], [24, 36, 8], (2000, 3))
    for task in TASKS.values():
        cells, boxes = _boxes(task), _joined(_boxes(task))
        assert len(boxes) <= len(cells) / 2
        filled = [
            {kind: [any((np.abs(p - c) < h).all() for k, c, h in solids if k == kind) for p in points]
             for kind in ("wall", "floor", "block")}
            for solids in (cells, boxes)
        ]  # fmt: skip
        assert filled[0] == filled[1]


def place(pool, lanes, x, y, vx=0.0, vy=0.0, z=None):
    """Puts the ant somewhere with a speed."""
    state, nq = lanes.state, lanes.model.nq
    state[:, 1], state[:, 2], state[:, 1 + nq], state[:, 2 + nq] = x, y, vx, vy
    if z is not None:
        state[:, 3] = z
    return pool


def lanes_of(pool):
    return pool.reset.__self__


def test_walls_stop_the_ant_and_blocks_give_way():
    maze = envs.make("mujoco/AntMaze").pool(1, 0)
    maze.reset()
    place(maze, lanes_of(maze), 0.0, 2.0, vy=8.0)
    for _ in range(20):
        maze.send(np.zeros((1, 8)))
        row = maze.recv()
    assert row.observation["observation"][0, 1] < CELL / 2
    push = envs.make("mujoco/AntPush").pool(1, 0)
    push.reset()
    lanes = lanes_of(push)
    place(push, lanes, 0.0, 2.5, vy=8.0)
    for _ in range(20):
        push.send(np.zeros((1, 8)))
        push.recv()
    moved = lanes.state[0, 1 + 15 : 1 + lanes.model.nq]
    assert moved[1] > 0.1 and abs(moved[0]) < 1.0
    for pool in (maze, push):
        pool.close()


def test_the_platform_of_ant_fall_carries_and_the_chasm_does_not():
    fall = envs.make("mujoco/AntFall").pool(2, 0)
    fall.reset()
    lanes = lanes_of(fall)
    lanes.state[1, 1:3] = [0.0, 16.0]
    for _ in range(25):
        fall.send(np.zeros((2, 8)))
        row = fall.recv()
    z = row.observation["observation"][:, 2]
    assert 4.2 < z[0] < 5.0 and z[1] < 1.2
    assert abs(lanes.state[0, 1 + 15 : 1 + lanes.model.nq]).max() < 0.05, "the block rests where it was put"
    fall.close()


def test_a_fallen_gatherer_is_terminated():
    pool = envs.make("mujoco/AntGather").pool(2, 0)
    pool.reset()
    place(pool, lanes_of(pool), 0.0, 0.0)
    lanes_of(pool).state[0, 3] = 2.5
    pool.send(np.zeros((2, 8)))
    row = pool.recv()
    assert row.step_type.tolist() == [LAST, MID] and row.discount.tolist() == [0, 1]
    assert row.reward.tolist() == [-10, 0]
    pool.send(np.zeros((2, 8)))
    assert pool.recv().step_type.tolist() == [FIRST, MID]
    pool.close()


def test_the_last_thing_that_is_collected_ends_the_episode():
    pool = envs.make("mujoco/AntGather").pool(2, 0)
    pool.reset()
    lanes = lanes_of(pool)
    lanes.left[:, 1:], lanes.items[:, 0] = False, [[0.5, 0.0], [6.0, 0.0]]  # an apple each, within reach of one ant
    pool.send(np.zeros((2, 8)))
    row = pool.recv()
    assert row.reward.tolist() == [1, 0] and row.step_type.tolist() == [LAST, MID] and row.discount.tolist() == [0, 1]
    pool.send(np.zeros((2, 8)))
    row = pool.recv()
    assert row.reward.tolist() == [0, 0] and row.step_type.tolist() == [FIRST, MID] and row.discount.tolist() == [1, 1]
    assert lanes.left.sum(1).tolist() == [16, 1]
    pool.close()


def test_apples_and_bombs():
    world = Gather()
    rng = np.random.default_rng(0)
    items = np.stack([world.scatter(rng) for _ in range(50)])
    assert all(len(np.unique(x, axis=0)) == 16 for x in items) and (np.linalg.norm(items, axis=-1) >= 2).all()
    even = {(x, y) for x in range(-6, 5, 2) for y in range(-6, 5, 2)} - {(0, 0)}  # rllab's places
    assert {tuple(place) for place in items.reshape(-1, 2)} == even and len(even) == 35
    qpos = np.zeros((1, 15))
    qpos[:, 3] = 1
    items = np.full((1, 16, 2), 50.0)
    items[0, 0], items[0, 1], items[0, 8], items[0, 9] = (3, 0.1), (4.5, 0.1), (0.1, -1.5), (-2, 1)
    left = np.ones((1, 16), bool)
    sensed = world.sense(qpos, items, left)[0]
    assert np.flatnonzero(sensed).tolist() == [5, 10], "the bomb behind is out of view"
    np.testing.assert_allclose(sensed[[5, 10]], [1 - np.hypot(3, 0.1) / 6, 1 - np.hypot(0.1, 1.5) / 6])
    turned = qpos.copy()
    turned[:, 3], turned[:, 6] = np.sqrt(0.5), -np.sqrt(0.5)  # a quarter to the right: apples to the left, bomb ahead
    assert np.flatnonzero(world.sense(turned, items, left)[0]).tolist() == [15]
    items[0, 0], items[0, 8] = (0.5, 0), (0, 0.5)
    reward, after = world.collect(qpos, items, left)
    assert reward.tolist() == [0] and after.sum() == 14
    items[0, 8] = (9, 9)
    assert world.collect(qpos, items, left)[0].tolist() == [1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"goal": "near"}, "goal is 'near'; allowed: any, far"),
        ({"time_limit": 0}, "time_limit is 0"),
        ({"reward": "x"}, "reward is 'x'"),
    ],
)
def test_bad_options(options, words):
    with pytest.raises(ValueError, match=words):
        envs.make("mujoco/AntMaze", **options)
    with pytest.raises(ValueError, match="unknown mujoco task 'AntMazes'; closest: AntMaze"):
        envs.make("mujoco/AntMazes")
