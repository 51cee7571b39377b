"""DAgger: who acts, who is asked, rounds, schedules, experts of all kinds, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents import dagger
from agents.base import FIRST, MID, Sample, Step, TimeStep
from agents.bc import bc
from envs import experts, keys
from envs.tasks.cartpole import cartpole
from experiments import a2c
from experiments import dagger as command
from experiments.run.plans import Size

ENV = cartpole(time_limit=50)
LANES = 64


def learner():
    network = networks.q_network(networks.Torso(ENV.spec.observation, (8,), cnn=None), networks.CategoricalPolicy(2))
    return bc(network, optax.adam(1e-2))


def opposite(timestep):
    """Labels that no learner has: action 2."""
    return jnp.full(timestep.shape[:-1], 2)


def batch(kind=FIRST):
    seen = jax.random.normal(keys.key(7), (LANES, 4))
    zeros = jnp.zeros(LANES)
    return TimeStep(jnp.full(LANES, kind, jnp.int8), zeros, zeros + 1, seen)


def test_the_expert_acts_in_its_share_and_labels_every_row():
    for beta, low, high in ((1.0, 1.0, 1.0), (0.0, 0.0, 0.0), (0.5, 0.25, 0.75)):
        agent = dagger.dagger(learner(), dagger.of_function(opposite), updates=3, beta=lambda i, b=beta: jnp.float32(b))
        state = agent.init(keys.key(0), batch())
        action, _, extras = agent.act(agent.actor(state), keys.key(1), agent.begin(LANES), batch(), True)
        assert low <= float(jnp.mean(action == 2)) <= high
        assert (extras["label"] == 2).all() and extras["asked"].all()
        greedy, _, extras = agent.act(agent.actor(state), keys.key(1), agent.begin(LANES), batch(), False)
        assert (greedy != 2).all() and extras == {}


def test_every_third_row_is_asked_about_from_a_start_that_is_drawn():
    agent = dagger.dagger(learner(), dagger.of_function(opposite), updates=3, every=3)
    actor, carry = agent.actor(agent.init(keys.key(0), batch())), agent.begin(LANES)
    act = jax.jit(lambda key, carry, kind: agent.act(actor, key, carry, batch()._replace(step_type=kind), True))
    asked = []
    for t in range(9):
        kind = jnp.full(LANES, FIRST if t == 0 else MID, jnp.int8)
        _, carry, extras = act(keys.key(t), carry, kind)
        asked.append(np.asarray(extras["asked"]))
    asked = np.stack(asked)
    assert (asked.sum(0) == 3).all() and (asked[:3] == asked[3:6]).all()
    assert asked[:3].any(1).all()


def test_schedules():
    rounds = np.arange(4)
    np.testing.assert_array_equal([dagger.first(jnp.int32(i)) for i in rounds], [1, 0, 0, 0])
    np.testing.assert_allclose([dagger.exponential(0.7)(jnp.int32(i)) for i in rounds], 0.7**rounds, rtol=1e-6)
    np.testing.assert_array_equal([dagger.exponential(0.0)(jnp.int32(i)) for i in rounds], [1, 0, 0, 0])
    np.testing.assert_allclose([dagger.linear(2)(jnp.int32(i)) for i in rounds], [1, 0.5, 0, 0])


def test_rounds_are_counted_by_updates_and_may_begin_anew():
    zeros = jnp.zeros((2, LANES))
    rows = Step(
        TimeStep(zeros.astype(jnp.int8) + MID, zeros, zeros + 1, jnp.stack([batch().observation] * 2)),
        zeros.astype(jnp.int32),
        {"held": jnp.full((2, LANES), 5)},
    )
    for restart in (False, True):
        agent = dagger.dagger(learner(), dagger.of_function(opposite), updates=2, restart=restart)
        update = jax.jit(agent.update)
        state, params, betas = agent.init(keys.key(0), batch()), [], []
        for _ in range(3):
            betas.append(float(agent.actor(state).beta))
            state, info = update(state, keys.key(1), Sample(rows))
            params.append(state.inner.params)
        assert betas == [1, 1, 0] and float(info.metrics["labels"]) == 5
        leaves = [jax.tree.leaves(each) for each in (params[0], params[2])]
        same = all(np.array_equal(a, b) for a, b in zip(*leaves, strict=True))
        assert same == restart  # the third update is the first one of a round


def test_a_run_s_policy_is_an_expert(tmp_path):
    a2c.experiment.train(
        env="bellmax/catch", steps=400, num_envs=4, out=str(tmp_path / "expert"), quiet=True,
        agent={"hidden": (8,), "unroll": 10},
    )  # fmt: skip
    from envs.tasks.catch import catch

    env = catch()
    spec = env.spec._replace(name="bellmax/catch")
    teacher = command.teacher(command.Config(expert=str(tmp_path / "expert"), which="last"), spec)
    _, timestep = jax.vmap(env.reset)(keys.split(keys.key(0), 4))
    action, _ = teacher.act(keys.key(1), teacher.begin(4), timestep)
    assert action.shape == (4,)
    other = ENV.spec._replace(name="bellmax/cartpole")
    with pytest.raises(ValueError, match=r"--agent.expert .*expert: knows .* must be as in bellmax/cartpole"):
        command.teacher(command.Config(expert=str(tmp_path / "expert"), which="last"), other)


def test_bad_input_is_refused(tmp_path):
    size, spec = Size(1, 1, 1000), ENV.spec._replace(name="bellmax/cartpole")
    command.check(command.Config(), spec, size)
    assert command.teacher(command.Config(expert="cartpole"), spec).act(None, (), batch())[0].shape == (LANES,)
    with pytest.raises(ValueError, match=r"--agent.expert pendulum: no such expert of bellmax/cartpole; there are"):
        command.check(command.Config(expert="pendulum"), spec, size)
    with pytest.raises(ValueError, match=r"--agent.expert expert: no such expert of bellmax/copy"):
        command.check(command.Config(), spec._replace(name="bellmax/copy"), size)
    with pytest.raises(ValueError, match=r"--agent.expert .*nothing"):
        command.check(command.Config(expert=str(tmp_path / "nothing")), spec, size)
    assert experts.expert_of("bellmax/cartpole") is experts.EXPERTS["cartpole"]
