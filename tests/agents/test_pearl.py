"""PEARL: products of Gaussians, what belongs to a belief, when z is drawn, who learns from what, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import Sample, Step
from agents.common import optimisers
from agents.pearl import Belief, believed, factors, gaussian, pearl, prior_kl, real
from envs import keys
from envs.tasks.point_goals import point_goals
from experiments import pearl as command
from experiments.run import flags, prepare
from experiments.studies import latent_points

NETWORKS = latent_points.networks_of((8,))
LATENT = latent_points.LATENT
ENV = point_goals("half-circle", horizon=4, episodes=2, told=True)
LANES = 3


def made(**options):
    return pearl(NETWORKS, optimisers.adam(1e-2), optimisers.adam(1e-2), LATENT, 2, **options)


@pytest.fixture(scope="module")
def played():
    """An agent, its state, and 14 rows of its play: the rows, what it carried before each, and z in each."""
    agent = made()
    state = agent.init(jax.random.key(0), jax.vmap(ENV.reset)(jax.random.split(keys.key(0), LANES))[1])

    def row(live, key):
        world, timestep, carry = live
        action, after, _ = agent.act(agent.actor(state), key, carry, timestep, True)
        world, following = jax.vmap(ENV.step)(world, action)
        return (world, following, after), (Step(timestep, action, {}), after)

    def whole():
        world, timestep = jax.vmap(ENV.reset)(jax.random.split(keys.key(0), LANES))
        return jax.lax.scan(row, (world, timestep, agent.begin(LANES)), jax.random.split(jax.random.key(1), 14))[1]

    steps, after = jax.jit(whole)()
    return agent, state, steps, after


def test_beliefs_are_products_of_gaussians():
    mean, std = np.array([[0.5], [-1.0]]), np.array([[0.5], [2.0]])
    precision = (1 / std**2).sum(0)
    belief = Belief(jnp.asarray(precision), jnp.asarray((mean / std**2).sum(0)))
    found = gaussian(belief)
    grid = np.linspace(-6, 6, 20001)
    density = np.exp(-((grid - mean) ** 2 / std**2 / 2).sum(0))
    density /= density.sum()
    expected = (grid * density).sum()
    np.testing.assert_allclose(found[0], [expected], rtol=1e-4)
    np.testing.assert_allclose(found[1], [np.sqrt(((grid - expected) ** 2 * density).sum())], rtol=1e-4)
    np.testing.assert_array_equal(gaussian(Belief(jnp.zeros(2), jnp.zeros(2))), [[0, 0], [1, 1]])
    assert float(prior_kl(Belief(jnp.zeros(2), jnp.zeros(2)))) == 0
    kl = np.log(1 / found[1]) + (found[1] ** 2 + found[0] ** 2) / 2 - 0.5
    np.testing.assert_allclose(prior_kl(belief), kl[0], rtol=1e-5)


def test_a_belief_is_of_one_trial():
    each = Belief(jnp.arange(8.0).reshape(4, 1, 2), jnp.ones((4, 1, 2)))
    counted = jnp.array([[True], [False], [True], [True]])
    trial = jnp.array([[0], [0], [1], [1]])
    found = believed(each, counted, trial)
    np.testing.assert_allclose(found.precision[:, 0], [[0, 1], [0, 1], [10, 12], [10, 12]])
    np.testing.assert_allclose(found.weighted[:, 0, 0], [1, 1, 2, 2])


def test_z_is_drawn_where_an_episode_opens_and_beliefs_where_a_trial_does(played):
    _, _, steps, after = played
    opens = np.asarray(steps.timestep.observation["new_episode"])[:, 0, 0] > 0
    assert np.flatnonzero(opens).tolist() == [0, 5, 10]
    z, precision = np.asarray(after.latent), np.asarray(after.belief.precision)
    changes = np.flatnonzero((np.diff(z[:, 0], axis=0) != 0).any(-1)) + 1
    assert changes.tolist() == [5, 10]
    grows = np.diff(precision[:, 0].sum(-1)) > 0
    assert np.flatnonzero(~grows).tolist() == [4, 9]  # the rows that open an episode, the last of which opens a trial
    assert (precision[0] == 0).all() and (precision[10] == 0).all() and (precision[5] == precision[4]).all()


def test_what_acting_believes_is_what_learning_does(played):
    _, state, steps, after = played
    seen = steps.timestep.observation
    x = seen["observation"]
    each = factors(
        NETWORKS.encoder, state.critic.params.encoder, x[:4], seen["last_action"][1:5], seen["last_reward"][1:5], x[1:5]
    )
    whole = believed(each, real(jax.tree.map(lambda x: x[1:5], steps.timestep)), jnp.zeros((4, LANES), jnp.int32))
    np.testing.assert_allclose(whole.precision[-1], after.belief.precision[4], rtol=1e-4)
    np.testing.assert_allclose(whole.weighted[-1], after.belief.weighted[4], rtol=1e-3, atol=1e-5)


def test_who_learns_from_what(played):
    _, state, steps, _ = played
    sample = Sample(steps)

    def moved(**options):
        after, info = jax.jit(made(**options).update)(state, jax.random.key(2), sample)
        assert all(np.isfinite(x) for x in info.metrics.values())
        change = lambda a, b: max(float(jnp.abs(x - y).max()) for x, y in zip(*map(jax.tree.leaves, (a, b))))  # noqa: E731, B905
        return (
            change(state.critic.params.encoder, after.critic.params.encoder),
            change(state.critic.params.critic, after.critic.params.critic),
            change(state.policy.params, after.policy.params),
            change(state.target, after.target),
        )

    assert min(moved(kl_cost=0.0)) > 0
    cut = moved(kl_cost=0.0, cut=True)
    assert cut[0] == 0 and min(cut[1:]) > 0
    assert moved(kl_cost=0.0, blind=True)[0] == 0


def test_the_oracle_goes_straight():
    goals = jnp.array([[1.0, 0.0], [0.0, 1.0]])
    np.testing.assert_allclose(latent_points.straight(goals), -sum(0.1 * k for k in range(10)), rtol=1e-5)


def test_windows_are_as_long_as_a_trial():
    config = flags.parse(command.Flags, ["--agent.hidden", "8"], "pearl")
    env = prepare.environment(config)
    parts = command.make(config.agent, env.spec, prepare.size_of(config))
    assert env.spec.time_limit == latent_points.ROWS - 1 and isinstance(parts.replay, replay.Replay)
    assert parts.schedule.warmup == 63


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--env", "bellmax/catch", "--env-options"], "--env bellmax/catch: must be of trials"),
        (["--env", "bellmax/bandits", "--env-options"], "--env bellmax/bandits: pearl needs"),
        (["--env-options", "episodes=3"], "--env bellmax/point-goals: must be of trials"),
        (["--agent.buffer-size", "64"], "--agent.buffer-size 64"),
        (["--agent.latent", "0"], "--agent.latent 0: must be at least 1"),
    ],
)
def test_refusals(words, message):
    with pytest.raises(ValueError, match=message):
        config = flags.parse(command.Flags, words, "pearl")
        flags.check(config)
        command.check(config.agent, prepare.environment(config).spec, prepare.size_of(config))
