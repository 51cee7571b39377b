"""MAESN: the step of the latents, what is drawn once for an episode, what is learned through the step, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import Sample
from agents.common import optimisers
from agents.common.linear_baseline import rollouts
from agents.maesn import Latents, Seen, log_q, maesn, prior_kl, stepped
from envs import keys
from envs.base import Box, blank
from experiments import maesn as command
from experiments.run import flags, prepare
from experiments.studies import structured_noise
from tests.agents.test_maml import LENGTH, TASKS, close, of_halves, window

NETWORK = networks.q_network(networks.Torso(Box((4,)), (8,), cnn=None), networks.GaussianPolicy(2))


def with_latents(seed, latents=None):
    """The window of MAML's tests, with z of each episode."""
    steps = window(seed)
    first = np.asarray(steps.timestep.step_type)[..., None] == 0
    drawn = np.random.default_rng(seed).normal(size=(*first.shape[:2], 2)).astype(np.float32)
    noise = drawn[0]
    held = []
    for row in range(len(drawn)):
        noise = np.where(first[row], drawn[row], noise)
        held.append(noise)
    held = jnp.asarray(np.stack(held))
    latents = latents or Latents(jnp.zeros((TASKS, 2)), jnp.zeros((TASKS, 2)))
    z = latents.mean[None] + jnp.exp(latents.log_std[None]) * held
    return steps._replace(extras={**steps.extras, "latent": z, "noise": held})


def seen_of(steps):
    drawn = (jnp.moveaxis(steps.extras[name][:-1], 0, 1) for name in ("latent", "noise"))
    return Seen(rollouts(steps, 0.99, 1.0), *drawn)


def test_the_step_is_that_of_whole_episodes():
    seen = jax.tree.map(lambda x: x[0], seen_of(with_latents(1)))
    latents = Latents(jnp.zeros(2), jnp.zeros(2))
    rate = Latents(jnp.array([0.5, 0.1]), jnp.array([0.2, 0.3]))
    first = np.asarray(seen.rows.step_type[:-1]) == 0
    z, advantage = np.asarray(seen.latent)[first], np.asarray(seen.rows.advantage)[first]
    advantage = (advantage - advantage.mean()) / advantage.std()
    after = stepped(latents, rate, seen)
    np.testing.assert_allclose(after.mean, np.array([0.5, 0.1]) * (advantage[:, None] * z).mean(0), rtol=1e-4)
    spread = (advantage[:, None] * (z**2 - 1)).mean(0)
    np.testing.assert_allclose(after.log_std, np.array([0.2, 0.3]) * spread, rtol=1e-4, atol=1e-6)
    by_step = stepped(latents, rate, seen, hold=False)
    assert not np.allclose(by_step.mean, after.mean)


def test_densities_by_hand():
    latents = Latents(jnp.array([0.5, -1.0]), jnp.array([0.2, -0.3]))
    z = np.array([[0.0, 0.0], [1.0, -2.0]])
    mean, std = np.array([0.5, -1.0]), np.exp([0.2, -0.3])
    expected = (-0.5 * ((z - mean) / std) ** 2 - np.log(std)).sum(1)
    np.testing.assert_allclose(log_q(latents, jnp.asarray(z)), expected, rtol=1e-5)
    kl = (np.log(1 / std) + (std**2 + mean**2) / 2 - 0.5).sum()
    np.testing.assert_allclose(prior_kl(latents), kl, rtol=1e-5)
    assert float(prior_kl(Latents(jnp.zeros(2), jnp.zeros(2)))) == 0


@pytest.fixture(scope="module")
def whole():
    """The agent, and its states before and after the two windows of a trial."""
    agent = maesn(NETWORK, optimisers.adam(1e-2, 1.0), LENGTH, 2, epochs=2)
    first = jax.tree.map(lambda x: x[0], window().timestep)
    state = agent.init(jax.random.key(0), first)
    update, states = jax.jit(agent.update), [state]
    for seed in (1, 2):
        state, info = update(state, jax.random.key(0), Sample(with_latents(seed, state.adapted)))
        states.append(state)
    return agent, states, info.metrics


def test_a_trial_steps_once_and_learns_once(whole):
    _, (start, after, learned), metrics = whole
    jax.tree.map(np.testing.assert_array_equal, start.params, after.params)
    seen = seen_of(with_latents(1, start.adapted))
    for task in range(TASKS):
        own = jax.tree.map(lambda x, task=task: x[task], start.adapted)
        expected = stepped(own, start.params.rate, jax.tree.map(lambda x, task=task: x[task], seen))
        np.testing.assert_allclose(after.adapted.mean[task], expected.mean, rtol=1e-4, atol=1e-6)
    jax.tree.map(np.testing.assert_array_equal, learned.adapted, learned.params.latents)
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), start.params, learned.params)
    assert all(x > 1e-4 for x in jax.tree.leaves(moved)), "policy, latents and step sizes are learned"
    assert [bool(s.stepped) for s in (start, after, learned)] == [False, True, False]
    assert float(metrics["gain"]) == float(metrics["return_1"] - metrics["return_0"])


