"""Losses of options, against float64 numpy."""

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses

RNG = np.random.default_rng(0)
Q, BETA = RNG.normal(size=(5, 3)), RNG.random(5)
SOME = np.array([0, 2, 1, 1, 0])


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


def test_choosing_anew_is_worth_the_best_option_or_a_random_one():
    near(losses.option_choice(jnp.asarray(Q)), Q.max(-1))
    near(losses.option_choice(jnp.asarray(Q), 0.1), 0.9 * Q.max(-1) + 0.1 * Q.mean(-1))


def test_arriving_is_worth_going_on_or_choosing_anew():
    q, v = Q[np.arange(5), SOME], Q.max(-1)
    near(losses.option_arrival(*(jnp.asarray(x) for x in (q, BETA, v))), (1 - BETA) * q + BETA * v)
    near(
        losses.option_arrival(jnp.asarray(q), jnp.array([0.0, 1, 0, 1, 0]), jnp.asarray(v)),
        [q[0], v[1], q[2], v[3], q[4]],
    )


def test_an_end_is_worth_what_choosing_anew_gains_and_only_its_probability_learns():
    q, v = Q[np.arange(5), SOME], Q.max(-1)
    arrays = [jnp.asarray(x, jnp.float32) for x in (BETA, q, v)]
    near(losses.termination_loss(*arrays, 0.3), BETA * (q - v + 0.3))
    of_beta, *others = jax.grad(lambda *x: jnp.sum(losses.termination_loss(*x, 0.3)), argnums=(0, 1, 2))(*arrays)
    near(of_beta, q - v + 0.3)
    assert all(not np.any(x) for x in others)
