"""Groups of lanes in one replay are as many replays, and `every` lists what they will hand out."""

from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import Info, Step
from replay import ring, windows
from tests.replay import model

GROUPS, LANES, ROWS, CHUNK, TOTAL, DRAWS = 3, 2, 12, 4, 40, 512
PATTERNS = [
    [(5, model.TRUNCATED)],
    [(2, model.TERMINATED), (7, model.TERMINATED)],
    [(3, model.INTERRUPTED)],
    [(1, model.TERMINATED)],
    [(9, model.TRUNCATED), (1, model.INTERRUPTED)],
    [(4, model.TERMINATED)],
]
ORDER = [0, 1, 0, 0, 2, 0, 1, 0, 0, 2, 0, 1, 0, 0]
"""Which group adds: the first goes round the ring and begins anew, the second fills it, the last has room left."""
KINDS = [
    (length, frames, stride, n_step)
    for length, n_step in ((1, False), (3, False), (3, True))
    for frames in (1, model.FRAMES)
    for stride in (1, 2)
]


@cache
def programs(length: int, frames: int, stride: int, n_step: bool, groups: int) -> Any:
    own = replay.prioritised(ROWS * LANES * groups + 1, DRAWS, length, frames, stride=stride, single=n_step)
    whole = replay.mapped(own, replay.n_step(length, 0.9)) if n_step else own
    feedback = jax.jit(lambda state, index, p: own.feedback(state, index, Info({}, p)))
    return whole, jax.jit(whole.add), jax.jit(whole.sample), feedback


@cache
def histories(frames: int) -> Step:
    return model.history(PATTERNS, TOTAL, frames)


def part(steps: Step, group: int, start: int, stop: int) -> Step:
    """Rows of a group's lanes."""
    return jax.tree.map(lambda x: x[start:stop, group * LANES : (group + 1) * LANES], steps)


def told(steps: Step, length: int, stride: int, start: int) -> np.ndarray:
    """A priority for each window that rows from `start` on complete, and none for those before the first row."""
    begin = np.arange(start - length, start - length + CHUNK)
    begin = begin[begin % stride == 0]
    lane = steps.action[0] // 1000
    p = np.where(begin[:, None] % 3 == 0, np.nan, 0.1 + begin[:, None] % 7 + lane[None] / 10)
    return np.where(begin[:, None] < 0, np.nan, p).astype(np.float32).reshape(-1)


