from typing import Any

import jax
import numpy as np
import pytest

from agents.base import FIRST, LAST, MID, TimeStep
from envs import text
from envs.adapters.envpool import channels_last, envpool
from envs.base import Box, Discrete, HostEnvironment, Pool
from envs.host import lane_seeds


def roll(pool: Pool, steps: int, act: Any = None) -> TimeStep:
    """Rows `[steps + 1, N]` of a pool under `act(rng)`, random by default, none of which later ones overwrite."""
    rng, space = np.random.default_rng(0), pool.spec.action
    if act is None and isinstance(space, Discrete):
        act = lambda rng: rng.integers(0, space.num, pool.num_envs)  # noqa: E731
    elif act is None:
        act = lambda rng: rng.uniform(-1, 1, (pool.num_envs, *space.shape))  # noqa: E731
    rows = [pool.reset()]
    seen = [jax.tree.map(np.copy, rows[0])]
    for _ in range(steps):
        pool.send(act(rng))
        rows.append(pool.recv())
        seen.append(jax.tree.map(np.copy, rows[-1]))
    jax.tree.map(np.testing.assert_array_equal, rows, seen)
    return jax.tree.map(lambda *x: np.stack(x), *rows)


def check(pool: Pool, rows: TimeStep, ends: bool = True) -> None:
    """Shapes, dtypes and the order of rows."""
    kind, reward, discount, observation = rows
    assert (kind.dtype, reward.dtype, discount.dtype) == (np.int8, np.float32, np.float32)
    assert kind.shape == reward.shape == discount.shape == (len(kind), pool.num_envs)
    is_space = lambda x: isinstance(x, Box | Discrete)  # noqa: E731
    shown = jax.tree.map(lambda x: (x.shape[1:], x.dtype), observation)
    promised = jax.tree.map(
        lambda s: ((pool.num_envs, *s.shape), np.dtype(s.dtype)), pool.spec.observation, is_leaf=is_space
    )
    assert shown == promised
    assert (kind[0] == FIRST).all()
    assert ((kind[:-1] == LAST) == (kind[1:] == FIRST)).all()
    assert (reward[kind == FIRST] == 0).all()
    assert (discount[kind == FIRST] == 1).all()
    assert np.isin(discount, (0, 1)).all()
    assert not ends or (kind == LAST).any()


