"""Planning with a true and with a learned model, and Dyna around an agent with a replay."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.dqn import dqn
from agents.dyna import dyna, imagined
from agents.world import models, planning, tree_search
from agents.world.dynamics import ensemble, shuffled
from envs import keys
from envs.base import Box, Discrete, Spec
from envs.tasks import sokoban, swingup
from envs.tasks.cartpole import cartpole
from experiments import planning as command
from experiments.drivers import in_graph
from experiments.drivers.contract import Schedule
from experiments.run import plans

ACTION = Box((1,), -1.0, 1.0)
CARTPOLE = models.simulator(swingup.restore, swingup.transition, swingup.observe)
SOKOBAN = models.simulator(sokoban.restore, sokoban.transition, sokoban.symbols)


def played(env, agent, lanes=1):
    """Returns `[lanes]` of one greedy episode each."""
    evaluate = jax.jit(in_graph.evaluation(env, agent, lanes))
    key = keys.key(0)
    actor = agent.actor(agent.init(key, jax.vmap(env.reset)(key[None])[1]))
    return np.asarray(evaluate(actor, key)["eval_return"])


@pytest.mark.parametrize(("horizon", "low", "high"), [(25, 170, 200), (5, 0, 10)])
def test_cem_swings_up_with_a_horizon_that_reaches(horizon, low, high):
    planner = planning.cem(CARTPOLE, ACTION, horizon, population=200, elites=20, iterations=3)
    returns = played(swingup.swingup(), planning.mpc(planner, ACTION))
    assert low <= returns[0] < high


PLANNERS = {
    "shooting": partial(planning.random_shooting, population=300),
    "mppi": partial(planning.mppi, population=300),
}


@pytest.mark.parametrize("name", PLANNERS)
def test_other_planners_beat_doing_nothing(name):
    planner = PLANNERS[name](CARTPOLE, ACTION, 25)
    assert played(swingup.swingup(100), planning.mpc(planner, ACTION))[0] > 30


def test_mppi_smooths_the_first_action_from_the_one_taken_last():
    """β = 0.7, a mean of 1 and no noise: 0.7 after an action of 0, and 0.91 after one of 0.7."""
    still = models.Model(
        lambda observation: observation,
        lambda params, key, state, action: (state, models.Imagined(state, jnp.zeros(len(state)), jnp.ones(len(state)))),
    )
    planner = planning.mppi(still, ACTION, 2, population=3, sigma=0.0)
    mean = jnp.ones_like(jax.tree.leaves(planner.begin(1))[0])
    _, *taken = jax.tree.leaves(planner.begin(1))
    first, (_, *taken) = planner.plan((), keys.key(0), (mean, *taken) if taken else mean, jnp.zeros(1))
    np.testing.assert_allclose(first, [[0.7]], rtol=1e-6)
    second, _ = planner.plan((), keys.key(0), (mean, *taken), jnp.zeros(1))
    np.testing.assert_allclose(second, [[0.91]], rtol=1e-6)


@pytest.mark.parametrize("name", [pytest.param("mcts", marks=pytest.mark.slow), "monte_carlo"])
def test_searches_solve_small_sokoban(name):
    env = sokoban.sokoban(5, 1, num_levels=60, time_limit=15)
    if name == "mcts":
        planner = tree_search.mcts(SOKOBAN, env.spec.action, simulations=20, depth=6, discount=0.95)
    else:
        planner = tree_search.monte_carlo(SOKOBAN, env.spec.action, depth=8, rollouts=40, discount=0.95)
    returns = played(env, planning.mpc(planner, env.spec.action), lanes=16)
    assert (returns > 5).mean() > 0.8


def test_scores_are_means_over_the_particles_of_a_plan():
    """Row i of what is tiled belongs to plan i // particles, of lane i // (plans * particles)."""

    def step(params, key, state, action):
        which = jnp.arange(len(state)) % 2  # of two members, one says twice as much
        state = state * 10 + action
        return state, models.Imagined(state, state * (1.0 + which), jnp.ones(len(state)))

    model = models.Model(lambda observation: observation, step)
    plans = jnp.array([[[1, 2], [3, 4]], [[5, 6], [7, 8]]])
    found = planning.scored(model, (), keys.key(0), jnp.array([0.0, 0.0]), plans, 1.0, 2)
    np.testing.assert_allclose(found, 1.5 * np.array([[1 + 12, 3 + 34], [5 + 56, 7 + 78]]))


def test_discounts_stop_the_counting():
    def step(params, key, state, action):
        return state + 1, models.Imagined(state, jnp.ones(len(state)), jnp.where(state == 1, 0.0, 1.0))

    model = models.Model(lambda observation: observation, step)
    plan = jnp.zeros((4, 1))
    np.testing.assert_allclose(models.returns(model, (), keys.key(0), jnp.zeros(1), plan, 0.5), [1.5])


