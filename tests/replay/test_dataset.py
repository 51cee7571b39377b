import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from tests.replay import model

PATTERNS = [[(3, model.TRUNCATED), (2, model.TERMINATED)], [(4, model.INTERRUPTED)]]


@pytest.mark.parametrize(("lanes", "length"), [(1, 1), (2, 3)])
def test_samples_are_the_windows_of_the_log(lanes, length):
    log = model.history(PATTERNS[:lanes], 14)
    buffer = replay.dataset(log, 512, length)
    state = buffer.init(jax.tree.map(lambda x: x[0], log))
    assert state == () and buffer.minimum == 0
    assert buffer.add(state, model.rows(log, 0, 2)) == () and buffer.feedback(state, (), None) == ()
    sample = jax.jit(buffer.sample)(state, jax.random.key(0))
    drawn = model.assert_windows(log, sample.steps, length)
    assert drawn == {(t, b) for t in range(14 - length) for b in range(lanes)}
    np.testing.assert_array_equal(log.action[sample.index.time, sample.index.lane], sample.steps.action[0])


def test_vmapped_seeds_equal_single_ones():
    buffer = replay.dataset(model.history(PATTERNS, 14), 4)
    keys = jax.random.split(jax.random.key(1), 2)
    alone = jax.jit(buffer.sample)
    together = jax.jit(jax.vmap(buffer.sample))((), keys)
    for s in range(2):
        jax.tree.map(lambda x, y, s=s: np.testing.assert_array_equal(x[s], y), together, alone((), keys[s]))
    assert np.any(together.steps.action[0] != together.steps.action[1])


def test_impossible_arguments():
    log = model.history(PATTERNS, 3)
    with pytest.raises(ValueError, match="batch_size is 0"):
        replay.dataset(log, 0)
    with pytest.raises(ValueError, match="length is 0"):
        replay.dataset(log, 1, 0)
    with pytest.raises(ValueError, match=r"length = 3 needs T >= 4"):
        replay.dataset(log, 1, 3)
    with pytest.raises(ValueError, match=r"the same \[T, B\]"):
        replay.dataset(log._replace(action=jnp.zeros((4, 2))), 1)
    with pytest.raises(ValueError, match=r"the same \[T, B\]"):
        replay.dataset(jax.tree.map(lambda x: x[:, 0], log)._replace(action=np.zeros(3)), 1)
