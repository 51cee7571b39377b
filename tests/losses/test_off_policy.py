import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from agents import losses
from agents.base import FIRST, LAST, MID
from tests.losses import test_golden as golden
from tests.losses.test_golden import DISCOUNT, STEP_TYPE, A, T

K = 31
Z = np.linspace(-30, 30, K)  # holds every return that the windows below can have


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def expected_trace(a, pi, mu, step_type, lam):
    """c of rows 1, ..., T, 0 where the recursion stops."""
    stops = [golden.ends(t, step_type) or step_type[t + 1] == FIRST for t in range(len(a))]
    return np.array([0.0 if stops[t] else lam * min(1.0, pi[t, a[t]] / mu[t]) for t in range(len(a))])


def reference_q_lambda(r, discount, q, step_type, lam):
    return golden.reference_lambda_returns(r, discount, q.max(-1), step_type, lam)


def reference_retrace(r, discount, q, a, pi, mu, step_type, lam):
    c = expected_trace(a, pi, mu, step_type, lam)
    out = np.zeros(len(r))
    for t in range(len(r)):
        if step_type[t + 1] == FIRST:
            continue
        # The sum of temporal differences of Munos et al., equation (4), started from 0 instead of Q.
        weight, s = 1.0, t
        while True:
            out[t] += weight * (r[s] + discount[s] * pi[s] @ q[s])
            if c[s] == 0:
                break
            weight *= discount[s] * c[s]
            out[t] -= weight * q[s, a[s]]
            s += 1
    return out


def project(position, mass, z):
    out = np.zeros(len(z))
    b = (min(max(position, z[0]), z[-1]) - z[0]) / (z[1] - z[0])
    low = min(int(b), len(z) - 2)
    out[low], out[low + 1] = mass * (low + 1 - b), mass * (b - low)
    return out


def weights(t, a, pi, c):
    """(s, action, α) of the target of transition t, as in the paper: rows s + 1 and what each counts."""
    trace, s = 1.0, t
    while True:
        for action in range(pi.shape[1]):
            yield s, action, trace * (pi[s, action] - (action == a[s]) * c[s])
        if c[s] == 0:
            return
        trace, s = trace * c[s], s + 1


def reference_categorical_retrace(r, discount, probs, a, pi, mu, step_type, lam):
    c = expected_trace(a, pi, mu, step_type, lam)
    out = np.zeros((len(r), K))
    for t in range(len(r)):
        if step_type[t + 1] == FIRST:
            continue
        for s, action, alpha in weights(t, a, pi, c):
            gammas = np.cumprod([1.0, *discount[t : s + 1]])
            shift = sum(g * x for g, x in zip(gammas, r[t : s + 1], strict=False))
            for j in range(K):
                out[t] += project(shift + gammas[-1] * Z[j], alpha * probs[s, action, j], Z)
    return out


def reference_beta_loo(pi, a, q, g, mu, bound):
    beta = np.minimum(bound, 1 / mu)
    taken = np.arange(len(a)), a
    return -(beta * (g - q[taken]) * pi[taken] + (q * pi).sum(-1))


