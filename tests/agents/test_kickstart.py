"""Kickstarting: what the teachers' weight does, who is asked, memories of teachers, run folders, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.a2c import a2c
from agents.base import MID, Agent, Info, Sample, Step, TimeStep
from agents.common import optimisers
from agents.impala import impala
from agents.kickstart import Teacher, kickstarted, lesson
from agents.ppo import ppo
from envs import keys
from envs.base import Box
from envs.tasks.catch import catch
from experiments import a2c as a2c_command
from experiments import kickstart as command
from experiments.run.plans import Size
from experiments.run.results import Run

ROWS, LANES, ACTIONS, FEATURES = 5, 8, 3, 4
SPEC = catch().spec._replace(name="bellmax/catch")
SIZE = Size(1, 1, 1000)


def network(gaussian=False):
    torso = lambda: networks.Torso(Box((FEATURES,)), (16,))  # noqa: E731
    policy = networks.GaussianPolicy(2) if gaussian else networks.CategoricalPolicy(ACTIONS)
    return networks.actor_critic(torso(), policy, networks.Value(), critic_torso=torso())


def rows(key, lanes=LANES):
    """A row of observations."""
    zeros = jnp.zeros(lanes)
    return TimeStep(jnp.full(lanes, MID, jnp.int8), zeros, zeros + 1, jax.random.normal(key, (lanes, FEATURES)))


def leaning(timestep):
    """A teacher's policy, which depends on what is seen."""
    return networks.Categorical(2.0 * timestep.observation[..., :ACTIONS])


def of(policy):
    return Teacher(lambda lanes: (), lambda key, carry, timestep: (policy(timestep), carry))


def window(agent, state, key):
    """Rows `[ROWS, LANES]` as they are played, with rewards of noise."""

    def one(carry, key):
        timestep = rows(key)
        action, after, extras = agent.act(agent.actor(state), key, carry, timestep, True)
        reward = jax.random.normal(jax.random.fold_in(key, 1), (LANES,))
        return after, Step(timestep._replace(reward=reward), action, extras, agent.stored(carry))

    return jax.lax.scan(one, agent.begin(LANES), keys.split(key, ROWS))[1]


def updated(agent, times, seed=0):
    """The state after updates on rows of its own, and the metrics of each."""

    def once(state, key):
        state, info = agent.update(state, key, Sample(window(agent, state, key)))
        return state, info.metrics

    def whole(key):
        return jax.lax.scan(once, agent.init(key, rows(key)), keys.split(key, times))

    return jax.jit(whole)(keys.key(seed))


MAKERS = {
    "a2c": lambda net, **options: a2c(net, optimisers.adam(1e-2), **options),
    "impala": lambda net, **options: impala(net, optimisers.adam(1e-2), lag=1, **options),
    "ppo": lambda net, **options: ppo(net, optimisers.adam(1e-2), epochs=1, minibatches=2, **options),
}


@pytest.mark.parametrize("name", MAKERS)
def test_without_reward_and_with_the_weight_held_the_policy_becomes_the_teachers(name):
    agent = MAKERS[name](network(), lesson=lesson(0.0), entropy_cost=0.0)
    state, metrics = updated(kickstarted(agent, [of(leaning)], lambda done: 1.0), 300)
    seen = rows(keys.key(5), 256)
    (policy, _), _ = network().apply(
        state.params, None, (), seen.observation[None], jnp.zeros((1, 256), bool)
    )  # fmt: skip
    apart = float(jnp.mean(leaning(seen).kl(jax.tree.map(lambda x: x[0], policy))))
    uniform = float(jnp.mean(leaning(seen).kl(networks.Categorical(jnp.zeros((256, ACTIONS))))))
    assert apart < 0.1 * uniform
    assert metrics["lesson_loss"][-1] < metrics["lesson_loss"][0]


