"""The Ψ family: values by plain numpy, and on a task with a known gradient what theory says of bias and variance."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses
from agents.base import FIRST
from experiments.studies.policy_weights import FAMILY, bias, variance
from tests.losses.test_golden import DISCOUNT, LAM, STEP_TYPE, V_ALL, R, ends, reference_gae, reference_n_step

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


def off(psi: str, wrong_by: float) -> float:
    """The bias of one seed."""
    return float(bias([0], psi, wrong_by)[0])


@pytest.mark.parametrize("psi", FAMILY)
def test_with_the_right_critic_all_have_the_gradient_of_the_return_as_their_mean(psi):
    assert off(psi, 0.0) < 0.03


@pytest.mark.parametrize("psi", FAMILY)
def test_with_a_wrong_critic_those_that_bootstrap_are_biased_and_no_other(psi):
    if psi in ("total", "reward_to_go", "baselined"):
        assert off(psi, 2.0) < 0.03
    else:
        assert off(psi, 2.0) > 0.1
    if psi == "gae":
        assert off(psi, 2.0) < off("td", 2.0)


def test_variance_falls_from_the_total_return_to_the_advantage():
    found = {psi: float(variance([0], psi)[0]) for psi in FAMILY}
    order = ["total", "reward_to_go", "baselined", "gae", "td", "advantage"]
    assert sorted(order, key=found.__getitem__, reverse=True) == order, found
    assert found["reward_to_go"] > found["q"] > found["advantage"], found
