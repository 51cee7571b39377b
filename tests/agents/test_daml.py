"""One-shot imitation by a learned loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.daml import daml, one_step, spans
from envs import keys, parallel
from tests.experiments.running import call


def test_one_step_goes_down_the_loss_by_each_rate():
    """Of a policy that is linear, by hand."""
    from agents.daml import Params

    policy = lambda theta, x: (x @ theta["w"] + theta["b"][None],) * 2  # noqa: E731
    loss = lambda psi, h: psi * jnp.mean(jnp.square(h))  # noqa: E731
    rng = np.random.default_rng(0)
    x, w, b, psi = rng.normal(size=(7, 2)), rng.normal(size=(2, 1)), rng.normal(size=1), 1.7
    params = Params({"w": jnp.asarray(w), "b": jnp.asarray(b)}, psi, {"w": 0.3, "b": 0.05})
    found = one_step(policy, loss, params, jnp.asarray(x))
    error = x @ w + b
    np.testing.assert_allclose(found["w"], w - 0.3 * psi * 2 * x.T @ error / 7, rtol=1e-4)
    np.testing.assert_allclose(found["b"], b - 0.05 * psi * 2 * error.mean(0), rtol=1e-4)


@pytest.mark.parametrize("length", [1, 4, 5])
def test_a_product_of_spans_is_a_convolution_through_time(length):
    rng = np.random.default_rng(0)
    h, kernel = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(length, 3, 2)).astype(np.float32)
    wanted = jax.lax.conv_general_dilated(h[None], kernel, (1,), "SAME", dimension_numbers=("NHC", "HIO", "NHC"))[0]
    found = spans(jnp.asarray(h), length) @ kernel.reshape((-1, 2))
    np.testing.assert_allclose(found, wanted, rtol=1e-4, atol=1e-5)


def shown(seed, lanes=3):
    env = envs.make("bellmax/one-shot", points=6)
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(seed), lanes))
    return timestep


def sample(seed):
    rows = jax.tree.map(lambda x: jnp.stack([x, x]), shown(seed))
    rows = rows._replace(step_type=jnp.full_like(rows.step_type, MID))
    return Sample(Step(rows, jnp.zeros((2, 3, 1))))


def learner(**settings):
    return daml(optimisers.adam(1e-2), hidden=(8,), filters=4, length=3, **settings)


def test_the_answer_depends_on_what_is_shown_only_by_the_adaptation():
    one, other = shown(0), shown(1)
    mixed = one._replace(observation={**one.observation, "stream": other.observation["stream"]})
    for adapts in (True, False):
        agent = learner(adapts=adapts)
        params = agent.actor(agent.init(keys.key(0), one))
        answers = [agent.act(params, keys.key(0), (), timestep, False)[0] for timestep in (one, mixed)]
        assert answers[0].shape == (3, 1)
        assert (jnp.abs(answers[0] - answers[1]) > 1e-6).all() == adapts
        told = mixed._replace(observation={**one.observation, "demo": 0 * one.observation["demo"]})
        np.testing.assert_array_equal(agent.act(params, keys.key(0), (), told, False)[0], answers[0])  # not read


@pytest.mark.parametrize("learned", [True, False])
def test_an_update_trains_policy_and_rates_and_the_loss_if_it_is_learned(learned):
    agent = learner(learned=learned)
    state = agent.init(keys.key(0), shown(0))
    after, info = jax.jit(agent.update)(state, keys.key(0), sample(0))
    moved = lambda a, b: any((x != y).any() for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))  # noqa: E731
    assert moved(after.params.policy, state.params.policy) and moved(after.params.rates, state.params.rates)
    assert moved(after.params.loss, state.params.loss) == learned
    for _ in range(30):
        after, later = jax.jit(agent.update)(after, keys.key(0), sample(0))
    assert later.metrics["loss"] < info.metrics["loss"]


def test_two_devices_with_half_of_the_tasks_each_learn_what_one_learns_from_all():
    agent, state = learner(), learner().init(keys.key(0), shown(0))
    one, two = sample(1).steps, sample(2).steps
    whole = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), one, two)
    apart = jax.tree.map(lambda a, b: jnp.stack([a, b]), one, two)
    learn = lambda window: agent.update(state, keys.key(0), Sample(window))[0]  # noqa: E731
    wanted, update = jax.jit(learn)(whole), jax.vmap(learn, axis_name=parallel.AXIS)
    for place in range(2):
        found = jax.tree.map(lambda x, place=place: x[place], jax.jit(update)(apart))
        for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_other_tasks_are_refused_in_a_line(tmp_path):
    outcome = call("daml", "--env", "bellmax/catch", "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert (
        "--env bellmax/catch: its observations are" in outcome.err
        and "must be a dict with stream, demo, x" in outcome.err
    )


def test_the_task_shows_a_curve_that_is_turned():
    env = envs.make("bellmax/one-shot", points=8, queries=2, angle=0.7)
    state, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(3), 5))
    seen = jax.tree.map(np.asarray, timestep.observation)
    back = seen["stream"] @ np.array([[np.cos(0.7), -np.sin(0.7)], [np.sin(0.7), np.cos(0.7)]])
    amplitude, phase = np.asarray(state.inner.amplitude)[:, None], np.asarray(state.inner.phase)[:, None]
    np.testing.assert_allclose(2 * back[..., 1], amplitude * np.sin(5 * back[..., 0] + phase), atol=1e-4)
    np.testing.assert_allclose(seen["demo"][..., 1], amplitude * np.sin(5 * seen["demo"][..., 0] + phase), atol=1e-4)
    right = amplitude * np.sin(5 * seen["x"] + phase)
    for error in (0.0, 0.5):
        _, after = jax.vmap(env.step)(state, jnp.asarray(right + error))
        np.testing.assert_allclose(after.reward, -(error**2), atol=1e-5)
    assert isinstance(timestep, TimeStep)
