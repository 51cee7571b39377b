"""Losses of inverse reinforcement learning, against float64 numpy and by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import losses

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(4, 3)) * 4
SIGMOID = 1 / (1 + np.exp(-LOGITS))


def near(found, expected):
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=1e-6)


def single(x):
    return jnp.asarray(x, jnp.float32)


def test_the_discriminator_s_loss_is_the_cross_entropy():
    expert = RNG.random((4, 3)) < 0.5
    expected = -np.where(expert, np.log(SIGMOID), np.log(1 - SIGMOID))
    near(losses.discriminator_loss(single(LOGITS), jnp.asarray(expert)), expected)
    assert np.isfinite(losses.discriminator_loss(jnp.array([200.0, -200.0]), jnp.array([False, True]))).all()


def test_its_entropy_is_that_of_a_coin():
    near(losses.bernoulli_entropy(single(LOGITS)), -SIGMOID * np.log(SIGMOID) - (1 - SIGMOID) * np.log(1 - SIGMOID))
    near(losses.bernoulli_entropy(jnp.zeros(1)), [np.log(2)])


@pytest.mark.parametrize(
    ("form", "expected"),
    [("positive", -np.log(1 - SIGMOID)), ("negative", np.log(SIGMOID)), ("logit", np.log(SIGMOID / (1 - SIGMOID)))],
)
def test_rewards_are_those_of_the_probabilities_and_numbers(form, expected):
    near(losses.adversarial_reward(single(LOGITS), form), expected)
    assert not jax.grad(lambda x: jnp.sum(losses.adversarial_reward(x, form)))(single(LOGITS)).any()


def test_another_form_of_reward_is_refused():
    with pytest.raises(ValueError, match=r"^adversarial_reward: form is 'both'; allowed: positive, negative, logit$"):
        losses.adversarial_reward(jnp.zeros(1), "both")


def test_the_penalty_is_0_for_slopes_of_1():
    gradient = RNG.normal(size=(4, 5))
    near(losses.gradient_penalty(single(gradient)), (np.linalg.norm(gradient, axis=-1) - 1) ** 2)
    near(losses.gradient_penalty(jnp.array([0.6, 0.8])), 0.0)
    assert np.isfinite(jax.grad(lambda x: losses.gradient_penalty(x))(jnp.zeros(3))).all()


def test_shaping_adds_up_to_the_potentials_at_the_ends():
    reward, log_prob = RNG.normal(size=(2, 6))
    potential, discount = RNG.normal(size=7), 0.9 * (np.arange(6) < 5)  # the last transition ends the episode
    shaped = losses.shaped_reward(*map(single, (reward, potential[:-1], potential[1:], discount)))
    near(shaped, reward + discount * potential[1:] - potential[:-1])
    weights = 0.9 ** np.arange(6)
    near(weights @ np.asarray(shaped), weights @ reward - potential[0])
    near(losses.airl_logits(shaped, single(log_prob)), np.asarray(shaped) - log_prob)
    gradients = jax.grad(lambda *x: jnp.sum(losses.airl_logits(*x)), (0, 1))(shaped, single(log_prob))
    assert gradients[0].all() and not gradients[1].any()


def test_the_gap_is_what_the_learner_is_paid_beyond_the_expert():
    reward, learner, expert = RNG.normal(size=(3, 4, 2))
    near(losses.occupancy_gap(*map(single, (reward, learner, expert))), reward * (learner - expert))
    gradients = jax.grad(lambda *x: jnp.sum(losses.occupancy_gap(*x)), (0, 1, 2))(
        *map(single, (reward, learner, expert))
    )
    near(gradients[0], learner - expert)
    assert not gradients[1].any() and not gradients[2].any()


def test_a_projection_is_the_nearest_point_between_two():
    mean, reached = jnp.array([0.0, 0.0]), jnp.array([2.0, 0.0])
    near(losses.projected(mean, reached, jnp.array([0.5, 7.0])), 0.25)
    near(losses.projected(mean, reached, jnp.array([5.0, 0.0])), 1.0)
    near(losses.projected(mean, reached, jnp.array([-1.0, 0.0])), 0.0)
    near(losses.projected(mean, mean, jnp.array([1.0, 0.0])), 0.0)
