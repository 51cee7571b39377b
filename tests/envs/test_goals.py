"""Tasks with goals: their rules against plain models, and rewards that can be computed anew for any goal."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import FIRST, LAST
from envs import experts, goals
from envs.base import Discrete
from envs.tasks import four_rooms as rooms
from envs.tasks import point_maze
from envs.tasks.bit_flip import bit_flip
from envs.tasks.drifting_worker import drifting_worker
from envs.tasks.steps_to_goal import exact, integer_line, point_mass
from tests.envs.contract import check_environment, play

TASKS = {
    "bit_flip": lambda: bit_flip(4),
    "bit_flip_endless": lambda: bit_flip(3, terminates=False),
    "four_rooms": lambda: rooms.four_rooms(slip=0.3, time_limit=20),
    "four_rooms_switch": lambda: rooms.four_rooms("doorway", switch=2, time_limit=9, reward="cost"),
    "point_maze": lambda: point_maze.point_maze("medium", goal="any", start="any", speed=0.8, time_limit=20),
    "point_maze_that_ends": lambda: point_maze.point_maze(goal="any", start="any", ends=True, time_limit=20),
    "drifting_worker": lambda: drifting_worker(switch=5),
    "integer_line": lambda: integer_line(4, time_limit=9),
    "point_mass": lambda: point_mass(4, time_limit=9),
}


@pytest.mark.parametrize("name", TASKS)
def test_contract_and_rewards(name):
    env = TASKS[name]()
    played = check_environment(env)
    kind, reward, discount, seen = played.timestep
    again = env.spec.goals
    moved = kind != FIRST
    for convert in (np.asarray, jnp.asarray):
        achieved, desired = (convert(seen[f"{which}_goal"]) for which in ("achieved", "desired"))
        np.testing.assert_allclose(np.asarray(again.reward(achieved, desired))[moved], reward[moved], atol=1e-6)
    if again.terminates:
        np.testing.assert_array_equal(np.asarray(again.reached(achieved, desired))[moved], discount[moved] == 0)
        assert name != "point_maze_that_ends" or 0 < np.mean(discount[moved] == 0) < 1
    goal = seen["desired_goal"].reshape(*kind.shape, -1)
    changed = (goal[1:] != goal[:-1]).any(-1)
    assert not changed[kind[1:] != FIRST].any(), "a goal must stay for its episode"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("FetchReach-v4", {"max_episode_steps": 10}),
        ("FetchReachDense-v4", {"max_episode_steps": 10}),
        ("PointMaze_UMaze-v3", {"max_episode_steps": 40}),
        ("PointMaze_UMazeDense-v3", {"max_episode_steps": 40}),
        ("HandReach-v3", {"max_episode_steps": 5}),
    ],
)
def test_rewards_of_envpool_can_be_computed_anew(name, options):
    env = envs.make(f"envpool/{name}", **options)
    pool = env.pool(4, 0)
    row = pool.reset()
    rng = np.random.default_rng(0)
    paid = []
    for _ in range(60):
        action = rng.uniform(-1, 1, (4, *env.spec.action.shape))
        if "Maze" in name:
            action = row.observation["desired_goal"] - row.observation["achieved_goal"]
        pool.send(action.astype(np.float32))
        row = pool.recv()
        seen, moved = row.observation, row.step_type != FIRST
        anew = env.spec.goals.reward(seen["achieved_goal"], seen["desired_goal"])
        np.testing.assert_allclose(anew[moved], row.reward[moved], atol=1e-5)
        paid += row.reward[moved].tolist()
    assert len(set(paid)) > 1 or not name.startswith("FetchReach")
    pool.close()


def test_tasks_without_goals_say_so():
    assert envs.make("bellmax/catch").spec.goals is None
    assert envs.make("envpool/CartPole-v1").spec.goals is None


def test_bits_flip_one_at_a_time():
    kind, _, _, seen = (played := play(bit_flip(6), steps=60)).timestep
    word = seen["observation"]
    for t, b in zip(*np.nonzero(kind[1:] != FIRST), strict=True):
        assert np.flatnonzero(word[t + 1, b] != word[t, b]).tolist() == [played.action[t, b]]


def test_the_map_has_104_cells_and_four_doorways():
    free = rooms.cells()
    assert len(free) == 104 and len(rooms.cells(2)) == 416
    assert free[62].tolist() == [7, 9]  # the goal of option-critic's task
    far = rooms.distances()
    assert (far == far.T).all() and far[0, 103] == 20 and far.max() == 20
    adjacent = rooms.neighbours()
    assert (np.abs(free[adjacent] - free[:, None]).sum(-1) <= 1).all()


def test_the_goal_moves_after_so_many_episodes_and_stays_there():
    env = rooms.four_rooms("doorway", switch=3, time_limit=4)
    kind, _, _, seen = play(env, steps=60, lanes=24).timestep
    free = rooms.cells()
    later = set()
    for lane in range(24):
        goal = seen["desired_goal"][kind[:, lane] == FIRST, lane]
        assert goal[:3].tolist() == [62] * 3
        assert len(goal) > 9 and len(set(goal[3:].tolist())) == 1
        assert all(r > 7 and c > 6 for r, c in free[goal[3:]])
        later |= set(goal[3:].tolist())
    assert len(later) > 10


def test_the_expert_of_the_point_mass_is_at_the_goal_when_episodes_end():
    played = play(
        point_mass(4, time_limit=9), steps=60, lanes=8, policy=lambda row: experts.point_mass(row.observation)
    )
    seen, last = played.timestep.observation, played.timestep.step_type == LAST
    away = np.abs(seen["observation"] - seen["desired_goal"]).max(-1)
    assert last.sum() > 30 and away[last].max() < 1e-5 < away[played.timestep.step_type == FIRST].max()
    assert experts.expert_of("bellmax/point-mass") is experts.EXPERTS["point-mass"]


def test_a_goal_that_is_not_told_is_not_seen():
    env = rooms.four_rooms("doorway", switch=1, told=False, time_limit=6)
    check_environment(env, steps=20)
    seen = play(env, steps=20, lanes=2).timestep
    assert env.spec.observation == Discrete(104) and env.spec.goals is None
    assert seen.observation.dtype == np.int32 and seen.observation.shape == (21, 2)


def test_slips_go_to_a_neighbour_of_where_the_move_led():
    played = play(rooms.four_rooms(slip=1 / 3, time_limit=30), steps=400, lanes=8)
    kind, cell = played.timestep.step_type, played.timestep.observation["observation"]
    adjacent = rooms.neighbours()
    before, after = cell[:-1][kind[1:] != FIRST], cell[1:][kind[1:] != FIRST]
    meant = adjacent[before, played.action[kind[1:] != FIRST]]
    slipped = after != meant
    assert (adjacent[meant[slipped]] == after[slipped, None]).any(1).all()
    assert not slipped[meant == before].any()
    assert abs(slipped[meant != before].mean() - 1 / 3) < 0.04


@pytest.mark.parametrize("layout", point_maze.LAYOUTS)
def test_far_goals_can_be_reached_and_are_far(layout):
    blocked = point_maze.floor_plan(layout)
    assert blocked[0].all() and blocked[-1].all() and blocked[:, 0].all() and blocked[:, -1].all()
    start, goal = (tuple(point_maze.place(layout, mark).astype(int).tolist()) for mark in "SG")
    steps, queue = {start: 0}, deque([start])
    while queue:
        x, y = queue.popleft()
        for cell in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if not blocked[cell] and cell not in steps:
                steps[cell] = steps[x, y] + 1
                queue.append(cell)
    assert len(steps) == (~blocked).sum(), "every free cell can be reached"
    assert steps[goal] >= 2 * np.linalg.norm(np.subtract(start, goal)) or layout == "medium"
    assert steps[goal] / 0.2 < 0.75 * point_maze.LIMITS[layout]


def test_points_slide_along_walls_and_never_enter_them():
    blocked = jnp.asarray(point_maze.floor_plan("u"))
    position = jnp.array([1.5, 1.9])
    slid = point_maze.slide(blocked, position, jnp.array([0.2, 0.2]))
    np.testing.assert_allclose(slid, [1.7, 2 - point_maze.MARGIN], atol=1e-6)
    played = play(point_maze.point_maze("spiral", start="any", speed=0.85), steps=300, lanes=8)
    cell = np.floor(played.timestep.observation["observation"]).astype(int)
    assert not np.asarray(point_maze.floor_plan("spiral"))[cell[..., 0], cell[..., 1]].any()


def test_the_worker_gets_better():
    kind, _, _, seen = play(
        drifting_worker(switch=8), steps=40, lanes=4, policy=lambda t: jnp.full((4, 1), 2.0)
    ).timestep
    ends = [seen["observation"][kind[:, lane] == LAST, lane, 0] for lane in range(4)]
    for reached in ends:
        np.testing.assert_allclose(reached[:8], 2 * (1 - 0.95**10), atol=0.15)
        np.testing.assert_allclose(reached[8:], 2 * (1 - 0.75**10), atol=0.15)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: bit_flip(0), "bits must be at least 1, got 0"),
        (lambda: rooms.four_rooms("moon"), "goal is 'moon'; allowed: any, doorway, room, corner"),
        (lambda: rooms.four_rooms(slip=2), "slip must be in"),
        (lambda: rooms.four_rooms(switch=-1), "switch is -1; allowed: 0 or more"),
        (lambda: rooms.four_rooms(reward="distance"), "reward is 'distance'; allowed: cost, bonus"),
        (lambda: point_maze.point_maze("maze"), "layout is 'maze'; allowed: u, medium, spiral"),
        (lambda: point_maze.point_maze(reward="much"), "reward is 'much'; allowed: cost, bonus"),
        (lambda: point_maze.point_maze(speed=1.0), "speed must be in"),
        (lambda: goals.near(1.0, "much"), "reward is 'much'"),
        (lambda: drifting_worker(steps=0), "steps must be at least 1"),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("name", ["bit-flip", "four-rooms", "point-maze"])
def test_tasks_can_be_drawn(name):
    env = envs.make(f"bellmax/{name}")
    frame = jax.jit(lambda key: env.render(env.reset(key)[0]))(jax.random.key(0))
    assert frame.dtype == jnp.uint8 and len(np.unique(np.asarray(frame).reshape(-1, 3), axis=0)) > 2


def test_the_exact_values_of_the_integer_line():
    """By dynamic programming over places, goals and horizons, where no wall is near."""
    places = np.arange(-20, 21)
    value = -np.abs(places[:, None] - places[None]).astype(float)  # of a place, for a goal, with no step to go
    for tau in range(4):
        for action in (-1, 0, 1):
            for place in (-3, 0, 5):
                for goal in (-4, 0, 2, 7):
                    told = exact(*(jnp.array([[float(x)]]) for x in (place, action, goal)), jnp.array([tau]))
                    assert told[0, 0] == value[place + action + 20, goal + 20]
        value = np.stack([np.roll(value, step, 0) for step in (-1, 0, 1)]).max(0)
