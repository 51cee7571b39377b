"""The dataset that grows: what is kept, that nothing is overwritten, and what is drawn."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import LAST, MID, Step, TimeStep
from envs import keys


def rows(begin, asked, kinds):
    """Rows `[T, B]` whose observation is a number of their own, labelled with ten times it."""
    asked = jnp.asarray(asked, bool)
    number = begin + jnp.arange(asked.size).reshape(asked.shape)
    timestep = TimeStep(jnp.asarray(kinds, jnp.int8), 0.0 * number, 0.0 * number + 1, number.astype(jnp.float32))
    return Step(timestep, -number, {"asked": asked, "label": 10 * number})


def test_labelled_rows_are_kept_with_their_label_and_nothing_is_overwritten():
    memory = replay.aggregate(5, 16)
    first = rows(0, [[1, 0], [0, 1], [1, 1]], [[MID, MID], [MID, MID], [LAST, MID]])
    state = memory.init(jax.tree.map(lambda x: x[0], first))
    empty = memory.sample(state, keys.key(0))
    assert not empty.weight.any() and not empty.steps.extras["held"].any()
    state = memory.add(state, first)  # rows 0, 3 and 5; row 4 ends an episode
    drawn = jax.jit(memory.sample)(state, keys.key(1))
    assert set(np.asarray(drawn.steps.timestep.observation[0])) == {0, 3, 5}
    np.testing.assert_array_equal(drawn.steps.action[0], 10 * drawn.steps.timestep.observation[0])
    assert (drawn.steps.extras["held"] == 3).all() and (drawn.weight == 1).all()
    assert (drawn.steps.timestep.step_type == MID).all()
    state = memory.add(state, rows(6, [[1, 1], [1, 1]], [[MID, MID]] * 2))
    seen = [memory.sample(state, keys.key(i)).steps.timestep.observation[0] for i in range(4)]
    assert set(np.concatenate(seen)) == {0, 3, 5, 6, 7} and int(state.held) == 5


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="capacity is 0"):
        replay.aggregate(0, 4)
    with pytest.raises(ValueError, match="batch_size is 0"):
        replay.aggregate(4, 0)
