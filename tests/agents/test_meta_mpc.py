"""A model of unknown loads, and planning with what is inferred of one."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents import meta_mpc
from agents.base import Sample, Step, TimeStep
from agents.common import optimisers
from agents.common.moments import Moments
from agents.meta_mpc import Fitted, Latents, Memory
from agents.world import planning
from envs import keys, parallel
from envs.base import Box
from envs.tasks.hanging_load import GRAVITY, hanging_load
from experiments import meta_mpc as command
from experiments.run import Size
from tests.experiments.running import call


class Linear:
    """A network by hand: the change is the row's first two numbers times (1 + z)."""

    @staticmethod
    def apply(params, x):
        return params * x[:, :2] * (1 + x[:, -1:])


UNIT = partial(Moments, jnp.float32(4))
FITTED = Fitted(
    jnp.array([1.0, 1.2]), Latents(jnp.array([-0.5, 0.5]), jnp.zeros(2)),
    UNIT(jnp.zeros(3), 4 * jnp.ones(3)), UNIT(jnp.zeros(2), 4 * jnp.ones(2)),
)  # fmt: skip


def test_the_likelihood_and_the_divergence_are_those_of_normals():
    rng = np.random.default_rng(0)
    rows, changes, z = rng.normal(size=(5, 3)), rng.normal(size=(5, 2)), rng.normal(size=5)
    found = meta_mpc.nll(Linear, FITTED, jnp.asarray(rows), jnp.asarray(changes), jnp.asarray(z), 0.5)
    each = [0.5 * (((scale * rows[:, :2] * (1 + z[:, None]) - changes) / 0.5) ** 2).sum(-1) for scale in (1.0, 1.2)]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-4)
    mean, deviation = np.array([0.3, -1.0]), np.array([0.5, 2.0])
    expected = 0.5 * (mean**2 + deviation**2 - 1) - np.log(deviation)
    np.testing.assert_allclose(meta_mpc.kl(Latents(jnp.asarray(mean), jnp.log(deviation))), expected, rtol=1e-5)


def test_the_latent_is_inferred_from_what_is_known_and_is_the_priors_mean_without():
    rng = np.random.default_rng(1)
    rows = jnp.asarray(rng.normal(size=(3, 8, 3)), jnp.float32)
    single = FITTED._replace(nets=jnp.array([1.0]))
    truth = jnp.array([0.7, -1.1, 0.4])
    changes = rows[..., :2] * (1 + truth[:, None, None])
    known = jnp.array([True, True, False])[:, None] & jnp.ones((3, 8), bool)
    memory = Memory(jnp.zeros((3, 2)), jnp.zeros((3, 1)), rows, changes, known, ())
    np.testing.assert_allclose(meta_mpc.inferred(Linear, single, memory, 0.05), [0.7, -1.1, 0.0], atol=0.051)


def test_the_load_swings_as_a_pendulum_of_its_length():
    """Small swings of a load that was let go while the cart stands: the period is 2π √(L / g)."""
    env = hanging_load((0.5,))
    state, _ = env.reset(keys.key(0))
    state = state._replace(inner=state.inner._replace(angle=jnp.float32(0.05)))
    step = jax.jit(env.step)
    seen = []
    for _ in range(24):
        state, timestep = step(state, jnp.zeros(1))
        seen.append(timestep.observation["state"][2].item())
    times = 0.25 * np.arange(1, 25)
    expected = 0.5 * 0.05 * np.cos(np.sqrt(GRAVITY / 0.5) * times)
    assert np.corrcoef(seen, expected)[0, 1] > 0.99
    state, _ = env.reset(keys.key(0))
    for _ in range(12):
        state, timestep = step(state, jnp.array([5.0]))
    assert timestep.observation["state"][1].item() == pytest.approx(0.8, abs=1e-3)  # the command is cut


def test_rewards_are_the_distance_to_the_path_that_was_shown():
    env = hanging_load()
    state, timestep = env.reset(keys.key(1))
    step, rewards, errors = jax.jit(env.step), [], []
    for _ in range(48):
        goal = timestep.observation["goals"][0]
        state, timestep = step(state, jnp.array([0.3]))
        x, _, offset, _ = timestep.observation["state"]
        errors.append(abs(x + offset - goal).item())
        rewards.append(timestep.reward.item())
    np.testing.assert_allclose(sum(rewards), -np.mean(errors[20:]), rtol=1e-4)
    assert rewards[:20] == [0] * 20 and timestep.last()


def learner(latent="inferred"):
    plan = partial(planning.cem, actions=hanging_load().spec.action, horizon=2, population=4, elites=2, iterations=1)
    return meta_mpc.meta_mpc(
        hanging_load().spec.action, optimisers.adam(1e-2), optimisers.adam(1e-2), dims=4, loads=5, plan=plan,
        hidden=(8,), members=2, window=4, latent=latent,
    )  # fmt: skip


def played(lanes=16, steps=12):
    """A window `[steps + 1, lanes]` of random play."""
    env = hanging_load()

    def step(carry, key):
        state, timestep = carry
        action = planning.uniform(env.spec.action, key, (lanes,))
        return jax.vmap(env.step)(state, action), Step(timestep, action)

    begun = jax.vmap(env.reset)(jax.random.split(keys.key(0), lanes))
    return jax.lax.scan(step, begun, jax.random.split(keys.key(1), steps + 1))[1]


