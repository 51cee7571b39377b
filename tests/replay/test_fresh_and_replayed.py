import jax
import numpy as np
import pytest

import replay
from tests.replay import model

PATTERNS = [[(3, model.TRUNCATED)], [(2, model.TERMINATED)]]


def test_fresh_lanes_come_first_and_windows_of_the_past_after_them():
    steps = model.history(PATTERNS, 13)
    both, alone = replay.fresh_and_replayed(replay.on_policy(4), replay.uniform(40, 3, 4)), replay.uniform(40, 3, 4)
    state, old = (buffer.init(jax.tree.map(lambda x: x[0], steps)) for buffer in (both, alone))
    for start in (0, 4, 8):
        state = both.add(state, model.rows(steps, start, start + 5))
        old = alone.add(old, model.rows(steps, start, start + 4))  # a peek is not stored twice
    sample = both.sample(state, jax.random.key(1))
    expected = alone.sample(old, jax.random.split(jax.random.key(1))[1])
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, :2], y), sample.steps, model.rows(steps, 8, 13))
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x[:, 2:], y), sample.steps, expected.steps)
    jax.tree.map(np.testing.assert_array_equal, sample.index, expected.index)
    assert both.wants_next_row and both.minimum == 5


def test_the_past_does_not_peek():
    with pytest.raises(ValueError, match="past: a replay that wants to peek"):
        replay.fresh_and_replayed(replay.on_policy(4), replay.on_policy(4))
