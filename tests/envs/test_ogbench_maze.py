"""OGBench's point mazes: the physics against MuJoCo, the ways against a plain search, tasks, data, films."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import FIRST, LAST
from envs.experts import expert_of
from envs.tasks import ogbench_maze as maze
from experiments import collect
from tests.envs.contract import check_environment, play

OGBENCH = """<mujoco><compiler inertiafromgeom="true" angle="degree"/><option timestep="0.02" integrator="RK4"/>
<default><joint limited="false" armature="0" damping="0"/>
<geom condim="3" conaffinity="0" margin="0" friction="1 0.5 0.5" density="100"/></default>
<worldbody><geom name="floor" size="100 100 .2" type="plane" conaffinity="1"/>{}<body name="torso">
<geom name="disc" type="sphere" size="0.7" pos="0 0 0.7"/>
<joint name="x" type="slide" axis="1 0 0"/><joint name="y" type="slide" axis="0 1 0"/></body></worldbody></mujoco>"""
BOX = '<geom pos="{} {} 1" size="2 2 1" type="box" contype="1" conaffinity="1"/>'


def test_contract_and_rewards():
    env = maze.medium(task=3, time_limit=25)
    played = check_environment(env, steps=80)
    kind, reward, discount, seen = played.timestep
    reached = np.asarray(env.spec.goals.reached(seen["achieved_goal"], seen["desired_goal"]))
    moved = kind != FIRST
    np.testing.assert_array_equal(reached[moved], reward[moved] == 1)
    np.testing.assert_array_equal(reached[moved], discount[moved] == 0)


def test_discs_move_and_are_pushed_back_as_in_mujoco():
    mujoco = pytest.importorskip("mujoco")
    plan = maze.walls("medium")
    boxes = "".join(BOX.format(*maze.centre(cell)) for cell in np.argwhere(plan))
    model = mujoco.MjModel.from_xml_string(OGBENCH.format(boxes))
    data = mujoco.MjData(model)
    rng = np.random.default_rng(0)
    position = maze.centre(np.array([1, 1]))
    before, moves, after = [], [], []
    lean = rng.normal(size=(50, 2))
    for t in range(1000):
        move = (0.2 * np.clip(lean[t // 20] + rng.normal(0, 0.5, 2), -1, 1)).astype(np.float32)
        mujoco.mj_resetData(model, data)
        data.qpos[:] = position + move
        mujoco.mj_step(model, data, nstep=5)
        before.append(position)
        moves.append(move)
        position = data.qpos.astype(np.float32)
        after.append(position)
    start, step, end = map(np.stack, (before, moves, after))
    found = jax.jit(jax.vmap(maze.moved, (None, 0, 0)))(*map(jnp.asarray, (plan, start, step)))
    apart = np.linalg.norm(np.asarray(found) - end, axis=-1)
    touched = np.linalg.norm(start + step - end, axis=-1) > 1e-3
    assert 0.2 < touched.mean() < 0.9
    np.testing.assert_allclose(apart[~touched], 0, atol=1e-5)
    # At faces and corners to a thousandth; where two walls meet, contacts push against each other in MuJoCo.
    assert np.median(apart[touched]) < 1e-3 and apart.max() < 0.1 and apart.mean() < 0.01


@pytest.mark.parametrize("layout", maze.LAYOUTS)
def test_the_oracle_goes_to_the_next_cell_of_a_shortest_way(layout):
    plan = maze.walls(layout)
    for goal in maze.free(layout)[::7]:
        far, queue = {tuple(goal): 0}, deque([tuple(goal)])
        while queue:
            i, j = queue.popleft()
            for cell in ((i - 1, j), (i, j - 1), (i + 1, j), (i, j + 1)):
                if not plan[cell] and cell not in far:
                    far[cell] = far[i, j] + 1
                    queue.append(cell)
        assert len(far) == len(maze.free(layout))
        for cell, steps in far.items():
            start = maze.centre(np.array(cell))
            towards = np.asarray(maze.direction(layout, jnp.asarray(start), jnp.asarray(maze.centre(goal))))
            there = tuple(np.asarray(maze.cell_of(jnp.asarray(start + 4 * towards))).tolist())
            assert far[there] == max(steps - 1, 0) and not plan[there]
    for task in maze.TASKS[layout]:
        assert not any(plan[cell] for cell in task)


def test_straight_pieces_of_corridors_are_no_goals_of_data():
    assert len(maze.free("medium")) == 26 and len(maze.free("large")) == 46
    assert [3, 2] in maze.crossings("medium").tolist() and [5, 1] not in maze.crossings("medium").tolist()


def test_starts_and_goals_are_the_benchmarks_and_the_expert_reaches_them():
    env = envs.make("bellmax/pointmaze-medium")
    expert = expert_of("bellmax/pointmaze-medium").act

    def episode(key):
        state, first = env.reset(key)

        def body(carry, _):
            state, timestep = carry
            state, after = env.step(state, expert(timestep.observation))
            return (state, after), after

        return first, jax.lax.scan(body, (state, first), None, 220)[1]

    first, rows = jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(0), 40))
    start, goal = (np.asarray(first.observation[name]) for name in ("observation", "desired_goal"))
    cells = lambda at: [tuple(cell) for cell in np.asarray(maze.cell_of(jnp.asarray(at))).tolist()]  # noqa: E731
    assert set(zip(cells(start), cells(goal), strict=True)) == set(maze.TASKS["medium"])
    assert (np.asarray(rows.reward).max(axis=1) == 1).mean() > 0.6  # without noise some hold still out of its reach
    only = envs.make("bellmax/pointmaze-medium", task=2)
    seen = jax.vmap(lambda key: only.reset(key)[1].observation["desired_goal"])(jax.random.split(jax.random.key(1), 8))
    assert set(cells(seen)) == {(1, 6)}


def test_data_walks_from_goal_to_goal(tmp_path):
    options = ("goal=walk", "time_limit=300")
    flags = {"env": "bellmax/pointmaze-medium", "env_options": options, "noise": 0.5, "episodes": 8, "num_envs": 8}
    data = collect.collect(collect.Config(out=str(tmp_path / "a.npz"), policy="expert", **flags))
    assert data.episodes == 8 and (np.diff(data.begins) == 301).all()
    seen, kind = data.rows.timestep.observation, data.rows.timestep.step_type
    goal, position = seen["desired_goal"], seen["observation"]
    changed = (goal[1:] != goal[:-1]).any(-1) & (kind[1:] != FIRST)
    near = np.linalg.norm(position - goal, axis=-1) <= maze.REACHED
    np.testing.assert_array_equal(changed, near[:-1] & (kind[:-1] != LAST))
    assert changed.sum() > 8 and np.abs(data.rows.action).max() <= 1
    cell = np.asarray(maze.cell_of(jnp.asarray(position)))
    assert not maze.walls("medium")[cell[:, 0], cell[:, 1]].any()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"goal": "far"}, "goal is 'far'; allowed: tasks, walk"),
        ({"task": 6}, "task is 6; allowed: 0, and with goal=tasks 1 to 5"),
        ({"task": 1, "goal": "walk"}, "task is 1; allowed: 0"),
        ({"time_limit": 0}, "time_limit must be at least 1, got 0"),
        ({"reward": "much"}, "reward is 'much'"),
    ],
)
def test_bad_arguments(options, words):
    with pytest.raises(ValueError, match=words):
        envs.make("bellmax/pointmaze-large", **options)


def test_it_can_be_filmed():
    env = envs.make("bellmax/pointmaze-large")
    frame = np.asarray(jax.jit(lambda key: env.render(env.reset(key)[0]))(jax.random.key(0)))
    assert frame.shape == (288, 384, 3) and len(np.unique(frame.reshape(-1, 3), axis=0)) == 4
    played = play(env, steps=3, lanes=2)
    assert played.timestep.observation["observation"].shape == (4, 2, 2)