def cartpole_rows(lanes=64, steps=8):
    env = cartpole()
    state, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), lanes))

    def body(carry, action):
        state, timestep = carry
        return jax.vmap(env.step)(state, action), Step(timestep, action)

    actions = jax.random.randint(keys.key(1), (steps + 1, lanes), 0, 2)
    return jax.lax.scan(body, (state, timestep), actions)[1]


@pytest.mark.slow
def test_dynamics_learn_what_actions_do():
    rows, errors = cartpole_rows(), []
    for make in (lambda x: x, shuffled):
        learner = make(ensemble(Discrete(2), optimisers.adam(3e-3), sizes=(32,), members=2))
        state = learner.init(keys.key(0), jax.tree.map(lambda x: x[0], rows.timestep))
        many = lambda state, key, learner=learner: learner.update(state, key, rows)  # noqa: E731
        state, _ = jax.jit(lambda s, k, many=many: jax.lax.scan(many, s, k))(state, jax.random.split(keys.key(2), 300))
        _, said = learner.model.step(learner.params(state), keys.key(0), rows.timestep.observation[4], rows.action[4])
        change = rows.timestep.observation[5] - rows.timestep.observation[4]
        error = said.observation - rows.timestep.observation[5]
        errors.append(float(jnp.var(error[:, 1]) / jnp.var(change[:, 1])))
        np.testing.assert_allclose(said.reward, 1.0, atol=0.05)
    assert errors[0] < 0.05 and errors[1] > 0.5


def test_dynamics_learn_when_an_episode_ends():
    """Beside the likelihood of a sharp distribution; in shared layers its loss stays near that of not knowing."""
    rows = cartpole_rows(steps=30)
    learner = ensemble(Discrete(2), optimisers.adam(3e-3), sizes=(64, 64))
    state = learner.init(keys.key(0), jax.tree.map(lambda x: x[0], rows.timestep))
    many = lambda state, key: learner.update(state, key, rows)  # noqa: E731
    _, metrics = jax.jit(lambda s, k: jax.lax.scan(many, s, k))(state, jax.random.split(keys.key(2), 300))
    share = float((rows.timestep.discount == 0)[1:].mean())
    unknown = -share * np.log(share) - (1 - share) * np.log(1 - share)
    assert metrics["end_loss"][-1] < 0.2 * unknown, (metrics["end_loss"][::50], unknown)


def test_known_reward_takes_the_place_of_the_models():
    env = swingup.swingup()
    begun = jax.vmap(env.reset)(jax.random.split(keys.key(0), 3))[1].observation
    force = jnp.array([[-1.0], [0.0], [1.0]])
    _, truth = CARTPOLE.step((), keys.key(0), CARTPOLE.start(begun), force)
    silent = models.silent(CARTPOLE)
    _, said = models.paying(silent, swingup.paid).step((), keys.key(0), silent.start(begun), force)
    np.testing.assert_allclose(said.reward, truth.reward, rtol=1e-6)
    np.testing.assert_array_equal(said.observation, truth.observation)


def test_members_of_an_ensemble_see_rows_of_their_own():
    learner = ensemble(ACTION, optimisers.adam(1e-3), sizes=(8,), members=3)
    timestep = jax.vmap(swingup.swingup().reset)(jax.random.split(keys.key(0), 6))[1]
    state = learner.init(keys.key(0), timestep)
    same = jnp.broadcast_to(timestep.observation[:1], (6, 5))
    _, said = learner.model.step(learner.params(state), keys.key(0), same, jnp.zeros((6, 1)))
    np.testing.assert_allclose(said.observation[:3], said.observation[3:], rtol=1e-6)
    assert len(np.unique(said.observation[:3, 0])) == 3
    with pytest.raises(ValueError, match="5 rows cannot be shared out among 3"):
        learner.model.step(learner.params(state), keys.key(0), same[:5], jnp.zeros((5, 1)))


def q_learner():
    return dqn(networks.q_network(networks.MLP((16,)), networks.QValues(2)), optimisers.adam(1e-3))


def pairs(lanes=8, seed=0):
    rng = np.random.default_rng(seed)
    observation = jnp.asarray(rng.normal(size=(2, lanes, 4)), jnp.float32)
    kind = jnp.asarray(np.where(np.arange(lanes) == 3, FIRST, MID), jnp.int8)
    timestep = TimeStep(jnp.stack([kind * 0 + MID, kind]), jnp.ones((2, lanes)), jnp.ones((2, lanes)), observation)
    return Step(timestep, jnp.asarray(rng.integers(2, size=(2, lanes)), jnp.int32))