R, Q, LAM = golden.R, golden.Q1, golden.LAM
ACTIONS = golden.ACTIONS
PI, MU = softmax(golden.Q2), np.random.default_rng(5).uniform(0.05, 1, T)
PROBS = softmax(5 * golden.normal(10, T, A, K))
OFF = (ACTIONS, PI, MU, STEP_TYPE)
CASES = {
    "q_lambda_returns": (losses.q_lambda_returns, reference_q_lambda, (R, DISCOUNT, Q, STEP_TYPE, LAM)),
    "retrace_weights": (
        lambda *args: losses.retrace_weights(*args, 0.9),
        lambda *args: expected_trace(*args, 0.9),
        OFF,
    ),
    "retrace_returns": (
        lambda *args: losses.retrace_returns(*args, 0.9),
        lambda *args: reference_retrace(*args, 0.9),
        (R, DISCOUNT, Q, *OFF),
    ),
    "categorical_retrace": (
        lambda *args: losses.categorical_retrace(jnp.asarray(Z, jnp.float32), *args, 0.9),
        lambda *args: reference_categorical_retrace(*args, 0.9),
        (R, DISCOUNT, PROBS, *OFF),
    ),
    "beta_leave_one_out": (
        lambda *args: losses.beta_leave_one_out(*args, 3.0),
        lambda *args: reference_beta_loo(*args, 3.0),
        (PI, ACTIONS, Q, R, MU),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name):
    loss, reference, args = CASES[name]
    np.testing.assert_allclose(jax.jit(loss)(*golden.as_jax(args)), reference(*args), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_vmap_over_lanes(name):
    loss, _, args = CASES[name]
    # The second lane has other rewards and the same episodes.
    other = tuple(-x if x is R else x for x in args)
    both = tuple(np.stack(pair, 1) for pair in zip(args, other, strict=True))
    actual = jax.jit(jax.vmap(loss, 1, 1))(*golden.as_jax(both))
    for lane, lane_args in enumerate((args, other)):
        np.testing.assert_allclose(actual[:, lane], jax.jit(loss)(*golden.as_jax(lane_args)), rtol=1e-4, atol=1e-5)


def test_q_lambda_within_an_episode_is_that_of_rlax():
    r, discount, q_tm1, q_t = golden.as_jax((R, np.full(T, 0.9), golden.Q3, Q))
    a = jnp.asarray(ACTIONS)
    errors = rlax.q_lambda(q_tm1, a, r, discount, q_t, 0.7)
    returns = losses.q_lambda_returns(r, discount, q_t, jnp.full(T + 1, MID, jnp.int8), 0.7)
    np.testing.assert_allclose(returns - rlax.batched_index(q_tm1, a), errors, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("lambda_", [0.0, 0.65, 1.0])
def test_q_lambda_stops_at_a_truncation_and_bootstraps_there(lambda_):
    r, q = jnp.arange(1.0, 5.0), jnp.array([[1.0, 2.0], [3.0, 10.0], [7.0, 8.0], [5.0, 4.0]])
    step_type = jnp.array([FIRST, MID, LAST, FIRST, MID], jnp.int8)
    truncated = losses.q_lambda_returns(r, jnp.full(4, 0.9), q, step_type, lambda_)
    terminated = losses.q_lambda_returns(r, jnp.array([0.9, 0.0, 0.9, 0.9]), q, step_type, lambda_)
    assert truncated[1] == pytest.approx(2 + 0.9 * 10)
    assert terminated[1] == pytest.approx(2)
    assert truncated[0] == pytest.approx(1 + 0.9 * ((1 - lambda_) * 2 + lambda_ * truncated[1]))
    np.testing.assert_array_equal(truncated[2:], [0, 4 + 0.9 * np.float32(5)])
    # Were the two mixed up as with one `done`, either the bootstrap or the stop would be lost.
    through = rlax.lambda_returns(r, jnp.full(4, 0.9), q.max(-1), lambda_)
    assert lambda_ == 0 or abs(through[1] - truncated[1]) > 0.1


def test_retrace_within_an_episode_is_that_of_rlax():
    r, discount, q, q_tm1, pi, mu = golden.as_jax((R, np.full(T, 0.9), Q, golden.Q3, PI, MU))
    a, a_tm1 = jnp.asarray(ACTIONS), jnp.asarray(ACTIONS[::-1].copy())
    errors = rlax.retrace(q_tm1, q, a_tm1, a, r, discount, pi, mu, 0.9)
    returns = losses.retrace_returns(r, discount, q, a, pi, mu, jnp.full(T + 1, MID, jnp.int8), 0.9)
    np.testing.assert_allclose(returns - rlax.batched_index(q_tm1, a_tm1), errors, rtol=1e-4, atol=1e-5)


def test_targets_pass_no_gradient():
    r, discount, q, pi, mu, probs = golden.as_jax((R, DISCOUNT, Q, PI, MU, PROBS))
    off, z = (jnp.asarray(ACTIONS), pi, mu, jnp.asarray(STEP_TYPE)), jnp.asarray(Z, jnp.float32)
    by_q = jax.grad(lambda q: jnp.sum(losses.retrace_returns(r, discount, q, *off)))(q)
    by_probs = jax.grad(lambda p: jnp.sum(losses.categorical_retrace(z, r, discount, p, *off) * z[None]))(probs)
    assert not by_q.any()
    assert not by_probs.any()


# Distributional Retrace.


def sampled():
    args = golden.as_jax((R, DISCOUNT, PROBS, *OFF))
    target = losses.categorical_retrace(jnp.asarray(Z, jnp.float32), *args)
    return np.float64(target), STEP_TYPE[1:] != FIRST


def test_the_mean_is_scalar_retrace_and_the_masses_sum_to_one():
    target, real = sampled()
    r, discount, probs, *off = golden.as_jax((R, DISCOUNT, PROBS, *OFF))
    scalar = losses.retrace_returns(r, discount, probs @ jnp.asarray(Z, jnp.float32), *off)
    np.testing.assert_allclose(target[real].sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(target @ Z, scalar, rtol=1e-5, atol=1e-5)
    assert not target[~real].any()


def test_negative_masses_are_kept_because_the_mean_needs_them():
    target, real = sampled()
    assert target[real].min() < -0.01
    clipped = np.maximum(target[real], 0)
    clipped /= clipped.sum(-1, keepdims=True)
    assert abs((clipped - target[real]) @ Z).max() > 0.1


def test_weights_of_the_mixture_sum_to_one_and_some_are_negative():
    c = expected_trace(*OFF, 1.0)
    for t in np.flatnonzero(STEP_TYPE[1:] != FIRST):
        assert sum(alpha for *_, alpha in weights(t, ACTIONS, PI, c)) == pytest.approx(1)
    assert min(alpha for *_, alpha in weights(9, ACTIONS, PI, c)) < 0


def test_projecting_once_spreads_less_than_at_every_step():
    """On-policy without rewards the un-projected target is a shrunk copy of the last distribution, projected once."""
    n, discount = 8, 0.95
    z, delta = np.linspace(-1, 1, 11), np.eye(11)[8]
    probs = np.broadcast_to(delta, (n, 1, 11))
    stepwise = delta
    for _ in range(n):
        stepwise = sum(project(discount * x, p, z) for x, p in zip(z, stepwise, strict=True))
    args = (np.zeros(n), np.full(n, discount), probs, np.zeros(n, np.int32), np.ones((n, 1)), np.ones(n))
    step_type = np.full(n + 1, MID, np.int8)
    target = losses.categorical_retrace(jnp.asarray(z, jnp.float32), *golden.as_jax((*args, step_type)))[0]
    spread = lambda p: p @ z**2 - (p @ z) ** 2  # noqa: E731
    once = project(discount**n * z[8], 1.0, z)
    np.testing.assert_allclose(target, once, atol=1e-5)
    assert target @ z == pytest.approx(stepwise @ z, abs=1e-5)
    assert spread(stepwise) > 2 * spread(once)


# A random task of 4 states, 3 actions and 2 successors each, and its windows of 3 transitions, with probabilities.
STATES, WINDOW, GAMMA = 4, 3, 0.8
MDP = np.random.default_rng(0)
SUCCESSOR = np.stack([MDP.permutation(STATES)[:2] for _ in range(STATES * A)]).reshape(STATES, A, 2)
CHANCE = MDP.dirichlet([1, 1], (STATES, A))
REWARD = MDP.uniform(-1, 1, (STATES, A, 2))
POLICY, BEHAVIOUR = MDP.dirichlet(np.full(A, 0.5), STATES), MDP.dirichlet(np.full(A, 0.5), STATES)


def true_values():
    kernel = np.zeros((STATES, A, STATES))
    for b in range(2):
        np.add.at(kernel, (*np.indices((STATES, A)), SUCCESSOR[..., b]), CHANCE[..., b])
    q = np.zeros((STATES, A))
    for _ in range(500):
        q = (CHANCE * REWARD).sum(-1) + GAMMA * kernel @ (POLICY * q).sum(-1)
    return q


def windows():
    """All windows of the behaviour from every state and action: states and rewards after it, actions, probability."""
    found = [([s], [a], [], 1.0) for s in range(STATES) for a in range(A)]
    for t in range(WINDOW):
        found = [
            ([*s, SUCCESSOR[s[-1], a[-1], b]], a, [*r, REWARD[s[-1], a[-1], b]], p * CHANCE[s[-1], a[-1], b])
            for s, a, r, p in found
            for b in range(2)
        ]
        actions = range(A) if t + 1 < WINDOW else (0,)  # what is done in the last row does not matter
        found = [
            (s, [*a, x], r, p * (BEHAVIOUR[s[-1], x] if t + 1 < WINDOW else 1)) for s, a, r, p in found for x in actions
        ]
    return tuple(np.array(x) for x in zip(*found, strict=True))


def fixed_point(spoil=lambda target: target):
    """Means `[S, A]` after iterating the expected operator of distributional Retrace, in float64."""
    with jax.enable_x64(True):
        z = jnp.linspace(-6, 6, 13)
        states, actions, rewards, chance = (jnp.asarray(x) for x in windows())
        pi, mu = jnp.asarray(POLICY), jnp.asarray(BEHAVIOUR)
        step_type = jnp.full(WINDOW + 1, MID, jnp.int8)

        def of_window(probs, s, a, r):
            off = (a[1:], pi[s[1:]], mu[s[1:], a[1:]], step_type)
            return losses.categorical_retrace(z, r, jnp.full(WINDOW, GAMMA), probs[s[1:]], *off)[0]

        def operator(probs, _):
            target = spoil(jax.vmap(of_window, (None, 0, 0, 0))(probs, states, actions, rewards))
            at = states[:, 0] * A + actions[:, 0]
            return jax.ops.segment_sum(chance[:, None] * target, at, STATES * A).reshape(STATES, A, -1), None

        probs = jnp.full((STATES, A, z.size), 1 / z.size)
        probs, _ = jax.jit(lambda probs: jax.lax.scan(operator, probs, None, 120))(probs)
        assert np.abs(np.sum(probs, -1) - 1).max() < 1e-9
        return np.asarray(probs @ z)


def test_the_off_policy_fixed_point_is_the_value_of_the_policy():
    assert np.abs(POLICY - BEHAVIOUR).max() > 0.3
    np.testing.assert_allclose(fixed_point(), true_values(), atol=1e-6)


def test_clipping_negative_masses_moves_the_fixed_point():
    def clipped(target):
        target = jnp.maximum(target, 0)
        return target / jnp.sum(target, -1, keepdims=True)

    assert np.abs(fixed_point(clipped) - true_values()).max() > 0.005


# β-leave-one-out on a softmax bandit: bias and variance of the gradient, by exact sums over actions and returns.

LOGITS = jnp.array([0.4, -0.3, 0.1])
MU_BANDIT = np.array([0.2, 0.7, 0.1])
VALUES, CRITIC, NOISE = np.array([1.0, 0.2, -0.5]), np.array([0.1, 0.6, 0.3]), 0.5


@functools.cache
def bias_and_variance(bound):
    def loss(logits, a, g):
        pi, q = jax.nn.softmax(logits), jnp.asarray(CRITIC, jnp.float32)
        return losses.beta_leave_one_out(pi, a, q, g, jnp.asarray(MU_BANDIT, jnp.float32)[a], bound)

    outcomes = [(a, VALUES[a] + sign * NOISE, MU_BANDIT[a] / 2) for a in range(3) for sign in (-1, 1)]
    actions, returns, chance = (np.array(x) for x in zip(*outcomes, strict=True))
    gradients = jax.vmap(jax.grad(loss), (None, 0, 0))(LOGITS, jnp.asarray(actions), jnp.asarray(returns, jnp.float32))
    gradients = np.float64(gradients)
    pi = softmax(np.float64(LOGITS))
    exact = -pi * (VALUES - pi @ VALUES)
    mean = chance @ gradients
    return np.linalg.norm(mean - exact), chance @ ((gradients - mean) ** 2).sum(-1)


def test_beta_trades_bias_for_variance():
    bias, variance = zip(*(bias_and_variance(bound) for bound in (0.0, 1.0, 3.0, np.inf)), strict=True)
    assert bias[0] > bias[1] > bias[2] > bias[3]
    assert bias[3] == pytest.approx(0, abs=1e-6)
    assert variance[0] == pytest.approx(0, abs=1e-9)
    assert variance[0] < variance[1] < variance[2] < variance[3]


def test_beta_loo_pulls_on_the_policy_alone():
    pi, a, q, g, mu = golden.as_jax((PI, ACTIONS, Q, R, MU))
    loss = lambda pi, q, g: jnp.sum(losses.beta_leave_one_out(pi, a, q, g, mu))  # noqa: E731
    by_pi, by_q, by_return = jax.grad(loss, (0, 1, 2))(pi, q, g)
    expected = -np.asarray(q)
    expected[np.arange(T), ACTIONS] -= R - Q[np.arange(T), ACTIONS]  # β = 1
    np.testing.assert_allclose(by_pi, expected, rtol=1e-5, atol=1e-6)
    assert not by_q.any()
    assert not by_return.any()


def test_retrace_from_values_is_retrace():
    """With the policy's expectation as the value, and weights from logarithms, it is the form for discrete actions."""
    rng = np.random.default_rng(3)
    q, a, r, mu = rng.normal(size=(T, A)), rng.integers(A, size=T), rng.normal(size=T), rng.uniform(0.2, 1, T)
    pi = softmax(rng.normal(size=(T, A)))
    done = pi[np.arange(T), a]
    weights_t = losses.traces(*(jnp.asarray(np.log(x), jnp.float32) for x in (done, mu)), jnp.asarray(STEP_TYPE), 0.9)
    np.testing.assert_allclose(weights_t, expected_trace(a, pi, mu, STEP_TYPE, 0.9), rtol=1e-5)
    arrays = [jnp.asarray(x, jnp.float32) for x in (r, DISCOUNT, (pi * q).sum(-1), q[np.arange(T), a])]
    found = losses.retrace_from_values(*arrays, weights_t, jnp.asarray(STEP_TYPE))
    np.testing.assert_allclose(
        found, reference_retrace(r, DISCOUNT, q, a, pi, mu, STEP_TYPE, 0.9), rtol=1e-4, atol=1e-4
    )
    slope = jax.grad(lambda v: losses.retrace_from_values(*arrays[:2], v, arrays[3], weights_t, STEP_TYPE).sum())
    np.testing.assert_array_equal(slope(arrays[2]), 0)
