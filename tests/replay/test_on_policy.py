import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import valid
from tests.replay import model

PATTERNS = [[(3, model.TRUNCATED)], [(2, model.TERMINATED)]]


def test_the_last_chunk_comes_back_whole():
    buffer = replay.on_policy(4)
    steps = model.history(PATTERNS, 13)
    state = buffer.init(jax.tree.map(lambda x: x[0], steps))
    for start in (0, 4, 8):
        state = buffer.add(state, model.rows(steps, start, start + 5))
        sample = buffer.sample(state, jax.random.key(0))
        jax.tree.map(np.testing.assert_array_equal, sample.steps, model.rows(steps, start, start + 5))
        assert sample.weight == 1.0
    assert buffer.feedback(state, sample.index, None) is state
    assert buffer.wants_next_row and buffer.minimum == 4


def test_it_is_a_stable_carry_also_over_seeds():
    buffer = replay.on_policy(2)
    steps = jax.tree.map(jnp.asarray, model.history(PATTERNS, 6))
    chunks = jax.tree.map(lambda x: jnp.stack([x[:3], x[2:5]]), steps)

    def run(step, chunks):
        return jax.lax.scan(lambda state, chunk: (buffer.add(state, chunk), ()), buffer.init(step), chunks)[0]

    seeds = jax.tree.map(lambda x: jnp.stack([x, x + 1]), (jax.tree.map(lambda x: x[0], steps), chunks))
    state = jax.jit(jax.vmap(run))(*seeds)
    jax.tree.map(np.testing.assert_array_equal, state, jax.tree.map(lambda x: x[:, 1], seeds[1]))


def test_nothing_counts_before_the_first_chunk():
    state = replay.on_policy(4).init(jax.tree.map(lambda x: x[0], model.history(PATTERNS, 1)))
    assert not np.any(valid(replay.on_policy(4).sample(state, jax.random.key(0)).steps))


def test_impossible_arguments():
    with pytest.raises(ValueError, match="unroll is 0"):
        replay.on_policy(0)
    steps = model.history(PATTERNS, 4)
    buffer = replay.on_policy(4)
    with pytest.raises(ValueError, match="the chunk has 4 rows; unroll = 4 takes 5"):
        buffer.add(buffer.init(jax.tree.map(lambda x: x[0], steps)), steps)


@pytest.mark.parametrize("beside", [False, True])
def test_of_what_is_remembered_the_first_row_is_kept(beside):
    memory = jnp.arange(1.0, 6.0)[:, None, None] * jnp.ones((5, len(PATTERNS), 3))
    steps = jax.tree.map(jnp.asarray, model.history(PATTERNS, 5))._replace(extras={"value": memory}, carry=memory)
    buffer = replay.on_policy(4)
    if beside:
        buffer = replay.fresh_and_replayed(buffer, replay.uniform(20, 2, 4))
    state = buffer.init(jax.tree.map(lambda x: x[0], steps))
    for _ in range(2):  # the older windows of the second need rows of both
        state = buffer.add(state, steps)
    kept = buffer.sample(state, jax.random.key(0)).steps
    assert kept.carry.shape == (1, 4 if beside else 2, 3)
    np.testing.assert_array_equal(kept.carry[:, :2], memory[:1])
    np.testing.assert_array_equal(kept.extras["value"][:, :2], memory)
