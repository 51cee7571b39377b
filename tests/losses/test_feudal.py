"""FuN's losses against float64 numpy written out plainly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses
from agents.base import FIRST, LAST, MID

C, D = 3, 4
# An episode under way, truncated or terminated; one broken off without a LAST; one that the window cuts.
STEP_TYPE = np.array([MID, MID, MID, LAST, FIRST, MID, FIRST, MID, MID, MID, MID, MID], np.int8)
ROWS, BEFORE = len(STEP_TYPE), 1
RNG = np.random.default_rng(0)
S, G = RNG.normal(size=(2, C + ROWS, D))
ADVANTAGE = RNG.normal(size=ROWS - 1)
AGES = np.array([2, 3, 4, 5, 0, 1, 0, 1, 2, 3, 4, 5], np.int32)


def cos(x, y):
    return x @ y / (np.linalg.norm(x) * np.linalg.norm(y))


def last_within(t):
    end = t
    while end < t + C and end + 1 < ROWS and STEP_TYPE[end + 1] != FIRST:
        end += 1
    return end


def reference_manager():
    s, g = S[C:], G[C:]
    out = np.zeros(ROWS - 1)
    for t in range(ROWS - 1):
        if STEP_TYPE[t + 1] != FIRST:
            out[t] = -ADVANTAGE[t] * cos(s[last_within(t)] - s[t], g[t])
    return out


def reference_intrinsic():
    out = np.zeros(ROWS)
    for t in range(ROWS):
        for i in range(1, min(C, AGES[t]) + 1):
            out[t] += cos(S[C + t] - S[C + t - i], G[C + t - i]) / C
    return out


def reference_pooled():
    return np.array([G[C + t - min(C, AGES[t]) : C + t + 1].sum(0) for t in range(ROWS)])


def manager(s, g, advantage, step_type):
    return losses.transition_policy_gradient(s[C:], g[C:-1], advantage, step_type, C)


@pytest.mark.parametrize("batched", [False, True])
def test_golden(batched):
    """Under jit, of one stream, and of two equal ones in a batch."""

    def of(function, *arrays):
        arrays = [jnp.asarray(x, jnp.float32 if x.dtype == np.float64 else x.dtype) for x in arrays]
        if not batched:
            return jax.jit(function)(*arrays)
        return jax.jit(jax.vmap(function, 1, 1))(*(jnp.stack([x, x], 1) for x in arrays))[:, 1]

    np.testing.assert_array_equal(of(lambda kind: losses.row_ages(kind, jnp.int32(BEFORE)), STEP_TYPE), AGES)
    np.testing.assert_array_equal(
        of(lambda kind: losses.horizon_ends(kind, C), STEP_TYPE), [last_within(t) for t in range(ROWS - 1)]
    )
    close = {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(of(manager, S, G, ADVANTAGE, STEP_TYPE), reference_manager(), **close)
    np.testing.assert_allclose(of(losses.goal_intrinsic, S, G, AGES), reference_intrinsic(), **close)
    np.testing.assert_allclose(of(losses.pooled_goals, G, AGES), reference_pooled(), **close)


def test_a_window_of_one_row_gives_what_the_whole_gives():
    """As acting sees it: one row, with the c rows before it."""
    s, g, ages = jnp.asarray(S, jnp.float32), jnp.asarray(G, jnp.float32), jnp.asarray(AGES)
    whole = losses.goal_intrinsic(s, g, ages), losses.pooled_goals(g, ages)
    for t in (0, 5, 11):
        rows = slice(t, t + C + 1)
        one = losses.goal_intrinsic(s[rows], g[rows], ages[t : t + 1]), losses.pooled_goals(g[rows], ages[t : t + 1])
        np.testing.assert_allclose(one[0][0], whole[0][t], rtol=1e-6)
        np.testing.assert_allclose(one[1][0], whole[1][t], rtol=1e-6)


def test_gradients_flow_into_goals_alone():
    arrays = [jnp.asarray(x, jnp.float32) for x in (S, G, ADVANTAGE)]
    total = lambda *x: jnp.sum(manager(*x, jnp.asarray(STEP_TYPE)))  # noqa: E731
    s, g, advantage = jax.grad(total, (0, 1, 2))(*arrays)
    assert not np.any(s) and not np.any(advantage)
    moved = np.any(np.asarray(g)[C:-1] != 0, axis=-1)
    np.testing.assert_array_equal(moved, STEP_TYPE[1:] != FIRST)
    paid = jax.grad(lambda s, g: jnp.sum(losses.goal_intrinsic(s, g, jnp.asarray(AGES))), (0, 1))(*arrays[:2])
    assert not any(np.any(x) for x in paid)


def test_what_does_not_move_pays_nothing():
    still = jnp.ones((C + 2, D))
    np.testing.assert_array_equal(losses.goal_intrinsic(still, still, jnp.array([5, 6])), np.zeros(2))


def test_a_goal_of_length_0_has_a_gradient_of_0():
    """As where nothing has been seen yet, of which a norm would make NaN."""
    arrays = [jnp.asarray(x, jnp.float32) for x in (S, G, ADVANTAGE)]
    g = arrays[1].at[C + 1].set(0.0)
    total = lambda g: jnp.sum(manager(arrays[0], g, arrays[2], jnp.asarray(STEP_TYPE)))  # noqa: E731
    slope = np.asarray(jax.grad(total)(g))
    assert np.isfinite(slope).all() and not slope[C + 1].any() and slope[C].any()