def check_runs_share_a_pool(env: HostEnvironment, steps: int) -> None:
    """A run sees the same episodes alone and beside another one, which sees others."""
    space, rng = env.spec.action, np.random.default_rng(1)
    if isinstance(space, Discrete):
        actions = rng.integers(0, space.num, (steps, 2))
    else:
        actions = rng.uniform(-1, 1, (steps, 2, *space.shape))
    played = []
    for lanes, seed in ((4, [2, 3]), (2, [3]), (2, 3)):
        pool, mine = env.pool(lanes, seed), iter(actions)
        played.append(roll(pool, steps, lambda _, mine=mine, lanes=lanes: np.concatenate([next(mine)] * (lanes // 2))))
        pool.close()
    both, *alone = played
    for rows in alone:
        jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, 2:], y), both, rows)
    leaves = jax.tree.leaves(both.observation)
    assert any((x[:, :2] != x[:, 2:]).any() for x in leaves), "the runs must differ"
    with pytest.raises(ValueError, match="num_envs is 3; allowed: a multiple of 2"):
        env.pool(3, [0, 1])
    with pytest.raises(ValueError, match="seed is "):
        env.pool(2, [])


@pytest.mark.parametrize(
    ("id", "options", "steps"),
    [
        ("CartPole-v1", {}, 60),
        ("Catch-v0", {}, 30),
        ("Pong-v5", {"num_threads": 1, "max_episode_steps": 5, "repeat_action_probability": 0.25}, 12),
        ("HalfCheetah-v4", {"max_episode_steps": 5}, 14),
        ("CheetahRun-v1", {"max_episode_steps": 5}, 14),
        ("MiniGrid-MemoryS7-v0", {"max_episode_steps": 5}, 14),
    ],
)
def test_runs_share_a_pool(id: str, options: dict[str, Any], steps: int) -> None:
    check_runs_share_a_pool(envpool(id, **options), steps)


@pytest.mark.parametrize(
    ("id", "options", "steps"),
    [
        ("CartPole-v1", {}, 60),
        ("Pendulum-v1", {"max_episode_steps": 20}, 50),
        ("Catch-v0", {}, 30),
        ("MiniGrid-MemoryS7-v0", {"max_episode_steps": 20}, 50),
        ("Pong-v5", {"max_episode_steps": 12, "num_threads": 1}, 30),
        ("HalfCheetah-v4", {"max_episode_steps": 12}, 30),
        ("FetchReach-v4", {"max_episode_steps": 5}, 12),
        ("PointMaze_UMaze-v3", {"max_episode_steps": 12}, 30),
        ("CheetahRun-v1", {"max_episode_steps": 12}, 30),
        ("MetaWorld/Push-v3", {"max_episode_steps": 5}, 12),
        ("Maze-v0", {}, 110),
    ],
)
def test_rows(id: str, options: dict[str, Any], steps: int) -> None:
    env = envpool(id, **options)
    pool = env.pool(3, 0)
    rows = roll(pool, steps)
    check(pool, rows)
    kind, _, discount, _ = rows
    assert (discount[kind == MID] == 1).all()
    limit = options.get("max_episode_steps")
    assert env.spec.name == f"envpool/{id}"
    if limit is not None:
        assert env.spec.time_limit == limit
        if id != "MiniGrid-MemoryS7-v0":  # which may end before: the others run into their limit, all lanes at once
            assert (np.nonzero(kind == LAST)[0].reshape(-1, 3)[:, 0] == np.arange(limit, steps, limit + 1)).all()
            assert (discount == 1).all()
    pool.close()


def test_pendulum_is_truncated_at_its_own_limit() -> None:
    pool = envpool("Pendulum-v1").pool(2, 0)
    kind, reward, discount, observation = roll(pool, 403)
    assert (np.nonzero(kind[:, 0] == LAST)[0] == [200, 401]).all()
    assert (discount == 1).all()
    assert (reward[kind != FIRST] < 0).all()
    # The LAST row continues the motion of its episode, the FIRST row is somewhere else.
    velocity = observation[..., 2]
    assert (np.abs(velocity[200] - velocity[199]) < 1.3).all()
    assert not np.allclose(observation[201], observation[200], atol=1e-3)


def test_termination_on_the_last_allowed_step() -> None:
    push = lambda rng: np.ones(4, int)  # noqa: E731
    free = roll(envpool("CartPole-v1").pool(4, 3), 15, push)
    falls = np.argmax(free.step_type == LAST, axis=0)
    assert (free.discount[falls, range(4)] == 0).all()
    for limit in (falls[0], falls[0] - 1):
        env = envpool("CartPole-v1", max_episode_steps=int(limit))
        rows = roll(env.pool(4, 3), 30, push)
        check(env.pool(4, 3), rows)
        assert rows.step_type[limit, 0] == LAST
        assert rows.discount[limit, 0] == float(limit != falls[0])
        assert (rows.observation[: limit + 1, 0] == free.observation[: limit + 1, 0]).all()
        lengths = np.diff(np.nonzero(rows.step_type[:, 1] == FIRST)[0]) - 1
        assert (lengths <= limit).all()


def test_first_row_of_dm_control_has_no_reward() -> None:
    env = envpool("CheetahRun-v1", max_episode_steps=3)
    pool = env.pool(2, 0)
    rows = roll(pool, 8)
    check(pool, rows)
    assert set(env.spec.observation) == {"position", "velocity"}
    assert rows.reward[rows.step_type == MID].any()
    assert np.isneginf(env.spec.observation["position"].low).all()


def test_maze_is_truncated_unless_solved() -> None:
    env = envpool("Maze-v0", drop="action_mask")
    assert {"agent_position.row", "target_position.col"} < set(env.spec.observation)  # of one level
    pool = env.pool(96, 0)
    kind, reward, discount, observation = roll(pool, 110)
    assert "action_mask" not in observation
    ends = np.argmax(kind == LAST, axis=0)
    late = ends == 100
    assert (discount[ends[late], late] == 1).all()
    assert late.sum() > 60
    assert (discount[ends[~late], ~late] == 0).all()
    assert (reward[ends[~late], ~late] == 1).any()


def test_atari() -> None:
    options = {"num_threads": 1, "noop_max": 1}
    env = envpool("Breakout-v5", zero_discount_on_life_loss=True, **options)
    assert env.spec.observation == Box((84, 84, 4), 0, 255, np.uint8)
    pool = env.pool(3, 0)
    lost = roll(pool, 60)
    check(pool, lost, ends=False)
    assert (lost.step_type[1:] == MID).all()
    assert (lost.discount == 0).any(), "a life must be lost without an end"
    plain = roll(envpool("Breakout-v5", **options).pool(3, 0), 60)
    assert (plain.discount == 1).all()
    assert (plain.observation == lost.observation).all()
    # Newest frame last, and the others follow from it.
    assert (lost.observation[6:, ..., 2] == lost.observation[5:-1, ..., 3]).all()
    assert lost.observation[5].flags.c_contiguous
    frame = pool.frame()
    assert (frame.shape, frame.dtype) == ((210, 160, 3), np.uint8)
    assert env.spec.action == Discrete(4)
    assert envpool("Breakout-v5", full_action_space=True).spec.action == Discrete(18)
    assert envpool("Pong-v5", stack_num=1).spec.observation.shape == (84, 84, 1)


def test_atari_game_over() -> None:
    pool = envpool("Breakout-v5", num_threads=1, frame_skip=12).pool(3, 0)
    rows = roll(pool, 150)
    check(pool, rows)
    assert (rows.discount[rows.step_type == LAST] == 0).all()
    assert (rows.discount[rows.step_type != LAST] == 1).all()


@pytest.mark.parametrize("channels", [1, 3, 4, 12])
def test_channels_last(channels: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, channels, 5, 6), np.uint8)
    moved = channels_last(images)
    assert moved.flags.c_contiguous
    assert (moved == np.moveaxis(images, 1, -1)).all()