def test_imagined_transitions():
    learner = ensemble(Discrete(2), optimisers.adam(1e-3), sizes=(8,))
    steps = pairs()
    state = learner.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    found = imagined(learner, state, keys.key(0), steps)
    before, after = (jax.tree.map(lambda x, i=i: x[i], found) for i in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, before, jax.tree.map(lambda x: x[0], steps))
    _, said = learner.model.step(learner.params(state), keys.key(0), before.timestep.observation, before.action)
    np.testing.assert_array_equal(after.timestep.observation, said.observation)
    np.testing.assert_array_equal(after.timestep.discount, said.discount)
    kinds = np.where(said.discount == 0, LAST, MID)
    kinds[3] = FIRST  # a transition that never was is not imagined either
    np.testing.assert_array_equal(after.timestep.step_type, kinds)


def test_dyna_is_n_more_updates_on_what_the_model_says():
    learner, agent, steps = ensemble(Discrete(2), optimisers.adam(1e-3), sizes=(8,)), q_learner(), pairs(24)
    first = jax.tree.map(lambda x: x[0], steps.timestep)
    states = {n: dyna(agent, learner, n).init(keys.key(0), first) for n in (0, 2)}
    state, info = jax.jit(dyna(agent, learner, 2).update)(states[2], keys.key(1), Sample(steps))
    assert state.inner.updates == 3 and state.updates == 1 and {"loss", "nll"} <= info.metrics.keys()
    alone, _ = jax.jit(dyna(agent, learner, 0).update)(states[0], keys.key(1), Sample(steps))
    _, k_real, _ = jax.random.split(keys.key(1), 3)
    plain, _ = jax.jit(agent.update)(states[0].inner, k_real, Sample(steps))
    jax.tree.map(partial(np.testing.assert_allclose, atol=1e-6), alone.inner.params, plain.params)
    # A model that is not believed yet changes nothing.
    doubted, _ = jax.jit(dyna(agent, learner, 2, warmup=9).update)(states[2], keys.key(1), Sample(steps))
    part = jax.tree.map(lambda x: x[:, :8], steps)
    plain, _ = jax.jit(agent.update)(states[2].inner, k_real, Sample(part))
    moved = jax.tree.map(lambda a, b: jnp.abs(a - b).max(), doubted.inner.params, plain.params)
    assert max(jax.tree.leaves(moved)) < 3e-3  # what is left is Adam's momentum
    with pytest.raises(ValueError, match="multiple of 7"):
        dyna(agent, learner, 6).update(state, keys.key(1), Sample(steps))


def test_an_agent_that_plans_learns_its_model():
    env = swingup.swingup(20)
    learner = ensemble(env.spec.action, optimisers.adam(1e-3), sizes=(16,), members=2, sampled=True, ends=False)
    planner = planning.cem(learner.model, env.spec.action, 4, population=8, elites=4, iterations=2, particles=2)
    agent = planning.mpc(planner, env.spec.action, learner)
    loop = in_graph.loop(env, agent, replay.uniform(200, 16), Schedule(21, 10, 1), num_envs=1, iterations=2)
    run, metrics = jax.jit(loop.step)(jax.jit(loop.init)(keys.key(0)))
    assert np.isfinite(metrics["loss"]) and run.agent.updates == 20


ENDLESS = [
    Box((2,), -np.inf, np.inf),
    Box((2,), np.float32([-1, -np.inf]), np.float32([1, 1])),
    Box((2,), np.float32(-3e38), np.float32(3e38)),
    Box((2,), np.float32([0, 1]), np.float32([1, 0])),
]


@pytest.mark.parametrize("actions", ENDLESS, ids=range(len(ENDLESS)))
def test_random_actions_need_bounds(actions: Box) -> None:
    with pytest.raises(ValueError, match=r"^actions between .* planners need finite bounds, low <= high$"):
        planning.uniform(actions, jax.random.key(0), (3,))


def test_random_actions_lie_between_their_bounds() -> None:
    actions = Box((2,), np.float32([-1.0, 5.0]), np.float32([1.0, 5.0]))
    drawn = np.asarray(planning.uniform(actions, jax.random.key(0), (100,)))
    assert np.isfinite(drawn).all() and (drawn[:, 1] == 5).all() and (abs(drawn[:, 0]) <= 1).all()


@pytest.mark.parametrize("planner", ["cem", "mppi", "shooting"])
def test_the_command_refuses_actions_without_bounds(planner: Any) -> None:
    config = command.Config(planner=planner, model="learned", reward="learned")
    size = plans.Size(2, 1, 1_000)
    command.check(config, Spec("glide", Box((3,)), Box((2,), -1.0, 1.0)), size)
    for actions in ENDLESS:
        with pytest.raises(ValueError, match=r"^--env glide: actions between .* planners need finite bounds, low <= "):
            command.check(config, Spec("glide", Box((3,)), actions), size)