def test_z_is_held_for_an_episode(whole):
    agent, (_, after, _), _ = whole
    timestep = jax.tree.map(lambda x: x[1], window().timestep)  # no episode opens
    noise = jnp.arange(2.0 * TASKS).reshape(TASKS, 2)
    _, carry, extras = agent.act(agent.actor(after), jax.random.key(1), noise, timestep, True)
    np.testing.assert_array_equal(carry, noise)
    z = after.adapted.mean + jnp.exp(after.adapted.log_std) * noise
    np.testing.assert_allclose(extras["latent"], z, rtol=1e-6)
    opening = timestep._replace(step_type=timestep.step_type.at[0].set(0))
    _, carry, _ = agent.act(agent.actor(after), jax.random.key(1), noise, opening, True)
    assert (carry[0] != noise[0]).all() and (carry[1:] == noise[1:]).all()
    loose = maesn(NETWORK, optimisers.adam(1e-2), LENGTH, 2, hold=False)
    _, carry, _ = loose.act(loose.actor(after), jax.random.key(1), noise, timestep, True)
    assert (carry != noise).all()


def test_coverage_and_hits_by_hand():
    place = np.zeros((structured_noise.LENGTH + 1, 2, 2), np.float32)
    place[20, 0] = [np.cos(0.05 * np.pi), np.sin(0.05 * np.pi)]  # the last row of the first episode
    place[30, 0] = [np.cos(0.5 * np.pi), np.sin(0.5 * np.pi)]  # within 0.2 of the middles of two parts
    timestep = window().timestep._replace(observation=jnp.asarray(place))
    made = window()._replace(timestep=timestep)
    np.testing.assert_allclose(structured_noise.reached(made), [0.3, 0.0], atol=1e-6)
    goals = jnp.array([[np.cos(0.05 * np.pi), np.sin(0.05 * np.pi)], [0.1, 0.0]])
    np.testing.assert_allclose(structured_noise.hits(made, goals), (1 / 20 + 1) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "bellmax/catch", "--env-options"], "--env bellmax/catch: must be a distribution of tasks"),
        (["--env-options", "episodes=2"], "--env-options: a task stays for 2 episodes; .* say episodes=0"),
        (["--agent.latent", "0"], "--agent.latent 0: must be at least 1"),
    ],
)
def test_refusals(words, message):
    with pytest.raises(ValueError, match=message):
        config = flags.parse(command.Flags, words, "maesn")
        flags.check(config)
        command.check(config.agent, prepare.environment(config).spec, prepare.size_of(config))


@pytest.mark.parametrize("id", ["HalfCheetahVelocity", "HalfCheetahDirection", "ML1/Reach-v3"])
def test_it_is_built_for_tasks_of_simulators_that_stay_for_good(id):
    words = ["--env", f"meta/{id}", "--env-options", "episodes=0", "time_limit=9", "--agent.rollouts", "3"]
    config = flags.parse(command.Flags, words, "maesn")
    flags.check(config)
    spec = prepare.environment(config).spec
    command.check(config.agent, spec, prepare.size_of(config))
    built = command.make(config.agent, spec, prepare.size_of(config))
    assert built.schedule.unroll == 3 * (9 + 1)
    state = jax.eval_shape(built.agent.init, keys.key(0), blank(spec, 4))
    assert {x.shape for x in state.adapted} == {(4, 2)}


def test_two_devices_with_half_of_the_tasks_each_learn_what_one_learns_from_all():
    agent = maesn(NETWORK, optimisers.adam(1e-2, 1.0), LENGTH, 2, epochs=2)
    windows = [(with_latents(seed), with_latents(seed + 10)) for seed in (1, 2, 3)]
    for whole, told, halves, of_both in of_halves(agent, windows):
        jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[1]), (halves.params, of_both))
        first = lambda tree: jax.tree.map(lambda x: x[0], tree)  # noqa: E731
        close(first(halves.params), whole.params, rtol=1e-4, atol=1e-5)
        close(first(of_both), told, rtol=1e-3, atol=1e-5)
        close(jax.tree.map(lambda x: x.reshape(-1, 2), halves.adapted), whole.adapted, rtol=1e-4, atol=1e-5)
