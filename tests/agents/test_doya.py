"""Meta-parameters that follow the noise that does good."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import MID, Agent, Info, Sample, Step, TimeStep
from agents.doya import adapted
from envs import keys
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


def test_without_a_step_size_the_discount_stays():
    np.testing.assert_allclose(far_reward.learned([0], mu=0.0, steps=40), [far_reward.START], rtol=1e-5)


SMALL = ["--steps", "2000", "--eval-episodes", "4", "--log-every", "400", "--quiet"]


def test_the_command_adapts_a_table_and_a_network(tmp_path):
    for name, words in {
        "table": ["--agent.adapt", "discount", "learning-rate", "epsilon"],
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