def test_updates_fit_the_ensemble_and_tell_loads_apart():
    agent, steps = learner(), jax.jit(played)()
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    update, losses = jax.jit(agent.update), []
    for number in range(60):
        state, info = update(state, keys.key(number), Sample(steps))
        losses.append(info.metrics["loss"].item())
    assert losses[-1] < 0.5 * losses[0] and info.metrics["latent_spread"] > 0.02
    assert {"gradient_norm", "latent_gradient_norm", "kl"} <= info.metrics.keys()
    pooled, _ = learner("pooled").update(state, keys.key(0), Sample(steps))
    found = jax.tree.leaves(pooled.fitted.latents)
    assert all(np.isfinite(x).all() for x in found)


def halves(agent, state, steps):
    """States and losses after one update, of all lanes, and of two devices with half of them each."""
    update = lambda window: agent.update(state, keys.key(0), Sample(window))  # noqa: E731
    apart = jax.tree.map(lambda x: jnp.stack([x[:, : x.shape[1] // 2], x[:, x.shape[1] // 2 :]]), steps)
    whole, told = jax.jit(update)(steps)
    both, each = jax.jit(jax.vmap(update, axis_name=parallel.AXIS))(apart)
    return whole, told.metrics["loss"], both, each.metrics["loss"]


def test_two_devices_with_half_of_the_lanes_each_learn_what_one_learns_from_all():
    agent, steps = learner("pooled"), jax.jit(played)()
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    whole, loss, both, losses = halves(agent, state, steps)
    np.testing.assert_allclose(losses.mean(), loss, rtol=1e-4)
    for a, b in zip(jax.tree.leaves(both), jax.tree.leaves(whole), strict=True):
        np.testing.assert_array_equal(a[0], a[1])
        np.testing.assert_allclose(a[0], b, rtol=1e-3, atol=1e-5)


def test_each_device_draws_numbers_of_its_own_from_the_posteriors():
    agent, steps = learner(), jax.jit(played)()
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    twice = jax.tree.map(lambda x: jnp.concatenate([x, x], axis=1), steps)
    _, _, both, losses = halves(agent, state, twice)
    assert losses[0] != losses[1]
    jax.tree.map(lambda x: np.testing.assert_array_equal(x[0], x[1]), both)


@pytest.mark.parametrize("latent", ["inferred", "prior", "wrong", "pooled"])
def test_streams_remember_their_own_episode(latent):
    agent, steps = learner(latent), jax.jit(partial(played, lanes=3, steps=5))()
    first = jax.tree.map(lambda x: x[0], steps.timestep)
    actor, carry = agent.actor(agent.init(keys.key(0), first)), agent.begin(3)
    act = jax.jit(partial(agent.act, explore=False))
    for row in range(4):
        timestep = jax.tree.map(lambda x, row=row: x[row], steps.timestep)
        action, carry, _ = act(actor, keys.key(row), carry, timestep)
        assert action.shape == (3, 1) and (jnp.abs(action) <= 0.8).all()
        assert carry.known.sum(axis=1).tolist() == [row] * 3
    expected = steps.timestep.observation["state"][3] - steps.timestep.observation["state"][2]
    np.testing.assert_allclose(carry.changes[:, -1], expected, atol=1e-6)
    _, carry, _ = act(actor, keys.key(9), carry, first)
    assert not carry.known.any()  # a new episode, of another load


def test_flags_that_do_not_go_together_are_refused(tmp_path):
    for words, told in (
        (["--env", "bellmax/catch"], "--env bellmax/catch: its observations are"),
        (["--agent.elites", "300"], "--agent.elites 300: must be from 1 to --agent.population 200"),
        (
            ["--env-options", "lengths=0.2,0.3,0.4,0.5,0.6,0.7,0.8"],
            "--agent.loads 5: must be at least 7, the loads of bellmax/hanging-load",
        ),
        (["--agent.loads", "4"], "--agent.loads 4: must be at least 5, the loads of bellmax/hanging-load"),
    ):
        outcome = call("meta_mpc", *words, "--out", tmp_path / "run")
        assert outcome.code == 2 and outcome.err.count("\n") == 1 and told in outcome.err
    assert envs.make("bellmax/hanging-load", lengths=0.82).spec.time_limit == 48


def test_the_number_of_loads_is_read_off_the_task():
    size = Size(20, 1, 11_000)

    def refused(loads, spec):
        with pytest.raises(ValueError, match=r"--agent.loads|--env") as found:
            command.check(command.Config(loads=loads), spec, size)
        return str(found.value)

    spec = hanging_load((0.2, 0.3, 0.4)).spec
    command.check(command.Config(loads=3), spec, size)
    assert refused(2, spec) == "--agent.loads 2: must be at least 3, the loads of hanging_load"
    open_ended = spec._replace(observation={**spec.observation, "load": Box((1,))})
    assert refused(3, open_ended).endswith("must be a Box up to the number of its last load")


def test_a_state_may_have_any_number_of_entries():
    """What is remembered at first has the shapes of what comes after it."""
    actions = hanging_load().spec.action
    plan = partial(planning.cem, actions=actions, horizon=2, population=4, elites=2, iterations=1)
    agent = meta_mpc.meta_mpc(
        actions, optimisers.adam(1e-2), optimisers.adam(1e-2), dims=6, loads=2, plan=plan, hidden=(8,), members=2,
        window=4,
    )  # fmt: skip
    seen = {"state": jnp.zeros((3, 6)), "goals": jnp.zeros((3, 6)), "load": jnp.zeros((3, 1))}
    timestep = TimeStep(jnp.ones(3, jnp.int8), jnp.zeros(3), jnp.ones(3), seen)
    actor, carry = agent.actor(agent.init(keys.key(0), timestep)), agent.begin(3)
    shapes = jax.eval_shape(partial(agent.act, explore=False), actor, keys.key(1), carry, timestep)[1]
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, carry) and carry.rows.shape == (3, 4, 6)
