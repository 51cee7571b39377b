import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from networks import GRU, LSTM, DilatedLSTM, fan_in_uniform

T, B, D, H = 6, 3, 4, 5
CORES = [LSTM(H, fan_in_uniform(), fan_in_uniform()), GRU(H, fan_in_uniform(), fan_in_uniform())]
INPUTS = np.random.default_rng(0).normal(size=(T, B, D)).astype(np.float32)
NONE = np.zeros((T, B), bool)


@functools.partial(jax.jit, static_argnames="core")
def run(core, params, carry, inputs, first):
    return core.apply(params, carry, inputs, first)


@functools.lru_cache
def params_of(core):
    return core.init(jax.random.key(0), core.begin(B), INPUTS[:1], NONE[:1])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def reference(core, params, inputs):
    """Float64, step by step, one lane, from zeros."""
    p = jax.tree.map(np.float64, params["params"])
    h = c = np.zeros(H)
    outputs = []
    for x in np.float64(inputs):
        driven, recurrent = x @ p["input"]["kernel"] + p["input"]["bias"], h @ p["recurrent"]
        if isinstance(core, LSTM):
            i, f, g, o = np.split(driven + recurrent, 4)
            c = sigmoid(f + 1) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            (x_r, x_z, x_n), (h_r, h_z, h_n) = np.split(driven, 3), np.split(recurrent, 3)
            z = sigmoid(x_z + h_z)
            h = (1 - z) * np.tanh(x_n + sigmoid(x_r + h_r) * (h_n + p["bias"][0])) + z * h
        outputs.append(h)
    return np.stack(outputs)


@pytest.mark.parametrize("core", CORES, ids=["lstm", "gru"])
def test_equations(core):
    _, outputs = run(core, params_of(core), core.begin(B), INPUTS, NONE)
    for lane in range(B):
        np.testing.assert_allclose(outputs[:, lane], reference(core, params_of(core), INPUTS[:, lane]), atol=1e-5)


@pytest.mark.parametrize("core", CORES, ids=["lstm", "gru"])
def test_a_reset_within_the_window_equals_two_windows(core):
    params = params_of(core)
    dirty = jax.tree.map(lambda x: x + 0.7, core.begin(B))
    first = NONE.copy()
    first[3, 1] = True  # lane 1 alone starts anew
    carry, outputs = run(core, params, dirty, INPUTS, first)
    untouched_carry, untouched = run(core, params, dirty, INPUTS, NONE)
    fresh_carry, fresh = run(core, params, core.begin(B), INPUTS[3:], NONE[3:])
    for lane in (0, 2):
        np.testing.assert_array_equal(outputs[:, lane], untouched[:, lane])
    np.testing.assert_array_equal(outputs[:3, 1], untouched[:3, 1])
    np.testing.assert_allclose(outputs[3:, 1], fresh[:, 1], atol=1e-6)
    assert np.abs(outputs[3:, 1] - untouched[3:, 1]).max() > 1e-3
    for ours, theirs, old in zip(*map(jax.tree.leaves, (carry, fresh_carry, untouched_carry)), strict=True):
        np.testing.assert_allclose(ours[1], theirs[1], atol=1e-6)
        np.testing.assert_array_equal(ours[0], old[0])


@pytest.mark.parametrize("core", CORES, ids=["lstm", "gru"])
def test_stepping_equals_a_window(core):
    params = params_of(core)
    first = np.random.default_rng(1).random((T, B)) < 0.3
    carry, outputs = run(core, params, core.begin(B), INPUTS, first)
    stepped, rows = core.begin(B), []
    for t in range(T):
        stepped, row = run(core, params, stepped, INPUTS[t : t + 1], first[t : t + 1])
        rows.append(row[0])
    np.testing.assert_allclose(np.stack(rows), outputs, atol=1e-6)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), stepped, carry)


@pytest.mark.parametrize("core", CORES, ids=["lstm", "gru"])
def test_one_step_builds_no_scan_and_a_window_only_one_product_per_step(core):
    def ops(t):
        jaxpr = jax.make_jaxpr(core.apply)(params_of(core), core.begin(B), INPUTS[:t], NONE[:t])
        return {eqn.primitive.name: eqn for eqn in jaxpr.eqns}

    assert "scan" not in ops(1)
    inside = [eqn.primitive.name for eqn in ops(T)["scan"].params["jaxpr"].eqns]
    assert inside.count("dot_general") == 1


def test_the_carry_starts_at_zero():
    for core in CORES:
        leaves = jax.tree.leaves(core.begin(B))
        assert all(x.shape == (B, H) and not x.any() for x in leaves)
    assert len(jax.tree.leaves(LSTM(H).begin(B))) == 2


def test_no_gradient_passes_a_reset():
    core, params = CORES[0], params_of(CORES[0])
    first = NONE.copy()
    first[2] = True

    @jax.jit
    def late_outputs(inputs):
        return jnp.sum(core.apply(params, core.begin(B), inputs, first)[1][2:])

    grad = jax.grad(late_outputs)(INPUTS)
    assert not grad[:2].any() and grad[2:].any()


DILATION = 2
DILATED = DilatedLSTM(H, DILATION, fan_in_uniform(), fan_in_uniform())


def dilated_reference(params, inputs):
    """Each part is an LSTM on its own rows; the output is the mean of the newest h of the parts so far."""
    parts = [reference(CORES[0], params, inputs[i::DILATION]) for i in range(DILATION)]
    newest = lambda t: [parts[s % DILATION][s // DILATION] for s in range(max(0, t + 1 - DILATION), t + 1)]  # noqa: E731
    return np.stack([np.mean(newest(t), axis=0) for t in range(len(inputs))])


def test_a_dilated_lstm_is_as_many_lstms_that_take_turns():
    params = params_of(DILATED)
    _, outputs = run(DILATED, params, DILATED.begin(B), INPUTS, NONE)
    for lane in range(B):
        np.testing.assert_allclose(outputs[:, lane], dilated_reference(params, INPUTS[:, lane]), atol=1e-5)


def test_a_dilated_lstm_goes_on_row_by_row_and_begins_anew():
    """Lanes whose episodes began in different rows have their turns apart."""
    params, first = params_of(DILATED), NONE.copy()
    first[3, 1] = True
    _, whole = run(DILATED, params, DILATED.begin(B), INPUTS, first)
    carry, rows = DILATED.begin(B), []
    for t in range(T):
        carry, row = run(DILATED, params, carry, INPUTS[t : t + 1], first[t : t + 1])
        rows.append(row[0])
    np.testing.assert_allclose(np.stack(rows), whole, atol=1e-6)
    np.testing.assert_allclose(whole[3:, 1], dilated_reference(params, INPUTS[3:, 1]), atol=1e-5)
    np.testing.assert_array_equal(carry[2], [T, T - 3, T])
