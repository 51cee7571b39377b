"""The gradient by which an agent learns its own discount and λ."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.a2c import a2c, objective
from agents.base import MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.meta_gradient import meta_gradient
from envs import keys
from envs.base import Box
from tests.experiments.running import CATCH, call

ROWS, LANES = 9, 6
NETWORK = networks.actor_critic(
    networks.Torso(Box((3,)), (4,), cnn=None), networks.CategoricalPolicy(2), networks.Value(), None
)
START, JUDGED = {"discount": 0.8, "lambda_": 0.6}, {"discount": 0.95, "lambda_": 0.9}


def window(seed):
    rng = np.random.default_rng(seed)
    observation = jnp.asarray(rng.normal(size=(ROWS, LANES, 3)), jnp.float32)
    action = jnp.asarray(rng.integers(0, 2, (ROWS, LANES)))
    reward = jnp.asarray(rng.normal(size=(ROWS, LANES)) + 3 * observation[..., 0], jnp.float32)
    kinds, ones = jnp.full((ROWS, LANES), MID, jnp.int8), jnp.ones((ROWS, LANES))
    extras = {"log_prob": -0.7 * ones, "value": 0 * ones}
    return Sample(Step(TimeStep(kinds, reward, ones, observation), action, extras))


def learner(optimiser, values):
    return a2c(NETWORK, optimisers.chain(optimiser), **values, entropy_cost=0.0, through=True)


@pytest.mark.parametrize("optimiser", [optax.sgd(0.05), optax.adam(0.05, eps=0.3)], ids=["sgd", "adam"])
def test_the_meta_gradient_is_that_of_finite_differences(optimiser):
    """Of what one update does to the next rollout's loss, by the numbers before the sigmoid.

    The loss is that with fixed targets, as A2C descends it: its gradient, times how the parameters change.
    """
    make = partial(learner, optimiser)
    agent = meta_gradient(make, START, JUDGED, learning_rate=0.0)
    first, second, key = window(0), window(1), keys.key(0)
    state = agent.init(key, jax.tree.map(lambda x: x[0], first.steps.timestep))
    after, _ = jax.jit(agent.update)(state, key, first)
    _, info = jax.jit(agent.update)(after, key, second)

    judge = objective(NETWORK, **JUDGED, value_cost=0.5, entropy_cost=0.0)
    slope, _ = jax.grad(judge, has_aux=True)(after.inner.params, key, second.steps)

    @jax.jit
    def gained(meta):
        values = dict(zip(sorted(START), jax.nn.sigmoid(meta), strict=True))
        inner, _ = make(values).update(state.inner, key, first)
        return optax.tree.vdot(slope, optax.tree.sub(inner.params, after.inner.params))

    for i, name in enumerate(("discount", "lambda")):
        moved = 0.05 * jnp.eye(2)[i]
        expected = (gained(state.meta + moved) - gained(state.meta - moved)) / 0.1
        assert abs(expected) > 1e-4
        np.testing.assert_allclose(info.metrics[f"meta_gradient_{name}"], expected, rtol=0.03)


def test_an_update_is_that_of_a2c_with_the_numbers_learned():
    make = partial(learner, optax.sgd(0.05))
    agent, key, sample = meta_gradient(make, START, JUDGED, learning_rate=0.0), keys.key(0), window(2)
    state = agent.init(key, jax.tree.map(lambda x: x[0], sample.steps.timestep))
    found, info = agent.update(state, key, sample)
    plain = a2c(NETWORK, optimisers.chain(optax.sgd(0.05)), **START, entropy_cost=0.0)
    expected, _ = plain.update(state.inner, key, sample)
    for own, other in zip(jax.tree.leaves(found.inner), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(own, other, rtol=1e-5, atol=1e-6)
    assert info.metrics["meta_discount"].item() == pytest.approx(0.8, abs=1e-5)
    assert info.metrics["meta_gradient_discount"].item() == 0  # nothing was updated before


def test_numbers_are_learned_from_the_second_rollout_on():
    make = partial(learner, optax.sgd(0.05))
    agent, key = meta_gradient(make, START, JUDGED, learning_rate=0.1, trace=0.5), keys.key(0)
    state = agent.init(key, jax.tree.map(lambda x: x[0], window(0).steps.timestep))
    update, seen = jax.jit(agent.update), []
    for seed in range(4):
        state, info = update(state, key, window(seed))
        seen.append([info.metrics["meta_discount"].item(), info.metrics["meta_lambda"].item()])
    assert np.isclose(seen[0], [0.8, 0.6], atol=1e-5).all()
    assert (np.abs(np.diff(seen, axis=0)) > 1e-4).all() and np.isfinite(seen).all()


def test_the_command_learns_its_numbers_and_refuses_flags_without_use(tmp_path):
    words = [*CATCH, "--num-envs", "4", "--agent.hidden", "8", "--agent.unroll", "8", "--steps", "256", "--quiet"]
    outcome = call("a2c", *words, "--agent.meta-learning-rate", "0.05", "--out", tmp_path / "run")
    assert outcome.code == 0, outcome
    assert "meta_discount" in (tmp_path / "run" / "metrics.csv").read_text().partition("\n")[0]
    outcome = call("a2c", *words, "--agent.meta-lambda", "0.5", "--out", tmp_path / "other")
    assert "--agent.meta-lambda 0.5: of use only with --agent.meta-learning-rate" in outcome.err
