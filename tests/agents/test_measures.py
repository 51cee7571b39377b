"""What agents tell of how they learn: against plain numpy, and over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from agents.common import auxiliary, measures, optimisers
from envs import parallel

PARAMS = {"w": jnp.array([[1.0, -2.0]]), "b": jnp.array([0.5])}
GRADIENTS = {"w": jnp.array([[3.0, 0.0]]), "b": jnp.array([4.0])}


def test_explained_variance_is_that_of_numpy() -> None:
    rng = np.random.default_rng(0)
    target, mask = rng.normal(1e3, 2.0, (6, 4)).astype(np.float32), rng.random((6, 4)) < 0.7
    value = target + rng.normal(0.0, 1.0, (6, 4)).astype(np.float32)
    wanted = 1 - np.var((target - value)[mask]) / np.var(target[mask])
    assert measures.explained_variance(value, target, mask) == pytest.approx(wanted, rel=1e-3)
    assert measures.explained_variance(value * 0, target, mask) == pytest.approx(0, abs=1e-5)
    assert measures.explained_variance(target, target, mask) == 1


def test_explained_variance_is_finite_where_targets_do_not_vary() -> None:
    for constant in (0.0, 1e3 / 3):
        target = jnp.full((4, 2), constant)
        assert measures.explained_variance(target + jnp.arange(8.0).reshape(4, 2), target, jnp.ones((4, 2), bool)) == 0
    nothing = jnp.zeros((4, 2), bool)
    assert measures.explained_variance(jnp.ones((4, 2)), jnp.arange(8.0).reshape(4, 2), nothing) == 0


def test_measures_are_of_all_devices() -> None:
    target = jnp.arange(12.0).reshape(2, 3, 2) ** 2
    value, mask = target + jnp.sin(target), target % 5 != 1
    spread = jax.vmap(measures.explained_variance, axis_name=parallel.AXIS)(value, target, mask)
    joined = [jnp.concatenate(list(x), 1) for x in (value, target, mask)]
    np.testing.assert_allclose(spread, measures.explained_variance(*joined), rtol=1e-5)

    optimiser = optimisers.adam(0.1)
    each = jax.tree.map(lambda x: jnp.stack([x, -3 * x]), GRADIENTS)  # their mean is -1 of it
    step = lambda g: optimisers.step(optimiser, g, optimiser.init(PARAMS), PARAMS)[2]["gradient_norm"]  # noqa: E731
    np.testing.assert_allclose(jax.vmap(step, axis_name=parallel.AXIS)(each), [5.0, 5.0], rtol=1e-6)


def test_a_step_is_the_optimisers_and_tells_norm_and_rate() -> None:
    schedule = optax.linear_schedule(1.0, 0.0, 4)
    for make in (optimisers.adam, optimisers.rmsprop):
        optimiser = make(schedule, 2.5)
        state, params = optimiser.init(PARAMS), PARAMS
        for t in range(3):
            updates, wanted_state = optimiser.update(GRADIENTS, state, params)
            wanted = optax.apply_updates(params, updates)
            params, state, told = optimisers.step(optimiser, GRADIENTS, state, params, "critic_")
            jax.tree.map(np.testing.assert_array_equal, (params, state), (wanted, wanted_state))
            assert told.keys() == {"critic_gradient_norm", "critic_learning_rate"}
            assert told["critic_gradient_norm"] == 5  # before it is clipped
            assert told["critic_learning_rate"] == pytest.approx(1 - t / 4)


def test_what_is_no_chain_steps_and_tells_nothing() -> None:
    plain = optax.sgd(1.0)
    params, _, told = optimisers.step(plain, GRADIENTS, plain.init(PARAMS), PARAMS)
    assert told == {} and params["b"] == -3.5


def test_parts_and_what_is_added_are_told_of() -> None:
    optimiser = optimisers.apart(w=optimisers.adam(0.1), b=optimisers.adam(0.2))
    _, _, told = optimisers.step(optimiser, GRADIENTS, optimiser.init(PARAMS), PARAMS)
    assert {name: round(float(x), 5) for name, x in told.items()} == {
        **{"w_gradient_norm": 3.0, "w_learning_rate": 0.1},
        **{"b_gradient_norm": 4.0, "b_learning_rate": 0.2},
    }
    joint = auxiliary.receiving(optimisers.adam(0.1))
    state = joint.init(PARAMS)._replace(pending=GRADIENTS)
    assert optimisers.step(joint, GRADIENTS, state, PARAMS)[2]["gradient_norm"] == 10