def test_seeds_share_no_lane() -> None:
    many = np.concatenate([lane_seeds(seed, 512) for seed in (*range(64), 10**6)])
    assert len(np.unique(many)) == len(many)
    assert len(np.unique(lane_seeds([0, 1], 2 * 5000))) == 2 * 5000  # also where a run has very many
    env = envpool("HalfCheetah-v4")
    starts = [env.pool(8, seed).reset().observation for seed in (0, 1, 2)]
    assert len(np.unique(np.concatenate(starts), axis=0)) == 24
    assert (env.pool(8, 1).reset().observation == starts[1]).all()
    assert lane_seeds(2**40, 2).dtype == np.uint32


def test_actions() -> None:
    env = envpool("Pendulum-v1")
    wild, tame = (roll(env.pool(2, 0), 5, lambda _, a=a: np.full((2, 1), a)) for a in (50.0, 2.0))
    assert (wild.observation == tame.observation).all()
    assert (wild.reward == tame.reward).all()
    pool = envpool("HalfCheetah-v4").pool(2, 0)
    assert pool.spec.action == Box((6,), -1.0, 1.0)
    pool.reset()
    pool.send(jax.numpy.zeros((2, 6)))  # a read-only float32 array on the device
    assert (pool.recv().step_type == MID).all()
    with pytest.raises(ValueError, match=r"shape \(2, 5\); allowed: \(2, 6\)"):
        pool.send(np.zeros((2, 5)))


