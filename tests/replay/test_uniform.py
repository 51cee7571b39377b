import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import replay
from agents.base import MID, Agent, Info, Step, TimeStep
from experiments.drivers import base, devices
from replay.ring import Index
from tests.replay import model

LANES, ROWS, TOTAL, DRAWS = 3, 11, 40, 1024
# (length, frames): transitions, sequences, and both over stacked frames.
KINDS = [(1, 1), (4, 1), (1, model.FRAMES), (3, model.FRAMES)]
BUFFERS = {kind: replay.uniform(ROWS * LANES + 2, DRAWS, *kind) for kind in KINDS}
ADD = {kind: jax.jit(b.add, donate_argnums=0) for kind, b in BUFFERS.items()}
SAMPLE = {kind: jax.jit(b.sample) for kind, b in BUFFERS.items()}
DULL = [[(5, model.TRUNCATED)], [(2, model.TERMINATED)], [(3, model.INTERRUPTED)]]


def fill(kind, steps, chunks):
    """A state after adding `chunks` rows at a time, and how many rows that made."""
    state, done = BUFFERS[kind].init(jax.tree.map(lambda x: x[0], steps)), 0
    for size in chunks:
        state = ADD[kind](state, model.rows(steps, done, done + size))
        done += size
    return state, done


def survivors(total, length, frames):
    """Starts that a list of the last ROWS rows per lane offers."""
    held = list(range(total))[-ROWS:]
    if len(held) == ROWS:
        held = held[frames - 1 :]
    return {(t, b) for t in held if t + length < total for b in range(LANES)}


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=25, deadline=None, derandomize=True, database=None)
@given(
    patterns=st.lists(model.episodes, min_size=LANES, max_size=LANES),
    chunks=st.lists(st.sampled_from([1, 4, ROWS]), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
)
@example(patterns=DULL, chunks=[ROWS], seed=0)  # full, nothing overwritten
@example(patterns=DULL, chunks=[ROWS, 1], seed=0)
@example(patterns=DULL, chunks=[4, 1, 1, 1, 1], seed=0)  # not yet full
@example(patterns=[[(1, model.INTERRUPTED)]] * LANES, chunks=[4] * 5, seed=0)  # nothing but FIRST rows
def test_samples_are_the_surviving_windows(kind, patterns, chunks, seed):
    length, frames = kind
    fitting = [size for size, end in zip(chunks, np.cumsum(chunks), strict=True) if end <= TOTAL]
    steps = model.history(patterns, TOTAL, frames)
    state, total = fill(kind, steps, fitting)
    if total < BUFFERS[kind].minimum:
        return
    sample = SAMPLE[kind](state, jax.random.key(seed))
    drawn = model.assert_windows(steps, sample.steps, length)
    assert drawn == survivors(total, length, frames)  # nothing stale, nothing out of reach
    assert sample.weight == 1.0


def test_index_names_the_stored_row():
    steps = model.history(DULL, 27)
    state, _ = fill((1, 1), steps, [ROWS, 4, 4, 4, 4])
    sample = SAMPLE[1, 1](state, jax.random.key(0))
    assert isinstance(sample.index, Index)
    stored = state.rows.action[sample.index.time * LANES + sample.index.lane]
    np.testing.assert_array_equal(stored, sample.steps.action[0])


def test_draws_are_uniform():
    steps = model.history(DULL, 17)
    state, total = fill((1, 1), steps, [ROWS, 4, 1, 1])
    starts = len(survivors(total, 1, 1))
    draws = jax.jit(jax.vmap(BUFFERS[1, 1].sample, in_axes=(None, 0)))(state, jax.random.split(jax.random.key(0), 32))
    _, counts = np.unique(np.asarray(draws.steps.action[:, 0]), return_counts=True)
    mean = 32 * DRAWS / starts
    assert len(counts) == starts
    assert np.all(np.abs(counts - mean) < 4.5 * np.sqrt(mean))


def test_at_the_minimum_there_is_one_window_per_lane():
    kind = (4, 1)
    steps = model.history(DULL, 5)
    state, _ = fill(kind, steps, [4, 1])
    assert BUFFERS[kind].minimum == 5
    drawn = SAMPLE[kind](state, jax.random.key(0)).steps
    assert model.assert_windows(steps, drawn, 4) == {(0, 0), (0, 1), (0, 2)}


def test_a_history_that_opens_mid_episode_repeats_its_oldest_frame():
    kind = (1, model.FRAMES)
    steps = model.history([[(30, model.TRUNCATED)]] * LANES, 5, model.FRAMES)
    steps.timestep.step_type[0] = MID
    state, _ = fill(kind, steps, [4, 1])
    model.assert_windows(steps, SAMPLE[kind](state, jax.random.key(0)).steps, 1)


def test_vmapped_seeds_equal_single_ones():
    # The two seeds hold different data and have their heads apart.
    kind = (3, model.FRAMES)
    steps = [model.history([[(2 + s, model.TRUNCATED)], *DULL[1:]], 40, model.FRAMES) for s in range(2)]
    states = [fill(kind, steps[s], [ROWS, 4, *[1] * s])[0] for s in range(2)]
    chunks = [model.rows(steps[s], 20, 24) for s in range(2)]
    keys = jax.random.split(jax.random.key(3), 2)

    def both(state, chunk, key):
        state = BUFFERS[kind].add(state, chunk)
        return state, BUFFERS[kind].sample(state, key)

    together = jax.jit(jax.vmap(both))(
        jax.tree.map(lambda *x: jnp.stack(x), *states), jax.tree.map(lambda *x: np.stack(x), *chunks), keys
    )
    for s in range(2):
        state = ADD[kind](states[s], chunks[s])
        alone = (state, SAMPLE[kind](state, keys[s]))
        jax.tree.map(lambda x, y, s=s: np.testing.assert_array_equal(x[s], y), together, alone)


def atari(*leading):
    """Shapes of steps with a stack of four frames."""

    def array(shape, dtype):
        return jax.ShapeDtypeStruct((*leading, *shape), dtype)

    timestep = TimeStep(
        array((), jnp.int8), array((), jnp.float32), array((), jnp.float32), array((84, 84, 4), jnp.uint8)
    )
    return Step(timestep, array((), jnp.int32))


def nbytes(tree):
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


def test_frames_are_stored_once():
    state = jax.eval_shape(replay.uniform(1_000_000, 32, frames=4).init, atari(8))
    image = state.rows.timestep.observation
    assert image.dtype == jnp.uint8 and image.size == 1_000_000 * 84 * 84
    assert nbytes(state) < nbytes(image) + 1_000_000 * 16
    assert nbytes(state) < 8e9


@pytest.mark.parametrize("seeds", [None, 2])
def test_the_ring_is_updated_in_place(seeds):
    """Compiled adds and samples inside a scan need no memory of the order of the ring."""
    buffer = replay.uniform(8_000, 4, length=1, frames=4)

    def chunk(state, steps, keys):
        def body(state, key):
            state = buffer.add(state, steps)
            return state, jnp.mean(buffer.sample(state, key).steps.timestep.observation.astype(jnp.float32))

        return jax.lax.scan(body, state, keys)

    state, steps = jax.eval_shape(buffer.init, atari(8)), atari(2, 8)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 3))
    if seeds:
        state, steps, keys = jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), (state, steps, keys)
        )
        chunk = jax.vmap(chunk)
    memory = jax.jit(chunk, donate_argnums=0).lower(state, steps, keys).compile().memory_analysis()
    assert memory.alias_size_in_bytes >= 0.99 * nbytes(state)
    assert memory.temp_size_in_bytes < 0.2 * nbytes(state)


