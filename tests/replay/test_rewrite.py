"""What an update found out anew about its rows is stored in them, and nowhere else."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import MID, Info, Step, TimeStep

LANES, ROWS, LENGTH = 2, 7, 3


def rows(begin, end):
    number = 10.0 * jnp.arange(begin, end, dtype=jnp.float32)[:, None] + 1 + jnp.arange(LANES)[None]
    kinds = jnp.full(number.shape, MID, jnp.int8)
    timestep = TimeStep(kinds, number, jnp.ones_like(number), number)
    stored = {"h": jnp.stack([number, -number], -1), "z": number.astype(jnp.uint8)}
    return Step(timestep, number, stored)


def held(state):
    """The ring of any replay's state."""
    return getattr(state, "ring", state)


@pytest.mark.parametrize("total", [ROWS - 1, ROWS, ROWS + 4])
@pytest.mark.parametrize("make", [replay.uniform, replay.prioritised], ids=["uniform", "prioritised"])
def test_rewritten_rows_are_those_that_were_drawn(make, total):
    memory = make(ROWS * LANES, 4, LENGTH)
    state = memory.init(jax.tree.map(lambda x: x[0], rows(0, 1)))
    for t in range(total):
        state = memory.add(state, rows(t, t + 1))
    drawn = memory.sample(state, jax.random.key(total))
    new = jax.tree.map(lambda x: x + 1, drawn.steps.extras)
    after = held(jax.jit(memory.feedback)(state, drawn.index, Info({}, rewrite=new)))
    state = held(state)
    touched = set(np.asarray(drawn.steps.action).astype(int).ravel())
    for before, now, number in zip(
        np.asarray(state.rows.extras["h"]),
        np.asarray(after.rows.extras["h"]),
        np.asarray(state.rows.action),
        strict=True,
    ):
        np.testing.assert_array_equal(now, before + (int(number) in touched))  # a row not yet held has number 0
    assert after.rows.extras["z"].dtype == jnp.uint8
    for name in ("timestep", "action", "carry"):
        same = jax.tree.map(np.array_equal, getattr(state.rows, name), getattr(after.rows, name))
        assert all(jax.tree.leaves(same))
    assert after.head == state.head and after.fill == state.fill


def test_without_anything_to_rewrite_the_replay_stays():
    memory = replay.uniform(ROWS * LANES, 4, LENGTH)
    state = memory.init(jax.tree.map(lambda x: x[0], rows(0, 1)))
    assert memory.feedback(state, (), Info({})) is state
