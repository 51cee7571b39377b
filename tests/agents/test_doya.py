"""Meta-parameters that follow the noise that does good."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import MID, Agent, Info, Sample, Step, TimeStep
from agents.doya import adapted
from envs import keys
from experiments import doya as command
from experiments.run import Size
from experiments.studies import far_reward
from tests.experiments.running import call


def recorder(values):
    """An agent that keeps the numbers it was last updated with, and acts by them."""
    names = sorted(values)
    told = lambda: jnp.stack([jnp.asarray(values[name], jnp.float32) for name in names])  # noqa: E731
    return Agent(
        init=lambda key, timestep: jnp.zeros(len(names)),
        actor=lambda state: state,
        begin=lambda lanes: (),
        act=lambda actor, key, carry, timestep, explore: (told(), carry, ()),
        update=lambda state, key, sample: (told(), Info({})),
    )


def window(reward):
    kinds, ones = jnp.full((2, 3), MID, jnp.int8), jnp.ones((2, 3))
    return Sample(Step(TimeStep(kinds, reward * ones, ones, ones), ones))


def test_bases_averages_and_noise_follow_the_rule():
    start, mu, sigma, hold, mid, long = {"discount": 0.9, "rate": 0.01}, 0.2, 0.3, 3, 5.0, 20.0
    agent = adapted(recorder, start, ["discount"], mu=mu, sigma=sigma, hold=hold, mid=mid, long=long)
    state = agent.init(keys.key(0), window(0.0).steps.timestep)
    base, noise, medium, slow = np.array([-np.log(0.1), np.log(0.01)]), np.zeros(2), 0.0, 0.0
    update = jax.jit(agent.update)
    rewards = np.random.default_rng(0).normal(1, 1, 9).astype(np.float32)
    for count, reward in enumerate(rewards):
        used = np.array([1 - np.exp(-(base + noise)[0]), np.exp((base + noise)[1])])
        state, info = update(state, keys.key(count), window(reward))
        np.testing.assert_allclose(state.inner, used, rtol=1e-5)
        medium = reward if count == 0 else medium + (reward - medium) / mid
        slow = reward if count == 0 else slow + (medium - slow) / long
        base = base + mu * (medium - slow) * noise
        changed = not np.allclose(noise, state.noise)
        assert changed == (count % hold == 0)
        noise = np.asarray(state.noise, np.float64)
        np.testing.assert_allclose(state.base, base, rtol=1e-5)
        np.testing.assert_allclose(info.metrics["reward_gain"], medium - slow, atol=1e-5)
        np.testing.assert_allclose(info.metrics["meta_discount"], 1 - np.exp(-base[0]), rtol=1e-5)
    actor = agent.actor(state)
    acted, _, _ = agent.act(actor, keys.key(0), (), window(0.0).steps.timestep, True)
    np.testing.assert_allclose(acted, [1 - np.exp(-(base + noise)[0]), np.exp((base + noise)[1])], rtol=1e-5)


def test_the_noise_has_the_deviation_that_was_asked_for():
    agent = adapted(recorder, {"discount": 0.5}, ["discount"], sigma=0.3, hold=1)
    state = agent.init(keys.key(0), window(0.0).steps.timestep)
    drawn = jax.vmap(lambda key: agent.update(state, key, window(0.0))[0].noise)(jax.random.split(keys.key(1), 2000))
    assert abs(jnp.std(drawn).item() - 0.3) < 0.02 and abs(jnp.mean(drawn).item()) < 0.03


def test_discount_inverse_temperature_and_step_size_adapt_together():
    """γ = 1 - e^-(b + σ), α likewise and β = e^(b + σ) of Dyna-Q, each moved by the merit of its own noise."""
    inner = ("softmax=true", "inverse-temperature=4", "learning-rate=0.2", "discount=0.6", "planning=0")
    adapt = ("discount", "inverse-temperature", "learning-rate")
    config = command.Config(inner=inner, adapt=adapt, mu=0.5, noise=0.4, hold=2, mid=3.0, long=9.0, settle=0)
    world = far_reward.far_reward()
    squashed = lambda b: [1 - np.exp(-max(b[0], 1e-3)), np.exp(b[1]), 1 - np.exp(-max(b[2], 1e-3))]  # noqa: E731
    agent = command.make(config, world.spec, Size(3, 1, 100)).agent
    timestep = window(0.0).steps.timestep._replace(observation=jnp.full((2, 3), 4))
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], timestep))
    base, noise, medium, slow = np.array([-np.log(0.4), np.log(4.0), -np.log(0.8)]), np.zeros(3), 0.0, 0.0
    values, update = 0.0, jax.jit(agent.update)
    for count, reward in enumerate(np.random.default_rng(0).normal(1, 1, 7).astype(np.float32)):
        gamma, beta, alpha = squashed(base + noise)
        np.testing.assert_allclose(list(agent.actor(state).values.values()), [gamma, beta, alpha], rtol=1e-5)
        for _ in range(3):  # the lanes, one after the other, each from place 4 to itself
            values += alpha * (reward + gamma * max(values, 0.0) - values)
        sample = Sample(Step(timestep._replace(reward=jnp.full((2, 3), reward)), jnp.ones((2, 3), jnp.int32)))
        state, info = update(state, keys.key(count), sample)
        np.testing.assert_allclose(state.inner.q[4], [0.0, values], rtol=1e-4, atol=1e-5)
        medium = reward if count == 0 else medium + (reward - medium) / 3.0
        slow = reward if count == 0 else slow + (medium - slow) / 9.0
        base = base + 0.5 * (medium - slow) * noise
        noise = np.asarray(state.noise, np.float64)
        told = [info.metrics[f"meta_{name}"] for name in ("discount", "inverse_temperature", "learning_rate")]
        np.testing.assert_allclose(told, squashed(base), rtol=1e-5)
    assert (abs(np.array(told) / [0.6, 4.0, 0.2] - 1) > 1e-3).all()
    state = state._replace(inner=state.inner._replace(q=state.inner.q.at[4].set(jnp.array([0.0, 0.1]))))
    seen = TimeStep(*(jnp.ones(20_000),) * 3, jnp.full(20_000, 4))
    action, _, _ = agent.act(agent.actor(state), keys.key(9), (), seen, True)
    beta = squashed(base + noise)[1]
    np.testing.assert_allclose(action.mean(), 1 / (1 + np.exp(-0.1 * beta)), atol=0.015)


@pytest.mark.parametrize("three", [False, True])
def test_without_a_step_size_the_discount_stays(three):
    found = far_reward.learned([0], mu=0.0, steps=40, three=three)
    np.testing.assert_allclose(found, [far_reward.START], rtol=1e-5)


SMALL = ["--steps", "2000", "--eval-episodes", "4", "--log-every", "400", "--quiet"]


def test_the_command_adapts_a_table_and_a_network(tmp_path):
    for name, words in {
        "table": ["--agent.adapt", "discount", "learning-rate", "epsilon"],
        "softmax": [
            *["--agent.inner", "softmax=true", "discount=0.6", "planning=4"],
            *["--agent.adapt", "discount", "learning-rate", "inverse-temperature"],
        ],
        "network": ["--env", "bellmax/catch", "--agent.around", "a2c", "--agent.inner", "hidden=8", "unroll=8"],
    }.items():
        outcome = call("doya", *SMALL, *words, "--out", tmp_path / name)
        assert outcome.code == 0, outcome
        assert "meta_discount" in (tmp_path / name / "metrics.csv").read_text().partition("\n")[0]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--agent.adapt planning", "--agent.adapt planning: dyna_q has no such real number; allowed: learning-rate, "),
        ("--agent.inner discount=1", "--agent.inner discount=1: must be above 0 and below 1 to adapt"),
        ("--agent.inner discounts=1", "--agent.inner discounts=1: dyna_q has no such flag; closest: discount"),
        (
            "--agent.around dqn --agent.inner priorities=proportional --agent.adapt alpha --env bellmax/catch",
            "--agent.adapt alpha: is a number of the replay, which does not change",
        ),
    ],
)
def test_what_cannot_adapt_is_refused_in_a_line(words, told, tmp_path):
    outcome = call("doya", *words.split(), "--out", tmp_path / "run")
    assert outcome.code == 2 and outcome.err.count("\n") == 1
    assert told in outcome.err