def assert_one_ring(buffer, lay, state, steps):
    """Adding and learning, compiled over runs and devices as `experiments.drivers.host` does, need no second ring."""

    def update(state, key, sample):
        del key
        return state + jnp.mean(sample.steps.timestep.observation.astype(jnp.float32)), Info({})

    agent = Agent(None, None, None, None, update)

    def learn(state, storage, steps, key):
        return base.learn(agent, buffer, 2, state, buffer.add(storage, steps), key)

    shapes = (jax.ShapeDtypeStruct((), jnp.float32), state, steps, jax.eval_shape(lambda: jax.random.key(0)))
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct((1, lay.runs, *x.shape), x.dtype), shapes)
    used = devices.mapped(lay, learn, donate=(0, 1)).lower(*shapes).compile().memory_analysis()
    assert used.alias_size_in_bytes >= 0.99 * lay.runs * nbytes(state)
    assert used.temp_size_in_bytes < 0.2 * lay.runs * nbytes(state)


@pytest.mark.xfail(
    jax.__version_info__ >= (0, 11),
    reason="XLA of jax 0.11 lays a ring with an axis of size 1, frames of one channel, out anew on the CPU: a copy",
    strict=True,
)
@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize("rows", [1, 2])
def test_learning_around_a_simulator_keeps_one_ring(runs, rows):
    buffer = replay.uniform(8_000, 4, length=1, frames=4)
    lay = devices.layout(runs, devices=jax.devices()[:1])
    assert_one_ring(buffer, lay, jax.eval_shape(buffer.init, atari(8)), atari(rows, 8))


