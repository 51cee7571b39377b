"""The replay that keeps demonstrations: what is drawn how often, what is never overwritten, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, LAST, MID, Step, TimeStep
from envs import keys
from replay.base import Info

BATCH = 64
KINDS = [FIRST, MID, MID, LAST] * 2


def rows(values, kinds):
    """Rows `[M]` whose observation and action are a number of their own."""
    values = jnp.asarray(values, jnp.float32)
    kinds = jnp.asarray(kinds, jnp.int8)
    return Step(TimeStep(kinds, 0 * values, 0 * values + 1, values), values.astype(jnp.int32))


def own(begin, steps, lanes=2):
    """Rows `[T, B]` of an episode without end."""
    number = jnp.arange(steps)[:, None] + begin + 1000 * (1 + jnp.arange(lanes)[None])
    return rows(number, jnp.where(jnp.arange(steps)[:, None] + begin == 0, FIRST, MID) + 0 * number)


def made(length=2, capacity=40, **settings):
    memory = replay.with_demonstrations(rows(range(8), KINDS), capacity, BATCH, length, **settings)
    return memory, memory.init(jax.tree.map(lambda x: x[0], own(0, 1)))


def drawn(memory, state, times=8):
    """Samples in a row, joined."""
    samples = [jax.jit(memory.sample)(state, keys.key(i)) for i in range(times)]
    return jax.tree.map(lambda *x: np.concatenate(x, axis=-1), *[(s.steps, s.weight) for s in samples])


def test_before_anything_is_added_all_transitions_of_the_demonstrations_are_drawn():
    memory, state = made()
    steps, weight = drawn(memory, state)
    # Rows 3 and 7 are the last of their episodes, and no window begins there; others do, up to the very end.
    assert set(steps.timestep.observation[0]) == {0, 1, 2, 4, 5, 6}
    assert steps.extras["demonstrated"].all() and (weight == 1).all()
    past = steps.timestep.observation[0] == 6
    assert (steps.timestep.observation[1][past] == 7).all() and (steps.timestep.step_type[2][past] == FIRST).all()


def test_both_parts_are_drawn_by_one_distribution_and_weighed_by_it():
    memory, state = made(alpha=1.0, beta=1.0, own_bonus=0.0, demonstration_bonus=1.0)
    state = memory.add(state, own(0, 10))
    steps, weight = drawn(memory, state, times=16)
    mine = ~steps.extras["demonstrated"][0]
    # 16 windows of priority 1, and 6 of priority 1 + 1.
    assert mine.mean() == pytest.approx(16 / 28, abs=0.02)
    assert set(steps.timestep.observation[0][mine]) == {1000 + i for i in range(8)} | {2000 + i for i in range(8)}
    np.testing.assert_allclose(weight[mine], 1.0, rtol=1e-5)
    np.testing.assert_allclose(weight[~mine], 0.5, rtol=1e-5)


def test_feedback_reaches_the_part_that_it_is_about():
    memory, state = made(alpha=1.0, own_bonus=0.0, demonstration_bonus=1.0)
    state = memory.add(state, own(0, 10))
    sample = memory.sample(state, keys.key(0))
    told = jnp.where(sample.index.demonstrated, 0.0, 3.0)
    after = memory.feedback(state, sample.index, Info({}, priority=told))
    seen = np.asarray(sample.steps.timestep.observation[0])
    leaves = np.asarray(after.own.tree[0]).reshape(-1), np.asarray(after.kept.tree[0]).reshape(-1)
    for i in range(8):
        for lane in range(2):
            assert leaves[0][2 * i + lane] == (3.0 if 1000 * (lane + 1) + i in seen else 1.0)
        if i not in (3, 7):
            assert leaves[1][i] == (1.0 if i in seen else 2.0)


@pytest.mark.parametrize("permanent", [True, False])
def test_demonstrations_are_overwritten_only_if_they_may_be(permanent):
    memory, state = made(permanent=permanent)
    assert drawn(memory, state)[0].extras["demonstrated"].all()
    add = jax.jit(memory.add)
    for begin in range(0, 60, 6):
        state = add(state, own(begin, 6))
    steps, _ = drawn(memory, state)
    flags = steps.extras["demonstrated"]
    assert flags.any() == permanent and not flags.all()
    assert (flags == flags[:1]).all()


def test_windows_are_those_that_a_prioritised_replay_has():
    memory, state = made(permanent=True)
    state = memory.add(state, own(0, 10))
    plain = replay.prioritised(40, BATCH, 2, alpha=0.4, epsilon=1e-3, single=True)
    other = plain.init(jax.tree.map(lambda x: x[0], own(0, 1)))
    np.testing.assert_array_equal(plain.add(other, own(0, 10)).tree[0], state.own.tree[0])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="rows: there are none; give an episode or more"):
        replay.with_demonstrations(rows([], []), 40, BATCH)
    with pytest.raises(ValueError, match="batch_size is 0"):
        replay.with_demonstrations(rows(range(8), KINDS), 40, 0)
    memory, state = made()
    with pytest.raises(ValueError, match=r"Info\.rewrite is given"):
        memory.feedback(state, memory.sample(state, keys.key(0)).index, Info({}, rewrite={}))
