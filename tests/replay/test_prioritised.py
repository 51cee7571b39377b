from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import replay
from agents.base import FIRST, MID, Info, Step
from envs import keys, parallel
from replay import sum_tree
from replay.ring import Index
from tests.replay import model

LANES, ROWS, TOTAL, DRAWS = 3, 11, 40, 1024
DULL = [[(5, model.TRUNCATED)], [(2, model.TERMINATED)], [(3, model.INTERRUPTED)]]


class Kind(NamedTuple):
    length: int = 1
    frames: int = 1
    stride: int = 1
    episodes: bool = False
    single: bool = False
    alpha: float = 0.6
    beta: float = 0.7
    epsilon: float = 0.01
    mix: float = 0.0
    rank: bool = False


KINDS = [
    Kind(),
    Kind(length=4, alpha=1.0, beta=1.0),
    Kind(length=3, frames=model.FRAMES),
    Kind(length=4, stride=3),
    Kind(length=2, frames=model.FRAMES, stride=2),
    Kind(length=2, episodes=True, beta=1.0),
    Kind(length=3, frames=model.FRAMES, single=True),
    Kind(rank=True, alpha=0.7),
]
NUMBERS = ("alpha", "beta", "epsilon", "mix")


def built(kind: Kind, numbers: dict[str, Any]) -> replay.Replay:
    return replay.prioritised(ROWS * LANES + 2, DRAWS, **{**kind._asdict(), **numbers})


class Compiled(NamedTuple):
    add: Any
    sample: Any
    feedback: Any


@cache
def programs(kind: Kind, mixed: bool) -> Compiled:
    """Functions of the numbers too, so that kinds which differ in them alone compile once."""

    def buffer(numbers: dict[str, Any]) -> replay.Replay:
        return built(kind, numbers if mixed else {**numbers, "mix": 0.0})

    return Compiled(
        jax.jit(lambda numbers, state, steps: buffer(numbers).add(state, steps)),
        jax.jit(lambda numbers, state, key: buffer(numbers).sample(state, key)),
        jax.jit(lambda numbers, state, index, priority: buffer(numbers).feedback(state, index, Info({}, priority))),
    )


@cache
def compiled(kind: Kind) -> Compiled:
    numbers = {name: getattr(kind, name) for name in NUMBERS}
    shared = programs(kind._replace(**dict.fromkeys(NUMBERS, 0.0)), kind.mix > 0)
    return Compiled(*(partial(fn, numbers) for fn in shared))


def samples_of(kind: Kind, state: Any, seed: int, times: int) -> list[Any]:
    return [compiled(kind).sample(state, key) for key in jax.random.split(jax.random.key(seed), times)]


def begin(kind: Kind, steps: Step) -> Any:
    return built(kind, {}).init(jax.tree.map(lambda x: x[0], steps))


def filled(kind: Kind, steps: Step, chunks: list[int]) -> tuple[Any, model.Prioritised]:
    """A state and its model after adding `chunks` rows at a time."""
    state, plain = begin(kind, steps), model.Prioritised(steps, ROWS, *kind[:5])
    for size in chunks:
        state = compiled(kind).add(state, model.rows(steps, plain.total, plain.total + size))
        plain.add(size)
    return state, plain


