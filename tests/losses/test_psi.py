"""The Ψ family: values by plain numpy, and on a task with a known gradient what theory says of bias and variance."""

from functools import cache
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses
from agents.base import FIRST, LAST, MID
from envs import keys
from tests.losses.test_golden import DISCOUNT, LAM, STEP_TYPE, V_ALL, R, ends, reference_gae, reference_n_step

FAMILY = get_args(losses.Psi)
Q = np.random.default_rng(11).normal(size=len(R))
VALID = STEP_TYPE[1:] != FIRST


def reference(psi):
    to_go = reference_n_step(len(R))(R, DISCOUNT, V_ALL[1:], STEP_TYPE)
    if psi == "total":
        out, opening = np.zeros(len(R)), 0
        for t in range(len(R)):
            out[t] = to_go[opening] if VALID[t] else 0.0
            if not VALID[t] or ends(t, STEP_TYPE):
                opening = t + 1
        return out
    return (
        VALID
        * {
            "reward_to_go": to_go,
            "baselined": to_go - V_ALL[:-1],
            "q": Q,
            "advantage": Q - V_ALL[:-1],
            "td": R + DISCOUNT * V_ALL[1:] - V_ALL[:-1],
            "gae": reference_gae(R, DISCOUNT, V_ALL, STEP_TYPE, LAM),
        }[psi]
    )


@pytest.mark.parametrize("psi", FAMILY)
def test_against_numpy(psi):
    weights = jax.jit(losses.policy_weights, static_argnums=0)(psi, R, DISCOUNT, V_ALL, STEP_TYPE, Q, LAM)
    np.testing.assert_allclose(weights, reference(psi), rtol=1e-5, atol=1e-5)


def test_refuses_what_it_cannot_do():
    window = [jnp.zeros(3), jnp.ones(3), jnp.zeros(4), jnp.ones(4, jnp.int8)]
    with pytest.raises(ValueError, match="'best' must be one of total"):
        losses.policy_weights("best", *window)
    with pytest.raises(ValueError, match="'q' needs action values"):
        losses.policy_weights("q", *window)


# Three states, two actions, LENGTH steps and then the end; rewards and moves are drawn once. γ = 1, so that all of the
# family follow the same gradient. Values depend on how many steps are left, and are known.
S, A, LENGTH, EPISODES = 3, 2, 5, 200_000
RNG = np.random.default_rng(0)
REWARD, MOVE, THETA = RNG.normal(size=(S, A)), RNG.dirichlet(np.ones(S), (S, A)), RNG.normal(size=(S, A))


def exact(theta):
    """`v[LENGTH + 1, S]` and `q[LENGTH, S, A]` of softmax(theta)."""
    v, q = [jnp.zeros(S)], []
    for _ in range(LENGTH):
        q.insert(0, REWARD + MOVE @ v[0])
        v.insert(0, jnp.sum(jax.nn.softmax(theta) * q[0], -1))
    return jnp.stack(v), jnp.stack(q)


@cache
def gradients(wrong_by: float, lambda_: float = 0.5) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """The gradient of the expected return, `[S * A]`, and each Ψ's estimates `[EPISODES, S * A]`.

    The critic's values are off by `wrong_by` in state 0 and right elsewhere.
    """
    theta = jnp.asarray(THETA, jnp.float32)
    pi = jax.nn.softmax(theta)
    true = jax.grad(lambda theta: jnp.mean(exact(theta)[0][0]))(theta)
    v, q = exact(theta)
    error = wrong_by * jnp.eye(S)[0]
    v, q = v.at[:-1].add(error[None]), q + error[None, :, None] * jnp.array([1.0, -0.5])[None, None]

    def episode(key):
        def step(s, key):
            k_action, k_move = jax.random.split(key)
            a = jax.random.categorical(k_action, theta[s])
            return jax.random.categorical(k_move, jnp.log(jnp.asarray(MOVE, jnp.float32))[s, a]), (s, a)

        k_start, k_steps = jax.random.split(key)
        last, (s, a) = jax.lax.scan(step, jax.random.randint(k_start, (), 0, S), jax.random.split(k_steps, LENGTH))
        t, reward = jnp.arange(LENGTH), jnp.asarray(REWARD, jnp.float32)[s, a]
        values = jnp.append(v[t, s], v[LENGTH, last])
        discount = jnp.where(t == LENGTH - 1, 0.0, 1.0)
        step_type = jnp.where(jnp.arange(LENGTH + 1) == LENGTH, LAST, MID).at[0].set(FIRST)
        score = jax.nn.one_hot(s, S)[:, :, None] * (jax.nn.one_hot(a, A) - pi[s])[:, None]
        weights = [
            losses.policy_weights(psi, reward, discount, values, step_type, q[t, s, a], lambda_) for psi in FAMILY
        ]
        return jnp.einsum("pt,tsa->psa", jnp.stack(weights), score).reshape((len(FAMILY), -1))

    estimates = jax.jit(jax.vmap(episode))(jax.random.split(keys.key(0), EPISODES))
    return np.asarray(true).ravel(), {psi: np.asarray(estimates[:, i]) for i, psi in enumerate(FAMILY)}


def bias(wrong_by: float, psi: str) -> float:
    true, estimates = gradients(wrong_by)
    return float(np.linalg.norm(estimates[psi].mean(0) - true) / np.linalg.norm(true))


@pytest.mark.parametrize("psi", FAMILY)
def test_with_the_right_critic_all_have_the_gradient_of_the_return_as_their_mean(psi):
    assert bias(0.0, psi) < 0.03


@pytest.mark.parametrize("psi", FAMILY)
def test_with_a_wrong_critic_those_that_bootstrap_are_biased_and_no_other(psi):
    if psi in ("total", "reward_to_go", "baselined"):
        assert bias(2.0, psi) < 0.03
    else:
        assert bias(2.0, psi) > 0.1
    if psi == "gae":
        assert bias(2.0, psi) < bias(2.0, "td")


def test_variance_falls_from_the_total_return_to_the_advantage():
    variance = {psi: x.var(0).sum() for psi, x in gradients(0.0)[1].items()}
    order = ["total", "reward_to_go", "baselined", "gae", "td", "advantage"]
    assert sorted(order, key=variance.get, reverse=True) == order, variance
    assert variance["reward_to_go"] > variance["q"] > variance["advantage"], variance