@pytest.mark.parametrize("runs", [1, 2])
@pytest.mark.parametrize(("lanes", "length"), [(1, 1_000_000), (8, 1_000_000), (8, 10_000)])
def test_and_so_does_a_ring_of_short_rows(lanes, length, runs):
    def rows(*lead):
        of = lambda *shape, dtype=jnp.float32: jax.ShapeDtypeStruct((*lead, *shape), dtype)  # noqa: E731
        return Step(TimeStep(of(dtype=jnp.int8), of(), of(), of(11)), of(3), {})

    buffer, lay = replay.uniform(length, 256), devices.layout(runs, devices=jax.devices()[:1])
    assert_one_ring(buffer, lay, jax.eval_shape(buffer.init, rows(lanes)), rows(1, lanes))


def test_donated_state_keeps_its_buffers():
    steps = model.history(DULL, 8)
    state, _ = fill((1, 1), steps, [4])
    before = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(state.rows)]
    after = ADD[1, 1](state, model.rows(steps, 4, 8))
    assert all(x.is_deleted() for x in jax.tree.leaves(state.rows))
    assert [x.unsafe_buffer_pointer() for x in jax.tree.leaves(after.rows)] == before


def test_feedback_without_anything_to_rewrite_changes_nothing():
    buffer = BUFFERS[1, 1]
    state, _ = fill((1, 1), model.history(DULL, 4), [4])
    assert buffer.feedback(state, (), Info({})) is state
    assert not buffer.wants_next_row


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"length": 0}, "length is 0"),
        ({"frames": 0}, "frames is 0"),
        ({"capacity": 0}, "capacity is 0"),
        ({"capacity": 2**31}, "capacity is 2147483648"),
        ({"capacity": 7, "length": 2}, "capacity is 7, 2 rows for each of 3 lanes"),
        ({"capacity": 29, "length": 6, "frames": 4}, "needs at least 30"),
        ({"frames": 3}, "frames is 3, but the images"),
    ],
)
def test_impossible_arguments(arguments, message):
    step = jax.tree.map(lambda x: x[0], model.history(DULL, 1))
    with pytest.raises(ValueError, match=message):
        replay.uniform(**{"capacity": 300, "batch_size": 2, **arguments}).init(step)


def test_stacking_needs_an_image():
    step = jax.tree.map(lambda x: x[0], model.history(DULL, 1))
    del step.timestep.observation["image"]
    with pytest.raises(ValueError, match="there must be one"):
        replay.uniform(300, 2, frames=2).init(step)


def test_the_smallest_ring_holds_one_window():
    kind = (6, 4)
    buffer = replay.uniform(30, 8, *kind)
    steps = model.history([[(30, model.TRUNCATED)]] * LANES, 13, 4)
    state = buffer.add(buffer.init(jax.tree.map(lambda x: x[0], steps)), model.rows(steps, 0, 9))
    state = buffer.add(state, model.rows(steps, 9, 13))
    drawn = jax.jit(buffer.sample)(state, jax.random.key(0)).steps
    assert {t for t, _ in model.assert_windows(steps, drawn, 6)} == {6}


@pytest.mark.parametrize(("rows", "lanes"), [(ROWS + 1, LANES), (2, 1)])
def test_chunks_that_do_not_fit(rows, lanes):
    state = BUFFERS[1, 1].init(jax.tree.map(lambda x: x[0], model.history(DULL, 1)))
    with pytest.raises(ValueError, match="do not fit the replay's ring"):
        BUFFERS[1, 1].add(state, model.history(DULL[:lanes], rows))