@pytest.mark.parametrize("kind", KINDS)
def test_groups_are_separate_replays(kind):
    length, frames, stride, _ = kind
    steps = histories(frames)
    whole, add, sample, feedback = programs(*kind, GROUPS)
    alone, add_alone, _, feedback_alone = programs(*kind, 1)
    state = whole.init(jax.tree.map(lambda x: x[0], steps), GROUPS)
    apart = [alone.init(jax.tree.map(lambda x: x[0], part(steps, g, 0, 1))) for g in range(GROUPS)]
    done = [0] * GROUPS
    for turn, g in enumerate(ORDER):
        rows = part(steps, g, done[g], done[g] + CHUNK)
        priority = told(rows, length, stride, done[g])
        state, apart[g] = add(state, rows, g, priority), add_alone(apart[g], rows, 0, priority)
        # The largest priority is of all groups.
        apart = [each._replace(largest=state.largest) for each in apart]
        done[g] += CHUNK
        drawn = sample(state, jax.random.key(turn))
        if not float(jnp.max(drawn.weight)):
            continue
        learned = 0.5 + (drawn.steps.action[0] % 5).astype(jnp.float32)
        state = feedback(state, drawn.index, learned)
        for other in range(GROUPS):
            own = drawn.index.lane // LANES == other
            index = ring.Index(drawn.index.time, drawn.index.lane % LANES)
            apart[other] = feedback_alone(apart[other], index, jnp.where(own, learned, jnp.nan))
            apart[other] = apart[other]._replace(largest=state.largest)
    leaves = np.asarray(state.tree[0]).reshape(-1)[: ROWS // stride * GROUPS * LANES]
    leaves = leaves.reshape(-1, GROUPS, LANES)
    for g in range(GROUPS):
        own = np.asarray(apart[g].tree[0]).reshape(-1)[: ROWS // stride * LANES].reshape(-1, LANES)
        np.testing.assert_array_equal(leaves[:, g], own)
        assert (own > 0).any()
        first, count = ring.starts(apart[g].ring, length, frames - 1)
        age = jnp.repeat(jnp.arange(int(first), int(first + count), dtype=jnp.int32), LANES)
        lane = jnp.tile(jnp.arange(LANES, dtype=jnp.int32), int(count))
        here, _ = windows.read(state.ring, age, lane + g * LANES, length, frames)
        there, _ = windows.read(apart[g].ring, age, lane, length, frames)
        jax.tree.map(np.testing.assert_array_equal, here, there)
        model.assert_windows(steps, here, length)


def test_an_even_replay_draws_the_windows_of_all_groups_alike():
    steps = histories(1)
    storage = replay.uniform(ROWS * LANES * GROUPS, 4096, 3)
    add = jax.jit(storage.add)
    state = storage.init(jax.tree.map(lambda x: x[0], steps), GROUPS)
    done = [0] * GROUPS
    for g in ORDER:
        state = add(state, part(steps, g, done[g], done[g] + CHUNK), g)
        done[g] += CHUNK
    drawn = jax.jit(storage.sample)(state, jax.random.key(0))
    at = model.assert_windows(steps, drawn.steps, 3)
    starts = [range(max(total - ROWS, 0), total - 3) for total in done]
    assert at == {(t, lane) for lane in range(GROUPS * LANES) for t in starts[lane // LANES]}
    _, counts = np.unique(np.asarray(drawn.steps.action[0]), return_counts=True)
    assert counts.max() < 2 * counts.mean() and counts.min() > counts.mean() / 2


@pytest.mark.parametrize("kind", KINDS)
def test_every_lists_the_windows_that_become_complete(kind):
    length, frames, stride, n_step = kind
    steps = histories(frames)
    whole, add, _, _ = programs(*kind, 1)
    bare = programs(length, frames, stride, False, 1)[0]
    state = whole.init(jax.tree.map(lambda x: x[0], part(steps, 1, 0, 1)))
    for t in (0, CHUNK):
        state = add(state, part(steps, 1, t, t + CHUNK))
    assert bare.every is not None and whole.every is not None
    rows = part(steps, 1, 2 * CHUNK - length - CHUNK, 2 * CHUNK)
    listed = bare.every(rows).steps
    begin = np.asarray(listed.action[0])
    expected = [t for t in range(CHUNK - length, 2 * CHUNK - length) if t % stride == 0]
    assert begin.tolist() == [1000 * (LANES + b) + t for t in expected for b in range(LANES)]
    model.assert_windows(steps, listed, length)
    relabelled = whole.every(rows).steps if n_step else listed
    lane = jnp.asarray(begin // 1000 - LANES, jnp.int32)
    read, _ = windows.read(state.ring, jnp.asarray(begin % 1000, jnp.int32), lane, length, frames)
    read = replay.n_step(length, 0.9)(read, jax.random.key(0)) if n_step else read
    jax.tree.map(np.testing.assert_array_equal, relabelled, read)


@pytest.mark.parametrize("kind", [(3, model.FRAMES, 1, False), (3, 1, 1, False)])
def test_packed_rows_are_stored_as_whole_ones(kind):
    frames = kind[1]
    whole, add, _, _ = programs(*kind, 1)
    rows = part(histories(frames), 1, 0, CHUNK)
    state = whole.init(jax.tree.map(lambda x: x[0], rows))
    if frames == 1:
        assert whole.pack is None and replay.uniform(96, 4).pack is None
        return
    assert whole.pack is not None
    packed = whole.pack(rows)
    image = packed.timestep.observation["image"]
    assert image.shape[-1] * frames == rows.timestep.observation["image"].shape[-1]
    jax.tree.map(np.testing.assert_array_equal, add(state, packed), add(state, rows))


def test_windows_of_a_rollout_are_put_side_by_side():
    steps = histories(1)
    storage = replay.on_policy(CHUNK)
    state = storage.init(jax.tree.map(lambda x: x[0], steps), GROUPS)
    for g in (2, 0, 1):
        state = storage.add(state, part(steps, g, 0, CHUNK + 1), g)
    whole = storage.add(state, model.rows(steps, 0, CHUNK + 1))
    jax.tree.map(np.testing.assert_array_equal, state, whole)


def test_what_cannot_be_is_refused():
    steps = histories(1)
    row = jax.tree.map(lambda x: x[0], steps)
    for storage in (replay.uniform(96, 4), replay.prioritised(96, 4), replay.on_policy(4)):
        with pytest.raises(ValueError, match="groups is 4; it must be a divisor of the 6 lanes"):
            storage.init(row, 4)
    storage = replay.prioritised(96, 4, 3, stride=2)
    with pytest.raises(ValueError, match="5 rows are added at a time; windows begin at every 2th"):
        assert storage.every is not None
        storage.every(model.rows(steps, 0, 8))
    state = storage.init(row, GROUPS)
    with pytest.raises(ValueError, match="priority has shape"):
        storage.add(state, part(steps, 0, 0, CHUNK), 0, np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="the ring has 3 groups: where a row lies depends on its lane"):
        ring.position(state.ring, jnp.int32(0))
    beyond = replay.RingRelabel(lambda storage, index, steps, key: steps)
    assert replay.uniform(96, 4).grouped and not replay.mapped(replay.uniform(96, 4), beyond).grouped
    assert replay.mapped(replay.uniform(96, 4), beyond).every is None
    assert replay.prioritised(96, 4, episodes=True).every is None
    assert not replay.fresh_and_replayed(replay.on_policy(3), replay.uniform(96, 4, 3)).grouped


def test_one_group_is_what_it_was():
    """The state has the shapes, and so checkpoints the leaves, of a replay without groups."""
    row = jax.tree.map(lambda x: x[0], histories(1))
    for storage in (replay.uniform(96, 4), replay.prioritised(96, 4)):
        shapes = [jax.tree.map(jnp.shape, each) for each in (storage.init(row), storage.init(row, 1))]
        assert shapes[0] == shapes[1]
        held = storage.init(row)
        assert getattr(held, "ring", held).head.shape == ()