def test_restart() -> None:
    pool = envpool("CartPole-v1").pool(2, 0)
    roll(pool, 7)
    assert (pool.reset().step_type == FIRST).all()


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("Pong-v4", {}, "unknown envpool task 'Pong-v4'; closest: Pong-v5"),
        ("CartPole-v1", {"stack_num": 4}, "no option 'stack_num'; allowed: num_threads, max_episode_steps"),
        ("Pong-v5", {"stack_num": "four"}, "stack_num is 'four'; allowed: int"),
        ("Pong-v5", {"seed": 3}, "no option 'seed'"),
        ("Pong-v5", {"task": "breakout"}, "no option 'task'"),
        ("Pendulum-v1", {"max_episode_steps": 0}, "max_episode_steps is 0; allowed: 1 or more"),
        ("Catch-v0", {"max_episode_steps": 4}, "no option 'max_episode_steps'"),
        ("Pendulum-v1", {"num_threads": -1}, "num_threads is -1"),
        ("MiniGrid-MemoryS7-v0", {"drop": "vision"}, "direction.*image.*mission"),
        ("ConnectFour-v1", {}, "2 players"),
        ("RobotWarehouse-v0", {}, "composite actions"),
    ],
)
def test_refusals(id: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        envpool(id, **options)


def test_minigrids_cells_are_one_hot() -> None:
    """What a cell holds is a number of a kind and no brightness, which a network would take it for."""
    images = []
    for options in ({}, {"one_hot": False}):
        env = envpool("MiniGrid-MemoryS7-v0", **options)
        images.append(env.pool(3, 0).reset().observation["image"])
        assert images[-1].shape[1:] == env.spec.observation["image"].shape
        assert images[-1].dtype == env.spec.observation["image"].dtype == np.uint8
    hot, numbers = images
    parts = np.split(hot, [11, 17], axis=-1)
    for i, part in enumerate(parts):
        assert (part.sum(-1) == 255).all() and part.max() == 255
        np.testing.assert_array_equal(part.argmax(-1), numbers[..., i])


def test_bad_pools() -> None:
    env = envpool("CartPole-v1")
    with pytest.raises(ValueError, match="num_envs is 0"):
        env.pool(0, 0)
    with pytest.raises(ValueError, match="seed is -1"):
        env.pool(1, -1)
    with pytest.raises(ValueError, match="cannot be drawn"):
        envpool("Catch-v0").pool(1, 0).frame()


def test_missions_are_read_as_words() -> None:
    """The numbers of a mission's words say what its letters do."""
    plain, read = (envpool("BabyAI-PutNextLocalS5N3-v0", drop="image", words=words) for words in (0, 12))
    pools = [env.pool(3, 5) for env in (plain, read)]
    (letters, told), known = [pool.reset().observation["mission"] for pool in pools], read.spec.vocabulary
    assert known is not None and known.entry == "mission" and told.shape == (3, 12) and told.dtype == np.int32
    for letter, line in zip(letters, told, strict=True):
        assert text.decode(known, line) == bytes(letter).split(b"\0")[0].decode()
    assert read.spec.observation["mission"] == Box((12,), 0, len(known.words) - 1, np.int32)
    for pool in pools:
        pool.close()
    short = envpool("BabyAI-PutNextLocalS5N3-v0", words=2).pool(1, 5)
    assert text.decode(known, short.reset().observation["mission"][0]).split()[0] == "put"
    short.close()


@pytest.mark.parametrize(("id", "options"), [("CartPole-v1", {}), ("MiniGrid-MemoryS7-v0", {"drop": "mission"})])
def test_only_missions_have_words(id: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="words is 5; allowed: 0, or more where the observation has a mission"):
        envpool(id, words=5, **options)