def test_with_a_weight_of_nothing_it_learns_as_without_teachers():
    alone, _ = updated(MAKERS["a2c"](network()), 3)
    taught, metrics = updated(
        kickstarted(MAKERS["a2c"](network(), lesson=lesson()), [of(leaning)], lambda done: 0.0), 3
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), alone.params, taught.inner.params)
    np.testing.assert_array_equal(metrics["lesson_loss"], 0.0)


def test_a_gaussian_student_comes_nearer_to_a_gaussian_teacher():
    def theirs(timestep):
        mean = timestep.observation[..., :2]
        return networks.Gaussian(mean, jnp.full_like(mean, -1.0))

    agent = MAKERS["a2c"](network(gaussian=True), lesson=lesson(0.0))
    _, metrics = updated(kickstarted(agent, [of(theirs)], lambda done: 1.0), 200)
    assert metrics["lesson_loss"][-1] < metrics["lesson_loss"][0] - 0.5


def spy():
    """An agent that does nothing and tells its extras as metrics."""
    return Agent(
        lambda key, timestep: jnp.float32(0),
        lambda state: state,
        lambda batch: (),
        lambda actor, key, carry, timestep, explore: (jnp.zeros(timestep.reward.shape, jnp.int32), carry, {}),
        lambda state, key, sample: (state, Info({"weights": sample.steps.extras["weights"]})),
    )


def test_the_weight_falls_with_updates_and_is_shared_out():
    agent = kickstarted(
        spy(), [of(leaning), of(leaning)], lambda done: jnp.maximum(1 - done / 2, 0.0), shares=[1.0, 3.0]
    )
    _, metrics = updated(agent, 4)
    np.testing.assert_allclose(metrics["teaching"], [1.0, 0.5, 0.0, 0.0])
    np.testing.assert_allclose(metrics["weights"][:, 2, 3], [[1, 3], [0.5, 1.5], [0, 0], [0, 0]])


def test_a_teacher_is_asked_in_its_own_task_alone():
    agent = kickstarted(spy(), [of(leaning), of(leaning)], lambda done: 2.0, task="task")
    task = jnp.array([[0, 1, 1], [1, 0, 0]])
    zeros = jnp.zeros((2, 3))
    steps = Step(TimeStep(zeros, zeros, zeros, {"task": task}), zeros, {})
    _, info = agent.update(agent.init(keys.key(0), None), keys.key(0), Sample(steps))
    np.testing.assert_array_equal(info.metrics["weights"], 2.0 * np.eye(2)[np.asarray(task)])


