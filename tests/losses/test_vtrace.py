"""V-trace against plain numpy, and the policy whose value it converges to."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from agents import losses
from agents.base import FIRST, MID
from tests.losses.test_golden import DISCOUNT, LAM, STEP_TYPE, V_ALL, R, ends, reference_gae

RHO = np.exp(np.random.default_rng(12).normal(size=len(R)))


def reference(r, discount, rho, v, step_type, lam, clip_rho, clip_pg_rho):
    """Equation 1 of the paper as the sum it is, forwards from every row."""
    valid, error = step_type[1:] != FIRST, np.zeros(len(r))
    for t in np.flatnonzero(valid):
        weight = 1.0
        for k in range(t, len(r)):
            error[t] += weight * min(clip_rho, rho[k]) * (r[k] + discount[k] * v[k + 1] - v[k])
            if ends(k, step_type):
                break
            weight *= discount[k] * lam[k] * min(1.0, rho[k])
    goal = [v[t + 1] + (0.0 if ends(t, step_type) else lam[t] * error[t + 1]) for t in range(len(r))]
    return error, valid * np.minimum(clip_pg_rho, rho) * (r + discount * goal - v[:-1])


@pytest.mark.parametrize("bounds", [(1.0, 1.0), (0.5, 2.0), (np.inf, np.inf)])
def test_against_numpy(bounds):
    args = R, DISCOUNT, RHO, V_ALL, STEP_TYPE, LAM, *bounds
    actual = jax.jit(losses.vtrace)(*(jnp.asarray(x, None if x is STEP_TYPE else jnp.float32) for x in args))
    for a, e in zip(actual, reference(*args), strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)


def test_on_policy_it_is_the_generalised_advantage():
    window = [jnp.asarray(x, jnp.float32) for x in (R, DISCOUNT, np.ones_like(R), V_ALL)]
    error, _ = losses.vtrace(*window, jnp.asarray(STEP_TYPE), jnp.asarray(LAM, jnp.float32))
    np.testing.assert_allclose(error, reference_gae(R, DISCOUNT, V_ALL, STEP_TYPE, LAM), rtol=1e-5, atol=1e-5)


def test_within_an_episode_these_are_rlaxs():
    r, discount, rho, v, lam = (jnp.asarray(x, jnp.float32) for x in (R, DISCOUNT, RHO, V_ALL, LAM))
    kind = jnp.full(len(v), MID, jnp.int8)
    expected = rlax.vtrace_td_error_and_advantage(v[:-1], v[1:], r, discount, rho, lam)
    for a, e in zip(losses.vtrace(r, discount, rho, v, kind, lam), expected[:2], strict=True):
        np.testing.assert_allclose(a, e, rtol=1e-5, atol=1e-5)
    advantage = rlax.truncated_generalized_advantage_estimation(r, discount, lam, v)
    np.testing.assert_allclose(losses.gae(r, discount, lam, v, kind), advantage, rtol=1e-5, atol=1e-5)
    returns = rlax.lambda_returns(r, discount, v[1:], lam)
    np.testing.assert_allclose(losses.lambda_returns(r, discount, v[1:], kind, lam), returns, rtol=1e-5, atol=1e-5)


def test_no_gradient_flows_out():
    window = [jnp.asarray(x, jnp.float32) for x in (R, DISCOUNT, RHO, V_ALL)]
    loss = lambda *window: sum(map(jnp.sum, losses.vtrace(*window, jnp.asarray(STEP_TYPE))))  # noqa: E731
    assert not any(g.any() for g in jax.grad(loss, (0, 2, 3))(*window))


S, A, STEPS, GAMMA = 4, 3, 3, 0.9
RNG = np.random.default_rng(5)
REWARD, MOVE = 0.1 * RNG.normal(size=(S, A)), RNG.dirichlet(np.ones(S), (S, A))
PI, MU = RNG.dirichlet(np.ones(A), S), RNG.dirichlet(np.ones(A), S)


def value_of(pi):
    moves = np.einsum("sa,sat->st", pi, MOVE)
    return np.linalg.solve(np.eye(S) - GAMMA * moves, np.sum(pi * REWARD, -1))


def fixed_point(clip_rho, corrected=True):
    """Where the expected operator over all trajectories of STEPS steps under μ leads, in float64; ρ is 1 or π / μ."""
    paths = np.array(list(itertools.product(range(S), *[range(A), range(S)] * STEPS)))
    states, actions = paths[:, ::2], paths[:, 1::2]
    before, after = states[:, :-1], states[:, 1:]
    chance = np.prod(MU[before, actions] * MOVE[before, actions, after], axis=1)
    with jax.enable_x64(True):
        reward, rho = (jnp.asarray(x[before, actions]) for x in (REWARD, PI / MU if corrected else np.ones_like(PI)))
        opens, discount = jnp.asarray(np.eye(S)[states[:, 0]] * chance[:, None]), jnp.full(STEPS, GAMMA)
        step_type = jnp.full(STEPS + 1, MID, jnp.int8)

        def operator(_, v):
            of_path = lambda r, rho, v: losses.vtrace(r, discount, rho, v, step_type, 1.0, clip_rho)[0][0]  # noqa: E731
            return v + jax.vmap(of_path)(reward, rho, v[states]) @ opens

        return np.asarray(jax.jit(lambda v: jax.lax.fori_loop(0, 1500, operator, v))(jnp.zeros(S)))


@pytest.mark.parametrize("clip_rho", [0.5, 1.0, 2.0, np.inf])
def test_the_fixed_point_is_the_value_of_the_policy_between(clip_rho):
    between = np.minimum(clip_rho * MU, PI)
    between /= between.sum(-1, keepdims=True)
    np.testing.assert_allclose(fixed_point(clip_rho), value_of(between), rtol=0, atol=4e-15)


def test_without_the_correction_it_is_the_value_of_the_behaviour():
    np.testing.assert_allclose(fixed_point(1.0, corrected=False), value_of(MU), rtol=0, atol=4e-15)
    assert np.abs(value_of(MU) - value_of(PI)).max() > 0.05


def test_only_unclipped_ratios_lead_to_the_value_of_the_policy():
    np.testing.assert_allclose(fixed_point(np.inf), value_of(PI), rtol=0, atol=4e-15)
    assert np.abs(fixed_point(1.0) - value_of(PI)).max() > 0.01
