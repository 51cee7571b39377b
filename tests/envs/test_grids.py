"""Sokoban, MiniPacman, the mazes and the swing-up: their rules against plain models, and levels that can be solved."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import FIRST, LAST, MID
from envs import keys
from envs.base import EpisodeState
from envs.tasks import dyna_maze, grid, minipacman, sokoban, sokoban_levels, swingup
from tests.envs.contract import check_environment

BOXOBAN = """; 0
#####
#@$.#
#####

; 1
######
#.@ ##
#$ $.#
#  ###
######
"""


def solve(board, most=300_000):
    """Steps of a shortest solution by breadth-first search over (player, boxes); None if there is none."""
    size = board.shape[1]
    walls, goals, boxes = ({int(i) for i in np.flatnonzero(board & bit)} for bit in (1, 2, 4))
    start = (int(np.flatnonzero(board & 8)[0]), frozenset(boxes))
    seen, queue = {start}, deque([(start, 0)])
    while queue and len(seen) < most:
        (player, boxes), depth = queue.popleft()
        if boxes == goals:
            return depth
        for step in (-size, size, -1, 1):
            ahead, moved = player + step, boxes
            if ahead in walls:
                continue
            if ahead in boxes:
                if ahead + step in walls or ahead + step in boxes:
                    continue
                moved = boxes - {ahead} | {ahead + step}
            state = (ahead, moved)
            if state not in seen:
                seen.add(state)
                queue.append((state, depth + 1))
    return None


@pytest.mark.parametrize(("size", "boxes", "fewest"), [(7, 2, 1), (5, 1, None), (9, 3, 2)])
def test_levels_made_in_reverse_can_be_solved(size, boxes, fewest):
    made = sokoban_levels.generate(40, size, boxes, fewest, seed=1)
    assert made.shape == (40, size, size)
    assert len(np.unique(made, axis=0)) > 30
    counts = (made & sokoban_levels.BOX != 0).sum((1, 2))
    assert set(counts) == set(range(fewest or boxes, boxes + 1))
    for i, level in enumerate(made):
        sokoban_levels.check(level, f"level {i}")
    steps = [solve(level) for level in made]
    assert None not in steps and min(steps) > 0
    assert np.median(steps) >= 2 * size - 9, steps  # not only levels that are solved by one push
    np.testing.assert_array_equal(made, sokoban_levels.generate.__wrapped__(40, size, boxes, fewest, seed=1))


def test_levels_of_any_size_and_number_of_boxes():
    for boxes in (4, 7):
        made = sokoban_levels.generate(20, 10, boxes, seed=2)
        assert ((made & sokoban_levels.BOX != 0).sum((1, 2)) == boxes).all()
    with pytest.raises(ValueError, match="no room for 40 boxes"):
        sokoban_levels.generate(1, 7, 40)
    with pytest.raises(ValueError, match="size 4"):
        sokoban_levels.generate(1, 4, 1)


def test_levels_are_read_from_boxobans_files(tmp_path):
    (tmp_path / "train").mkdir()
    (tmp_path / "train" / "000.txt").write_text(BOXOBAN)
    (tmp_path / "train" / "001.txt").write_text("; 0\n#####\n#+$ #\n#  *#\n#####\n")
    found = sokoban_levels.read(str(tmp_path))
    assert found.shape == (3, 5, 6)
    assert [solve(level) for level in found] == [1, 6, None]
    np.testing.assert_array_equal(found[0, :3, :5], [[1] * 5, [1, 8, 4, 2, 1], [1] * 5])
    assert (found[0, 3:] == 1).all() and (found[0, :, 5] == 1).all()
    np.testing.assert_array_equal(found[2, 1:3, :5], [[1, 10, 4, 0, 1], [1, 0, 0, 6, 1]])
    assert len(sokoban_levels.read(str(tmp_path / "train" / "000.txt"))) == 2
    assert len(sokoban_levels.read(str(tmp_path), 1)) == 1
    env = envs.make("bellmax/sokoban", levels=str(tmp_path))
    assert env.spec.observation.shape == (5, 6, 7)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no level in it"),
        ("#####\n#@$.#\n##x##", "000.txt: symbol 'x'"),
        ("#####\n#@$.#\n## ##", "level 0 has a gap"),
        ("#####\n# $.#\n#####", "level 0 has 0 players, 1 boxes and 1 targets"),
        ("#####\n#@* #\n#####", "level 0 is solved at the start"),
    ],
)
def test_levels_that_cannot_be_played_are_refused(tmp_path, text, message):
    (tmp_path / "000.txt").write_text(text)
    with pytest.raises(ValueError, match=message):
        envs.make("bellmax/sokoban", levels=str(tmp_path))


def pushed(board, player, step):
    """Sokoban in plain Python on lists of bits: board, player, reward, solved."""
    board, ahead, beyond = board.copy(), player + step, player + 2 * step
    reward = -0.1
    if board[ahead] & 1 or (board[ahead] & 4 and board[beyond] & 5):
        ahead = player
    elif board[ahead] & 4:
        board[ahead] -= 4
        board[beyond] += 4
        reward += (board[beyond] & 2 > 0) - float(board[ahead] & 2 > 0)
    done = all(cell & 6 != 4 for cell in board)
    return board, ahead, reward + 10 * done, done


def test_sokobans_rules():
    env = sokoban.sokoban(6, 2, fewest=1, num_levels=50, noop=True, time_limit=40)
    played = check_environment(env, steps=150, lanes=16)
    kind, reward, discount, observation = played.timestep
    solved = 0
    for lane in range(16):
        for t in range(150):
            if kind[t + 1, lane] == FIRST:
                continue
            before = jax.tree.map(np.asarray, sokoban_restore(observation[t, lane]))
            step = [-6, 6, -1, 1, 0][played.action[t, lane]]
            board, player, paid, done = pushed(before.board.ravel().astype(int), int(before.player), step)
            after = sokoban_restore(observation[t + 1, lane])
            np.testing.assert_array_equal(after.board.ravel(), board)
            assert after.player == player
            np.testing.assert_allclose(reward[t + 1, lane], paid, atol=1e-5)
            assert (discount[t + 1, lane] == 0) == done
            solved += done
    assert solved > 0
    assert set(np.unique(observation.sum(-1))) == {1}


sokoban_restore = jax.jit(sokoban.restore)


def test_sokoban_restores_what_it_shows():
    env = sokoban.sokoban(7, 2, num_levels=30)
    state, timestep = jax.vmap(env.reset)(jax.random.split(jax.random.key(0), 20))
    again = jax.vmap(sokoban.restore)(timestep.observation)
    jax.tree.map(np.testing.assert_array_equal, state.inner, again)
    assert not sokoban.solved(timestep.observation).any()


def test_sokoban_in_pixels():
    symbols = sokoban.sokoban(10, 4, num_levels=5)
    env = sokoban.sokoban(10, 4, num_levels=5, observation="pixels")
    assert env.spec.observation.shape == (80, 80, 3)
    key = jax.random.key(3)
    state, timestep = env.reset(key)
    kinds = np.argmax(symbols.reset(key)[1].observation, -1)
    for row, column in np.ndindex(10, 10):
        sprite = timestep.observation[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        np.testing.assert_array_equal(sprite, sokoban.SPRITES[kinds[row, column]])
    assert len(np.unique(sokoban.SPRITES.reshape(7, -1), axis=0)) == 7
    assert env.render(state).shape == (320, 320, 3)


def test_sokoban_refuses_bad_options():
    for options, message in (
        ({"observation": "text"}, "allowed: symbolic, pixels"),
        ({"time_limit": 0}, "time_limit must be at least 1"),
        ({"levels": "/nowhere"}, "no level in it"),
    ):
        with pytest.raises(ValueError, match=message):
            envs.make("bellmax/sokoban", **options)


def cell(row, column):
    return int(minipacman.INDEX[row, column])


def world(man, ghosts=(), ways=(), pills=(), power=0, level=1, timer=0, food=True, lanes=1):
    """States of MiniPacman, all alike, of 12 ghosts."""
    fill = [minipacman.NUM] * 12
    state = minipacman.State(
        man=jnp.int32(man),
        food=jnp.where(food, minipacman.FULL, np.uint32(0)),
        pills=jnp.array([*pills, *fill][:2], jnp.int32),
        ghosts=jnp.array([*ghosts, *fill][:12], jnp.int32),
        ways=jnp.array([*ways, *[0] * 12][:12], jnp.int32),
        power=jnp.int32(power),
        level=jnp.int32(level),
        timer=jnp.int32(timer),
    )
    return jax.tree.map(lambda x: jnp.broadcast_to(x, (lanes, *x.shape)), state)


def begun(inner):
    lanes = inner.man.shape[0]
    return EpisodeState(
        inner, jax.random.split(jax.random.key(0), lanes), jnp.zeros(lanes, int), jnp.zeros(lanes, bool)
    )


STAY, RIGHT, UP, LEFT, DOWN = range(5)
STEPS = {task: jax.jit(jax.vmap(minipacman.minipacman(task).step)) for task in minipacman.TASKS}


def step(task, inner, action):
    state, timestep = STEPS[task](begun(inner), jnp.full(inner.man.shape, action))
    return state.inner, timestep


def test_minipacmans_maze():
    assert minipacman.NUM == 138
    assert minipacman.EXITS.sum() % 2 == 0
    for way in range(4):
        there = minipacman.NEXT[:, way]
        back = minipacman.NEXT[there, (way + 2) % 4]
        assert (back[minipacman.EXITS[:, way]] == np.arange(138)[minipacman.EXITS[:, way]]).all()


@pytest.mark.parametrize("task", ["regular", "avoid"])
def test_minipacman_contract(task):
    observation = "rgb" if task == "regular" else "symbolic"
    played = check_environment(minipacman.minipacman(task, observation, frame_cap=200), steps=400, lanes=8)
    if observation == "rgb":
        colours = {tuple(colour) for colour in played.timestep.observation.reshape(-1, 3)}
        assert colours <= {tuple(colour) for colour in minipacman.PALETTE}


def test_minipacman_moves_and_eats():
    # Food, pills and steps are paid; walls stop the man; one pill a step.
    pays = {"regular": 1.0, "avoid": 0.0, "hunt": 0.0, "ambush": -0.1, "rush": -0.1}
    pill = {"regular": 2.0, "avoid": -5.0, "hunt": 1.0, "ambush": 0.0, "rush": 10.0}
    corner, beside = cell(1, 1), cell(1, 2)
    for task in minipacman.TASKS:
        after, timestep = step(task, world(corner, pills=(beside, beside)), RIGHT)
        np.testing.assert_allclose(timestep.reward[0], pays[task] + pill[task], atol=1e-6)
        assert after.man[0] == beside and after.power[0] == 20 and not (after.food[0] & minipacman.BITS[beside]).any()
        assert sorted(after.pills[0].tolist()) == [beside, minipacman.NUM]
        after, _ = step(task, world(corner, pills=(beside,)), UP)
        assert after.man[0] == corner
    for action, there in ((STAY, (3, 6)), (RIGHT, (3, 7)), (UP, (3, 6)), (LEFT, (3, 5)), (DOWN, (3, 6))):
        assert step("hunt", world(cell(3, 6)), action)[0].man[0] == cell(*there)


@pytest.mark.parametrize(
    ("task", "paid"), [("regular", 0), ("avoid", -20), ("hunt", -20), ("ambush", -20), ("rush", 0)]
)
def test_minipacman_dies_of_a_ghost(task, paid):
    man = cell(3, 6)
    inner = world(man, ghosts=(cell(3, 7), cell(3, 7)), ways=(2, 2), food=False)
    _, timestep = step(task, inner, RIGHT)
    assert timestep.step_type[0] == LAST and timestep.discount[0] == 0
    np.testing.assert_allclose(timestep.reward[0], paid + (0.1 if task == "avoid" else 0), atol=1e-5)


def test_minipacman_eats_one_ghost_a_step_and_hunting_ends_the_level():
    man, there = cell(3, 6), cell(3, 7)
    after, timestep = step("hunt", world(man, ghosts=(there, there), power=5), RIGHT)
    assert timestep.reward[0] == 10 and timestep.step_type[0] == MID
    assert (after.ghosts[0] < minipacman.NUM).sum() == 1 and after.level[0] == 1
    after, timestep = step("hunt", world(man, ghosts=(there,), power=5, level=2), RIGHT)
    assert timestep.reward[0] == 10 and after.level[0] == 3
    assert (after.ghosts[0] < minipacman.NUM).sum() == 2 and after.power[0] == 0
    assert (after.food[0] == minipacman.FULL).all()
    # The power of a step is what is left after it: with 1 the ghost is not edible any more.
    assert step("hunt", world(man, ghosts=(there,), power=1), RIGHT)[1].reward[0] == -20


def test_minipacmans_levels():
    man = cell(3, 6)
    last = world(man, food=False)
    last = last._replace(food=last.food | minipacman.BITS[None, cell(3, 7)])
    assert step("regular", last, RIGHT)[0].level[0] == 2
    assert step("hunt", last, RIGHT)[0].level[0] == 1
    assert step("rush", world(man, pills=(cell(3, 7),)), RIGHT)[0].level[0] == 2
    assert step("avoid", world(man, timer=127), STAY)[0].level[0] == 2
    assert step("avoid", world(man, timer=126), STAY)[0].level[0] == 1


def test_minipacmans_ghosts():
    lanes = 4000
    # In a corridor it goes on, half of the time; a quarter when edible.
    for power, speed, level in ((0, 0.5, 1), (9, 0.25, 1), (0, 0.8, 4)):
        after, _ = step("hunt", world(cell(13, 13), (cell(3, 8),), (0,), power=power, level=level, lanes=lanes), STAY)
        moved = np.asarray(after.ghosts[:, 0])
        assert set(moved) == {cell(3, 8), cell(3, 9)}
        assert abs((moved == cell(3, 9)).mean() - speed) < 0.03
    # At a junction it turns to the man, and in 1 of 20 anywhere but back.
    after, _ = step("hunt", world(cell(5, 5), (cell(3, 5),), (0,), lanes=lanes), STAY)
    moved = np.asarray(after.ghosts[:, 0])[np.asarray(after.ghosts[:, 0]) != cell(3, 5)]
    assert set(moved) == {cell(4, 5), cell(2, 5), cell(3, 6)}
    assert abs((moved == cell(4, 5)).mean() - (0.95 + 0.05 / 3)) < 0.01
    # Edible ones flee, never at random, nor back.
    after, _ = step("hunt", world(cell(1, 13), (cell(3, 13),), (0,), power=9, lanes=500), STAY)
    moved = set(np.asarray(after.ghosts[:, 0])) - {cell(3, 13)}
    assert moved == {cell(4, 13)}
    # At a bend it turns: (1, 1) is left downwards by whoever comes from the right.
    after, _ = step("hunt", world(cell(13, 13), (cell(1, 1),), (2,), lanes=500), STAY)
    assert set(np.asarray(after.ghosts[:, 0])) == {cell(1, 1), cell(2, 1)}


def test_minipacman_starts():
    env = minipacman.minipacman("hunt")
    inner = jax.jit(jax.vmap(env.reset))(jax.random.split(jax.random.key(1), 3000))[0].inner
    man, ghost = minipacman.CELLS[inner.man], minipacman.CELLS[inner.ghosts[:, 0]]
    offset = ghost - man
    assert ((abs(offset + 0.5) > 5).any(1)).all()
    assert (inner.ghosts[:, 1:] == minipacman.NUM).all()
    assert len(np.unique(inner.man)) == 138 and len(np.unique(inner.pills)) == 138


def test_minipacmans_rules_go_on_from_a_frame():
    """From what a frame shows they arrive at the same next frame, unless a guess about the ghosts was wrong."""
    env = minipacman.minipacman("hunt", most_ghosts=3)
    rules = env.spec.rules

    def both(key):
        k_start, k_walk, k_step = jax.random.split(key, 3)
        walk = jax.random.randint(k_walk, (9,), 0, 5)
        state, steps = jax.lax.scan(env.step, env.reset(k_start)[0], walk)
        frame = steps.observation[-1]
        shown = rules.restore(frame)
        ends = [rules.transition(k_step, inner, walk[0]) for inner in (state.inner, shown)]
        (true, said), paid, over = zip(*ends, strict=True)
        return rules.observe(shown) == frame, rules.observe(true) == rules.observe(said), *paid, *over

    checked = jax.jit(jax.vmap(both))(jax.random.split(keys.key(1), 512))
    shown, same, paid, promised, over, ended = map(np.asarray, checked)
    assert shown.all() and (paid != 0).any()
    assert same.all((1, 2, 3)).mean() > 0.85
    assert (paid == promised).mean() > 0.98 and (over == ended).mean() > 0.98


def test_minipacman_shows_power_in_the_ghosts():
    ghost = (3, 9)
    inner = jax.tree.map(lambda x: x[0], world(cell(3, 6), (cell(*ghost),), power=5, pills=(cell(5, 9),)))
    planes = np.asarray(minipacman._planes(inner))
    np.testing.assert_allclose(planes[ghost], [0, 1, 0, 0.75, 0.25, 0])
    np.testing.assert_array_equal(planes[5, 9], [0, 1, 0, 0, 0, 1])
    np.testing.assert_array_equal(planes[..., 0], minipacman.MAZE)
    colours = np.asarray(minipacman._colours(inner))
    assert colours[ghost].tolist() == [255, 64, 0] and colours[3, 6].tolist() == [0, 255, 0]
    assert colours[5, 9].tolist() == [0, 255, 255] and colours[1, 1].tolist() == [0, 0, 255]


def test_mazes():
    check_environment(dyna_maze.dyna_maze(), steps=40, ends=False)
    assert dyna_maze.LAYOUTS.keys() == {"dyna", "barrier", "shortcut"}
    # The wall of figure 8.2, and a shortest path of 14 steps.
    walls = [(r, c) for r, row in enumerate(dyna_maze.LAYOUTS["dyna"]) for c, x in enumerate(row) if x == "#"]
    assert walls == [(0, 7), (1, 2), (1, 7), (2, 2), (2, 7), (3, 2), (4, 5)]
    env = dyna_maze.dyna_maze()
    step = jax.jit(env.step)
    state, _ = env.reset(jax.random.key(0))
    for action in [1, 1, 3, 3, 3, 0, 3, 3, 3, 3, 3, 0, 0, 0]:
        state, timestep = step(state, jnp.int32(action))
    assert timestep.step_type == LAST and timestep.reward == 1 and timestep.discount == 0


def test_the_swing_up():
    env = swingup.swingup(time_limit=60)
    played = check_environment(env, steps=150)
    kind, reward, _, observation = played.timestep
    assert (observation[kind == FIRST][:, 1] < -0.95).all(), "it begins hanging"
    assert ((reward >= 0) & (reward <= 1)).all()
    state = jax.tree.map(lambda x: x.inner, {"s": played.state}, is_leaf=lambda x: isinstance(x, EpisodeState))["s"]
    again = jax.vmap(swingup.restore)(played.timestep.observation[-1])
    np.testing.assert_allclose(np.cos(state.theta), np.cos(again.theta), atol=1e-5)
    np.testing.assert_allclose(state.speed, again.speed, atol=1e-6)
    # Without force or friction energy is kept; at rest upright the reward is 1.
    step = jax.jit(jax.vmap(env.step))
    still = swingup.State(*(jnp.zeros(1) for _ in range(4)))
    inner = EpisodeState(still, jax.random.split(jax.random.key(0), 1), jnp.zeros(1, int), jnp.zeros(1, bool))
    assert step(inner, jnp.zeros((1, 1)))[1].reward[0] == 1


def test_the_grid_moves_as_its_table_says():
    env = grid.grid(3, slip=0.5, exchange=1, time_limit=8)
    check_environment(env, steps=40)
    rules = env.spec.rules
    assert rules is not None
    table = grid.transitions(3, 0.5, 1)
    np.testing.assert_allclose(table.sum(-1), 1.0)
    keyed, cell = jax.random.split(keys.key(0), 4000), jnp.int32(4)
    reached, reward, ended = jax.vmap(rules.transition, (0, None, None))(keyed, cell, jnp.int32(2))
    np.testing.assert_allclose(np.bincount(reached, minlength=9) / 4000, table[4, 2], atol=0.04)
    np.testing.assert_array_equal(reward, reached == 8)
    assert not ended.any()
    # What is exchanged is where actions lead, and not where one can go.
    plain = grid.transitions(3)
    assert (np.sort(grid.transitions(3, exchange=1).argmax(-1)) == np.sort(plain.argmax(-1))).all()
    assert (grid.transitions(3, exchange=1) != plain).any()


@pytest.mark.parametrize("wrong", [{"side": 1}, {"slip": 1.5}, {"time_limit": 0}])
def test_a_grid_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match=f"grid: {next(iter(wrong))} must be"):
        grid.grid(**wrong)