def test_teachers_remember_and_are_not_asked_in_evaluations():
    def counting(key, carry, timestep):
        return networks.Categorical(jnp.repeat(carry[:, None], ACTIONS, 1)), carry + 1

    agent = kickstarted(spy(), [Teacher(lambda lanes: jnp.zeros(lanes), counting)] * 2, lambda done: 1.0)
    carry = agent.begin(LANES)
    for t in range(3):
        _, carry, extras = agent.act(jnp.float32(0), keys.key(t), carry, rows(keys.key(t)), True)
        np.testing.assert_array_equal(extras["teachers"].logits, np.full((LANES, 2, ACTIONS), t))
    _, after, extras = agent.act(jnp.float32(0), keys.key(0), carry, rows(keys.key(0)), False)
    assert extras == {}
    np.testing.assert_array_equal(after.teachers[0], carry.teachers[0])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run of A2C with memory on catch."""
    path = tmp_path_factory.mktemp("teachers") / "a2c"
    a2c_command.experiment.train(
        env="bellmax/catch", steps=40, num_envs=4, out=str(path), agent={"hidden": (8,), "unroll": 10, "memory": "gru"}
    )
    return path


def test_a_run_folder_teaches_a_student_of_another_network(folder):
    config = command.Config(teachers=(str(folder), "expert"), which="last", inner=("hidden=16", "unroll=10"))
    command.check(config, SPEC, SIZE)
    agent = command.make(config, SPEC, SIZE).agent
    env = catch()
    _, timestep = jax.vmap(env.reset)(keys.split(keys.key(0), 4))
    state, carry = agent.init(keys.key(0), timestep), agent.begin(4)
    _, carry, extras = agent.act(agent.actor(state), keys.key(1), carry, timestep, True)
    told = jax.nn.softmax(extras["teachers"].logits)
    assert told.shape == (4, 2, 3)
    np.testing.assert_allclose(told[:, 1].max(-1), 0.9 + 0.1 / 3, rtol=1e-5)
    assert jax.tree.leaves(carry.teachers[0])
    loaded = command.run.load(str(folder)).distributions(0, "last")
    alone, _ = loaded.act(keys.key(1), loaded.begin(4), timestep)
    np.testing.assert_allclose(told[:, 0], jax.nn.softmax(alone.logits), rtol=1e-5)


def test_bad_input_is_refused(folder, monkeypatch):
    def refused(match, spec=SPEC, **flags):
        with pytest.raises(ValueError, match=match):
            command.check(command.Config(**flags), spec, SIZE)

    command.check(command.Config(), SPEC, SIZE)
    refused(r"--agent.teachers .*nothing", teachers=(str(folder / "nothing"),))
    refused(r"--agent.teachers \(none\): give run folders, or expert", teachers=())
    refused(
        "--agent.teachers .*a2c: knows .* must be as in bellmax/other",
        SPEC._replace(name="bellmax/other", observation=Box((3,))),
        teachers=(str(folder),),
    )
    refused("--agent.teachers expert: bellmax/copy has no analytic expert", SPEC._replace(name="bellmax/copy"))
    refused("--agent.teachers seed 3: the run has 1", teachers=(str(folder),), teacher_seed=3)
    refused("--agent.shares 1 2: must be one for each of 1 teachers", shares=(1.0, 2.0))
    refused("--agent.task task: bellmax/catch has these entries that number 1 teachers: none", task="task")
    refused("--agent.inner gae-lambda=3: must", inner=("gae-lambda=3",))
    refused("--agent.inner meta-learning-rate: not together with teachers", inner=("meta-learning-rate=1e-3",))
    monkeypatch.setattr(Run, "_acting", lambda run, seed, which: (spy(), jnp.float32(0)))
    refused("--agent.teachers .*a2c: is a run of a2c, which tells no distribution", teachers=(str(folder),))


def test_the_weight_of_the_command_falls_or_is_held():
    fading, held = (command.weight(command.Config(falls=falls, weight=2.0), 10) for falls in (0.5, 0.0))
    np.testing.assert_allclose([fading(done) for done in (0, 1, 5, 9)], [2.0, 1.6, 0.0, 0.0], atol=1e-6)
    np.testing.assert_allclose([held(done) for done in (0, 9, 100)], 2.0)


def test_the_weight_may_be_traced_as_populations_and_schedules_have_it():
    assert {"weight", "falls", "reward", "expert_noise"} <= set(command.run.population.sweepable(command.Config()))
    env = catch()

    def learned(weight):
        config = command.Config(inner=("hidden=8", "unroll=8"), falls=0.0, weight=weight)
        agent = command.make(config, SPEC, Size(1, 1, 64)).agent
        _, timestep = jax.vmap(env.reset)(keys.split(keys.key(0), 4))
        state = agent.init(keys.key(0), timestep)
        _, _, extras = agent.act(agent.actor(state), keys.key(1), agent.begin(4), timestep, True)
        rows = jax.tree.map(lambda x: jnp.stack([x] * 9), Step(timestep, jnp.zeros(4, jnp.int32), extras))
        return agent.update(state, keys.key(2), Sample(rows))[1].metrics

    told = jax.jit(jax.vmap(learned))(jnp.array([0.0, 1.0, 2.0]))
    np.testing.assert_allclose(told["teaching"], [0.0, 1.0, 2.0])
    np.testing.assert_allclose(told["lesson_loss"][2], 2 * told["lesson_loss"][1], rtol=1e-5)