def drawn_at(sample: Any) -> list[tuple[int, int]]:
    """(time, lane) of the sampled windows, as their rows say."""
    action = np.asarray(sample.steps.action[0])
    return list(zip((action % 1000).tolist(), (action // 1000).tolist(), strict=True))


def assert_draws(kind: Kind, steps: Step, plain: model.Prioritised, sample: Any) -> None:
    """The sample is what the model's probabilities say, as precisely as strata allow, and so are the weights."""
    model.assert_windows(steps, sample.steps, kind.length)
    at = drawn_at(sample)
    weight = dict(zip(at, np.asarray(sample.weight).tolist(), strict=True))
    chances = plain.probabilities(kind.alpha, kind.epsilon, kind.mix, kind.rank)
    counts = np.array([at.count(i) for i in chances])
    expected = np.array(list(chances.values()))
    assert set(at) <= set(chances)
    assert np.all(np.abs(counts - DRAWS * expected) <= 2)
    drawn = np.sort(expected[counts > 0])[::-1]
    np.testing.assert_allclose(sorted(weight.values()), (drawn[-1] / drawn) ** kind.beta, rtol=1e-5)
    assert max(weight.values()) == 1.0


def new_priority(at: tuple[int, int], turn: int) -> float:
    """Between 0 and 3, and some that make no sense; never equal for two windows."""
    if (at[0] + turn) % 7 == 3:
        return [np.nan, np.inf, -1.0][turn % 3]
    return 3 * ((np.sin(at[0] * 12.9898 + at[1] * 78.233 + turn) * 43758.5453) % 1.0)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=12, deadline=None, derandomize=True, database=None)
@given(
    patterns=st.lists(model.episodes, min_size=LANES, max_size=LANES),
    script=st.lists(st.sampled_from([1, 8, None]), min_size=1, max_size=14),
    seed=st.integers(0, 1000),
)
@example(patterns=DULL, script=[8, None, None], seed=0)  # nothing overwritten
@example(patterns=DULL, script=[8, None, 8, None, 8, None], seed=1)  # the added rows are more than a window
@example(patterns=DULL, script=[8, *[1, None] * 12], seed=2)
def test_draws_are_those_of_a_dictionary(kind, patterns, script, seed):
    steps = model.history(patterns, TOTAL, kind.frames)
    state, plain, learnt = begin(kind, steps), model.Prioritised(steps, ROWS, *kind[:5]), 0
    for turn, size in enumerate(script):
        if size is not None and plain.total + size <= TOTAL:
            state = compiled(kind).add(state, model.rows(steps, plain.total, plain.total + size))
            plain.add(size)
        if not plain.priority:
            continue
        sample = compiled(kind).sample(state, jax.random.key(seed + turn))
        if size is None or turn == len(script) - 1:
            assert_draws(kind, steps, plain, sample)
        if size is None:
            given_back = {at: new_priority(at, turn) for at in drawn_at(sample)}
            priority = np.array([given_back[at] for at in drawn_at(sample)], np.float32)
            state = compiled(kind).feedback(state, sample.index, priority)
            plain.feedback(given_back)
            learnt += 1
            assert state.largest == plain.largest and state.learnt == learnt


def test_every_rank_counts_where_priorities_differ():
    kind = Kind(rank=True, alpha=0.7)
    steps = model.history(DULL, 15)
    state, plain = filled(kind, steps, [8, *[1] * 7])
    given_back = {(t, b): float(7 * (3 * t + b) % 61) for t, b in plain.priority}  # no two alike
    index = Index(*(np.array(x, np.int32) for x in zip(*[(t % ROWS, b) for t, b in given_back], strict=True)))
    padded = jax.tree.map(lambda x: np.resize(x, DRAWS), index)
    state = compiled(kind).feedback(state, padded, np.resize(np.float32(list(given_back.values())), DRAWS))
    plain.feedback(given_back)
    at = drawn_at(compiled(kind).sample(state, jax.random.key(0)))
    for i, chance in plain.probabilities(kind.alpha, kind.epsilon, kind.mix, True).items():
        assert abs(at.count(i) - DRAWS * chance) <= 2


def test_index_names_the_stored_row():
    for kind in (Kind(), Kind(length=4, stride=3)):
        state, _ = filled(kind, model.history(DULL, 27), [8, 8, 8, 1, 1])
        sample = compiled(kind).sample(state, jax.random.key(0))
        assert isinstance(sample.index, Index)
        stored = state.ring.rows.action[sample.index.time * state.ring.lanes + sample.index.lane]
        np.testing.assert_array_equal(stored, sample.steps.action[0])


def skewed(kind: Kind, total: int = 16) -> tuple[Any, Step, model.Prioritised]:
    """A state in which priorities span two orders of magnitude, its history and its model."""
    steps = model.history(DULL, total)
    state, plain = filled(kind, steps, [8, *[1] * (total - 8)])
    sample = compiled(kind).sample(state, jax.random.key(9))
    given_back = {at: (0.05 + at[0] / 1000) * 1.3 ** (at[0] % 7 * LANES + at[1]) for at in drawn_at(sample)}
    priority = np.array([given_back[at] for at in drawn_at(sample)], np.float32)
    plain.feedback(given_back)
    return compiled(kind).feedback(state, sample.index, priority), steps, plain


@pytest.mark.parametrize(("beta", "unbiased"), [(1.0, True), (0.0, False)])
@pytest.mark.parametrize("rank", [False, True])
def test_full_correction_gives_the_uniform_mean(rank, beta, unbiased):
    """E_P[w g] / E_P[w] is the mean of g over all windows if β = 1, and another number if β = 0."""
    kind = Kind(alpha=0.8, beta=beta, rank=rank)
    state, _, plain = skewed(kind)
    sample = compiled(kind).sample(state, jax.random.key(0))
    weight = dict(zip(drawn_at(sample), np.asarray(sample.weight, np.float64), strict=True))
    chances = plain.probabilities(kind.alpha, kind.epsilon, kind.mix, rank)  # draws have them, see above
    gradient = {at: np.cos(at[0]) + at[1] + 0.1 * plain.priority[at] for at in plain.priority}
    total = sum(chances[at] * weight[at] for at in chances)
    mean = sum(chances[at] * weight[at] * gradient[at] for at in chances) / total
    error = abs(mean - np.mean(list(gradient.values())))
    assert error < 1e-5 if unbiased else error > 0.05, error


@pytest.mark.parametrize("rank", [False, True])
@pytest.mark.parametrize(("alpha", "uniform"), [(0.0, True), (0.1, False)])
def test_without_alpha_draws_are_uniform(alpha, uniform, rank):
    kind = Kind(alpha=alpha, beta=1.0, epsilon=1e-6, rank=rank)
    state, plain = filled(kind, model.history(DULL, 16), [8, 8])
    sample = compiled(kind).sample(state, jax.random.key(0))
    state = compiled(kind).feedback(state, sample.index, 1000 * sample.steps.timestep.reward[1] ** 2)
    sample = compiled(kind).sample(state, jax.random.key(1))
    counts = [drawn_at(sample).count(at) for at in plain.priority]
    assert (max(abs(count - DRAWS / len(counts)) for count in counts) <= 2) == uniform
    assert np.all(sample.weight == 1.0) == uniform


def test_each_stratum_gives_one_window():
    """Counts are within 2 of N P; independent draws would scatter by sqrt(N P), 10 and more."""
    kind = Kind()
    state, _, plain = skewed(kind)
    samples = samples_of(kind, state, 1, 16)
    for at in map(drawn_at, samples):
        for i, chance in plain.probabilities(kind.alpha, kind.epsilon, 0.0, False).items():
            assert abs(at.count(i) - DRAWS * chance) <= 2
    assert len({tuple(sample.index.time.tolist()) for sample in samples}) > 1  # but the draws do differ


@pytest.mark.parametrize("rank", [False, True])
@pytest.mark.parametrize("mix", [0.3, 1.0])
def test_mixture_with_uniform_draws(mix, rank):
    kind = Kind(mix=mix, rank=rank, beta=1.0, alpha=1.0)
    state, _, plain = skewed(kind)
    samples = samples_of(kind, state, 2, 32)
    chances = plain.probabilities(kind.alpha, kind.epsilon, mix, rank)
    drawn = [at for sample in samples for at in drawn_at(sample)]
    for at, chance in chances.items():
        mean = 32 * DRAWS * chance
        assert abs(drawn.count(at) - mean) < 4.5 * np.sqrt(mean)
    weight = np.concatenate([sample.weight for sample in samples])
    expected = min(chances.values()) / np.array([chances[at] for at in drawn])
    np.testing.assert_allclose(weight, expected, rtol=1e-4)


def test_mixture_reaches_only_windows_that_may_be_drawn():
    for kind in (Kind(length=4, stride=3, mix=0.5), Kind(length=2, episodes=True, mix=0.5)):
        steps = model.history(DULL, 28)
        state, plain = filled(kind, steps, [8, 8, 8, 1, 1, 1, 1])
        sample = compiled(kind).sample(state, jax.random.key(0))
        assert set(drawn_at(sample)) == set(plain.priority)


@pytest.mark.parametrize("mix", [0.0, 0.5])
@pytest.mark.parametrize("rank", [False, True])
@pytest.mark.parametrize("kind", [Kind(beta=1.0), Kind(length=3, single=True, beta=1.0)])
def test_transitions_between_episodes_are_neither_drawn_nor_weighed(kind, rank, mix):
    """What an agent gives back for them is a priority of 0; the others' weights are those of a replay without them."""
    kind = kind._replace(rank=rank, mix=mix, alpha=1.0, epsilon=1e-6)
    steps = model.history(DULL, 16)
    state, plain = filled(kind, steps, [8, *[1] * 8])
    for seed in range(2):
        sample = compiled(kind).sample(state, jax.random.key(seed))
        joins = sample.steps.timestep.step_type[1] == FIRST
        assert not np.any(joins) and np.min(sample.weight) > 0.9 * (1 if seed == 0 and not rank else 0)
        state = compiled(kind).feedback(state, sample.index, np.where(joins, 0.0, 1.0).astype(np.float32))
    held = {(t, b) for t in range(16 - ROWS, 16 - kind.length) for b in range(LANES)}
    joining = {(t, b) for t, b in held if steps.timestep.step_type[t + 1, b] == FIRST}
    assert joining and set(plain.priority) == held - joining
    leaves = np.asarray(state.tree[0]).reshape(-1)
    assert all(leaves[t % ROWS * LANES + b] == 0 for t, b in joining)


@pytest.mark.parametrize("rank", [False, True])
def test_priorities_of_zero_remain_drawable(rank):
    kind = Kind(epsilon=0.0, alpha=1.0, rank=rank)
    state, plain = filled(kind, model.history(DULL, 12), [8, 1, 1, 1, 1])
    sample = compiled(kind).sample(state, jax.random.key(0))
    state = compiled(kind).feedback(state, sample.index, np.zeros(DRAWS, np.float32))
    sample = compiled(kind).sample(state, jax.random.key(1))
    assert set(drawn_at(sample)) == set(plain.priority)
    if not rank:
        np.testing.assert_array_equal(sample.weight, 1.0)


@pytest.mark.parametrize("rank", [False, True])
def test_huge_priorities_stay_finite(rank):
    kind = Kind(alpha=1.0, rank=rank)
    state, _ = filled(kind, model.history(DULL, 12), [8, 1, 1, 1, 1])
    sample = compiled(kind).sample(state, jax.random.key(0))
    state = compiled(kind).feedback(state, sample.index, np.full(DRAWS, 3e38, np.float32))
    assert np.isfinite(sum_tree.total(state.tree))
    assert np.all(np.isfinite(compiled(kind).sample(state, jax.random.key(1)).weight))


@pytest.mark.parametrize("rank", [False, True])
def test_nothing_to_draw_weighs_nothing(rank):
    kind = Kind(length=2, episodes=True, rank=rank)
    steps = model.history([[(30, model.TRUNCATED)]] * LANES, 24)
    steps.timestep.step_type[0] = MID
    state, plain = filled(kind, steps, [8, 8, 8])
    assert not plain.priority
    sample = compiled(kind).sample(state, jax.random.key(0))
    np.testing.assert_array_equal(sample.weight, 0.0)
    assert np.all((np.asarray(sample.index.time) < ROWS) & (np.asarray(sample.index.lane) < LANES))


@pytest.mark.parametrize("kind", [Kind(), Kind(length=4, stride=3), Kind(length=3, frames=model.FRAMES)])
def test_windows_enter_with_what_initial_says_of_them(kind):
    """Where that makes no sense, with the largest priority seen before."""
    kind = kind._replace(alpha=1.0, epsilon=0.0)

    def told(steps):
        assert steps.timestep.observation == () and steps.carry == ()
        rewards = 3 * jnp.sum(abs(steps.timestep.reward), axis=0) + steps.action[0] % 1000 / 100
        return jnp.where(steps.action[0] % 5 == 2, jnp.nan, rewards)

    it = replay.prioritised(ROWS * LANES + 2, DRAWS, **kind._asdict(), initial=told)
    steps, add = model.history(DULL, TOTAL, kind.frames), jax.jit(it.add)
    state, plain = it.init(jax.tree.map(lambda x: x[0], steps)), model.Prioritised(steps, ROWS, *kind[:5])
    expected: dict[tuple[int, int], float] = {}
    largest = 1.0
    for size in [8, 8, 1, 1, 8, 1, 8, 1, 1]:
        state = add(state, model.rows(steps, plain.total, plain.total + size))
        plain.add(size)
        before = largest
        for t, b in plain.priority.keys() - expected.keys():
            rewards = 3 * np.abs(steps.timestep.reward[t : t + kind.length + 1, b]).sum() + t / 100
            expected[t, b] = before if (t + 1000 * b) % 5 == 2 else float(rewards)
            largest = max(largest, expected[t, b])
        np.testing.assert_allclose(state.largest, largest, rtol=1e-6)
        leaves = np.asarray(state.tree[0]).reshape(-1)
        held = {(t % plain.rows // kind.stride * LANES + b): expected[t, b] for t, b in plain.priority}
        assert held.keys() == set(np.flatnonzero(leaves).tolist())
        np.testing.assert_allclose(leaves[list(held)], list(held.values()), rtol=1e-6)
    assert largest > 2


def test_feedback_does_not_revive_a_window():
    """The rows of a sampled window are overwritten before its priority comes."""
    kind = Kind(length=4)
    steps = model.history(DULL, 20)
    state, plain = filled(kind, steps, [8, 1, 1, 1])
    sample = compiled(kind).sample(state, jax.random.key(0))
    for t in (11, 12, 13, 14):
        state = compiled(kind).add(state, model.rows(steps, t, t + 1))
        plain.add(1)
    state = compiled(kind).feedback(state, sample.index, np.full(DRAWS, 2.0, np.float32))
    plain.feedback(dict.fromkeys(drawn_at(sample), 2.0))
    assert_draws(kind, steps, plain, compiled(kind).sample(state, jax.random.key(1)))


def test_no_priorities_change_nothing_but_the_count():
    kind = Kind()
    state, _, _ = skewed(kind)
    after = built(kind, {}).feedback(state, (), Info({}))
    assert after.learnt == state.learnt + 1
    jax.tree.map(np.testing.assert_array_equal, after._replace(learnt=0), state._replace(learnt=0))


def test_beta_follows_its_schedule():
    state, _, _ = skewed(Kind())
    scheduled = jax.jit(built(Kind(), {"beta": lambda count: 0.4 + 0.1 * count}).sample)
    for count, beta in ((1, 0.5), (5, 0.9)):
        state = state._replace(learnt=jnp.int32(count))
        sampled = [sample(state, jax.random.key(0)) for sample in (scheduled, compiled(Kind(beta=beta)).sample)]
        np.testing.assert_allclose(*(sample.weight for sample in sampled), rtol=1e-5)
    assert np.min(sampled[0].weight) < 0.5


def test_numbers_may_be_vmapped():
    kinds = [Kind(alpha=x, beta=2 * x, epsilon=x / 4, mix=x / 2) for x in (0.4, 0.2)]
    steps = model.rows(model.history(DULL, 16), 0, 8)
    stacked = {name: jnp.array([getattr(kind, name) for kind in kinds]) for name in NUMBERS}
    index, priority = Index(jnp.arange(8) % 7, jnp.arange(8) % LANES), jnp.arange(1.0, 9.0)

    def sampled(numbers: dict[str, Any]) -> Any:
        buffer = built(kinds[0], numbers)
        state = buffer.add(begin(kinds[0], steps), steps)
        return buffer.sample(buffer.feedback(state, index, Info({}, priority)), jax.random.key(1))

    together = jax.jit(jax.vmap(sampled))(stacked)
    for i, kind in enumerate(kinds):
        state = compiled(kind).add(begin(kind, steps), steps)
        alone = compiled(kind).sample(compiled(kind).feedback(state, index, priority), jax.random.key(1))
        jax.tree.map(lambda x, y, i=i: np.testing.assert_allclose(x[i], y, rtol=1e-5), together, alone)
    assert np.any(together.weight[0] != together.weight[1])


def test_vmapped_seeds_equal_single_ones():
    # The two seeds hold different data and have their heads apart.
    kind = Kind(length=3, frames=model.FRAMES)
    steps = [model.history([[(2 + s, model.TRUNCATED)], *DULL[1:]], 40, model.FRAMES) for s in range(2)]
    states = [filled(kind, steps[s], [8, *[1] * (4 + s)])[0] for s in range(2)]
    chunks = [model.rows(steps[s], 20, 28) for s in range(2)]
    seeds = jax.random.split(jax.random.key(3), 2)
    buffer = built(kind, {})

    def once(state: Any, chunk: Step, key: Any) -> Any:
        state = buffer.add(state, chunk)
        sample = buffer.sample(state, key)
        return buffer.feedback(state, sample.index, Info({}, sample.steps.timestep.reward[1] ** 2)), sample

    together = jax.jit(jax.vmap(once))(
        jax.tree.map(lambda *x: jnp.stack(x), *states), jax.tree.map(lambda *x: np.stack(x), *chunks), seeds
    )
    for s in range(2):
        state = compiled(kind).add(states[s], chunks[s])
        sample = compiled(kind).sample(state, seeds[s])
        state = compiled(kind).feedback(state, sample.index, sample.steps.timestep.reward[1] ** 2)
        jax.tree.map(lambda x, y, s=s: np.testing.assert_allclose(x[s], y, rtol=1e-5), together, (state, sample))


def test_devices_share_the_largest_weight():
    """Two devices, each with lanes of its own: one scale for the weights of both batches."""
    kind = Kind(beta=1.0)
    steps = model.history(DULL, 16)
    states = [skewed(kind)[0], filled(kind, steps, [8, 8])[0]]
    samples = [compiled(kind).sample(state, jax.random.key(0)) for state in states]
    seeds = jnp.stack([jax.random.key(0)] * 2)
    both = jax.pmap(built(kind, {}).sample, parallel.AXIS)(jax.tree.map(lambda *x: jnp.stack(x), *states), seeds)
    # P is the priority over the sum of its own device's, so the ratio of two windows' weights is that of their P.
    total = [float(sum_tree.total(state.tree)) for state in states]
    least = [
        min(np.asarray(sum_tree.get(state.tree, sample.index.time * LANES + sample.index.lane))) / total[d]
        for d, (state, sample) in enumerate(zip(states, samples, strict=True))
    ]
    for d in range(2):
        np.testing.assert_allclose(both.weight[d], samples[d].weight * min(least) / least[d], rtol=1e-5)
    assert np.max(both.weight) == 1.0 and min(np.max(both.weight, axis=1)) < 0.9


def nbytes(tree: Any) -> int:
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(tree))


@pytest.mark.parametrize("seeds", [None, 2])
def test_ring_and_tree_are_updated_in_place(seeds):
    """Compiled adds, samples and updates inside a scan need no memory of the order of the state."""
    buffer = replay.prioritised(64_000, 4, mix=0.1)
    step = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), model.history(DULL, 1))

    def chunk(state: Any, steps: Step, ks: Any) -> Any:
        def body(state: Any, key: Any) -> Any:
            state = buffer.add(state, steps)
            sample = buffer.sample(state, key)
            priority = jnp.abs(sample.steps.timestep.reward[1])
            return buffer.feedback(state, sample.index, Info({}, priority)), jnp.mean(sample.weight * priority)

        return jax.lax.scan(body, state, ks)

    state = jax.eval_shape(buffer.init, step)
    steps = jax.tree.map(lambda x: jax.ShapeDtypeStruct((2, *x.shape), x.dtype), step)
    ks = jax.eval_shape(lambda: jax.random.split(keys.key(0), 3))
    if seeds:
        state, steps, ks = jax.tree.map(lambda x: jax.ShapeDtypeStruct((seeds, *x.shape), x.dtype), (state, steps, ks))
        chunk = jax.vmap(chunk)
    memory = jax.jit(chunk, donate_argnums=0).lower(state, steps, ks).compile().memory_analysis()
    assert memory.alias_size_in_bytes >= 0.99 * nbytes(state)
    assert memory.temp_size_in_bytes < 0.2 * nbytes(state.tree)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"batch_size": 0}, "batch_size is 0"),
        ({"length": 0}, "length is 0"),
        ({"frames": 0}, "frames is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"capacity": 0}, "capacity is 0"),
        ({"alpha": -0.1}, "alpha is -0.1"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"beta": -1}, "beta is -1"),
        ({"epsilon": -1e-6}, "epsilon is -1e-06"),
        ({"mix": 1.5}, r"mix is 1.5; it must be in \[0, 1\]"),
        ({"episodes": True, "stride": 2}, "stride is 2"),
        ({"capacity": 7, "length": 2}, "capacity is 7, 2 rows for each of 3 lanes"),
        ({"capacity": 17, "stride": 2, "length": 4}, "length = 4 with frames = 1 and stride = 2 needs at least 18"),
        ({"frames": 3}, "frames is 3, but the images"),
    ],
)
def test_impossible_arguments(arguments, message):
    step = jax.tree.map(lambda x: x[0], model.history(DULL, 1))
    with pytest.raises(ValueError, match=message):
        replay.prioritised(**{"capacity": 300, "batch_size": 2, **arguments}).init(step)


def test_the_smallest_rings_always_hold_a_window():
    for kind in (Kind(length=5, frames=4), Kind(length=4, stride=3), Kind(length=3, frames=4, stride=2)):
        rows = -(-(kind.length + kind.frames + kind.stride - 1) // kind.stride) * kind.stride
        buffer = replay.prioritised(rows * LANES, 8, *kind[:2], stride=kind.stride)
        steps = model.history(DULL, 40, kind.frames)
        state, add = buffer.init(jax.tree.map(lambda x: x[0], steps)), jax.jit(buffer.add)
        for t in range(30):
            state = add(state, model.rows(steps, t, t + 1))
            if t >= buffer.minimum - 1:
                assert sum_tree.total(state.tree) >= LANES
