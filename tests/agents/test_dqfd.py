"""DQfD and DDPGfD: their losses by hand, priorities, pretraining, commands, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
import replay
from agents.base import Sample, Step, TimeStep
from agents.common.critics import with_action
from agents.common.demonstrations import Demonstrations, pretrained
from agents.ddpg import Params, ddpg
from agents.dqfd import guided
from agents.dqn import dqn
from envs import keys
from envs.base import FIRST, LAST, MID, Box
from envs.tasks.deep_sea import deep_sea, right_actions
from experiments import ddpgfd, dqfd
from experiments.run.plans import Size
from experiments.studies import demonstrations as study
from replay import dataset

DISCOUNT, N = 0.9, 3
RNG = np.random.default_rng(0)


def windows(lanes=5, actions=None):
    """Windows `[N + 1, lanes]` of random rows; the last lane's episode ends after two steps."""
    kinds = np.full((N + 1, lanes), MID, np.int8)
    kinds[0, 0], kinds[2, -1], kinds[3, -1] = FIRST, LAST, FIRST
    discount = np.where(kinds == LAST, 0.0, 1.0).astype(np.float32)
    reward = RNG.normal(size=kinds.shape).astype(np.float32) * (kinds != FIRST)
    seen = RNG.normal(size=(*kinds.shape, 2)).astype(np.float32)
    actions = RNG.integers(3, size=kinds.shape) if actions is None else actions(kinds.shape)
    flags = np.broadcast_to(np.arange(lanes) % 2 == 0, kinds.shape)
    steps = Step(TimeStep(kinds, reward, discount, seen), actions, {"demonstrated": flags})
    return jax.tree.map(jnp.asarray, steps)


def folded(steps):
    """Reward, discount and row of what follows N steps, or fewer where the episode ends; in plain loops."""
    kinds, rewards, gammas = (np.asarray(x) for x in steps.timestep[:3])
    found = []
    for lane in range(kinds.shape[1]):
        total, scale, row = 0.0, 1.0, 0
        for t in range(1, N + 1):
            if kinds[t, lane] == FIRST:
                break
            total, row = total + scale * rewards[t, lane], t
            scale *= gammas[t, lane] * (DISCOUNT if t < N and kinds[t + 1, lane] != FIRST else 1.0)
        found.append((total, scale, row))
    return found


def test_dqfd_s_loss_is_the_sum_of_its_parts():
    steps, weight = windows(), np.array([0.2, 0.5, 1.0, 0.7, 0.3])
    network = networks.q_network(networks.Torso(Box((2,)), (8,), cnn=None), networks.QValues(3))
    weighing = Demonstrations(N, n_weight=0.7, margin=0.5, margin_weight=0.3)
    agent = dqn(network, optax.sgd(0.1), discount=DISCOUNT, loss_of=guided(weighing, DISCOUNT))
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    state = state._replace(target=jax.tree.map(lambda x: 0.9 * x, state.params))
    values = lambda params: np.asarray(  # noqa: E731
        network.apply(params, None, (), steps.timestep.observation, steps.timestep.first())[0], np.float64
    )
    q, target, lanes = values(state.params), values(state.target), np.arange(5)
    taken = np.asarray(steps.action)[0]
    errors = []
    single = [(float(steps.timestep.reward[1, i]), float(steps.timestep.discount[1, i]), 1) for i in lanes]
    for ends in (single, folded(steps)):
        aims = [r + DISCOUNT * g * target[t, i, q[t, i].argmax()] for i, (r, g, t) in enumerate(ends)]
        errors.append(np.array(aims) - q[0, lanes, taken])
    rival = (q[0] + 0.5 * (np.arange(3) != taken[:, None])).max(-1) - q[0, lanes, taken]
    margin = (rival * (lanes % 2 == 0) * weight).mean()
    expected = (0.5 * errors[0] ** 2 * weight).mean() + 0.7 * (0.5 * errors[1] ** 2 * weight).mean() + 0.3 * margin
    update = jax.jit(agent.update)
    after, info = update(state, keys.key(1), Sample(steps, (), jnp.asarray(weight, jnp.float32)))
    np.testing.assert_allclose(info.metrics["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(info.metrics["margin_loss"], margin, rtol=1e-5)
    np.testing.assert_allclose(info.priority, np.abs(errors[0]), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(info.metrics["demonstrated"], 0.6, rtol=1e-6)
    assert int(after.updates) == 1


def test_the_margin_is_for_demonstrations_alone():
    steps = windows()
    own = steps._replace(extras={"demonstrated": jnp.zeros((N + 1, 5), bool)})
    network = networks.q_network(networks.Torso(Box((2,)), (8,), cnn=None), networks.QValues(3))
    first = jax.tree.map(lambda x: x[0], steps.timestep)
    found = []
    for weight in (0.0, 5.0):
        agent = dqn(network, optax.sgd(0.1), loss_of=guided(Demonstrations(N, margin_weight=weight), 0.99))
        state = agent.init(keys.key(0), first)
        update = jax.jit(agent.update)
        found.append([update(state, keys.key(1), Sample(each))[0].params for each in (own, steps)])
    same = lambda a, b: all(np.array_equal(x, y) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))  # noqa: E731
    assert same(found[0][0], found[1][0]) and not same(found[0][1], found[1][1])


def test_ddpgfd_s_priority_and_loss():
    steps = windows(actions=lambda shape: RNG.uniform(-1, 1, (*shape, 1)).astype(np.float32))
    space, weighing = Box((2,)), Demonstrations(N, n_weight=0.6, gradient_weight=2.0)
    policy = networks.q_network(networks.Torso(space, (8,), cnn=None), networks.DeterministicPolicy(1))
    torso = networks.Torso(with_action(space, Box((1,))), (8,), cnn=None)
    critic = networks.ensemble(networks.q_network(torso, networks.Value()), 1)
    chains = Params(optax.sgd(0.0), optax.sgd(0.0))
    agent = ddpg(policy, critic, chains, discount=DISCOUNT, demonstrations=weighing)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    seen, first = steps.timestep.observation, steps.timestep.first()

    def value(action, at=slice(None)):
        inputs = with_action(seen[at], action)
        return critic.apply(state.critic.params, None, (), inputs, first[at])[0][0]

    mu = policy.apply(state.policy.params, None, (), seen, first)[0]
    after, q = np.asarray(value(mu), np.float64), np.asarray(value(steps.action), np.float64)[0]
    single = [(float(steps.timestep.reward[1, i]), float(steps.timestep.discount[1, i]), 1) for i in range(5)]
    errors = [
        np.array([r + DISCOUNT * g * after[t, i] for i, (r, g, t) in enumerate(ends)]) - q
        for ends in (single, folded(steps))
    ]
    slope = jax.grad(lambda action: jnp.sum(value(action, slice(1))))(steps.action[:1])[0, :, 0]
    _, info = jax.jit(agent.update)(state, keys.key(1), Sample(steps))
    np.testing.assert_allclose(info.priority, errors[0] ** 2 + 2.0 * np.square(slope), rtol=1e-4, atol=1e-6)
    expected = 0.5 * (errors[0] ** 2).mean() + 0.6 * 0.5 * (errors[1] ** 2).mean()
    np.testing.assert_allclose(info.metrics["loss"], expected, rtol=1e-4)


def test_pretraining_alone_follows_one_demonstration():
    env = deep_sea(5)
    rows = study.optimal(env, 5)
    assert float(rows.timestep.reward.sum()) == pytest.approx(0.99, rel=1e-5)
    memory = replay.with_demonstrations(rows, 100, 32, N)
    network = networks.q_network(networks.Torso(env.spec.observation, (32,), cnn=None), networks.QValues(2))
    agent = dqn(network, optax.adam(3e-3), epsilon=0.01, loss_of=guided(Demonstrations(N), 0.99))
    first = jax.vmap(env.reset)(keys.split(keys.key(0), 2))[1]
    assert pretrained(agent, memory, 0) is agent
    state = jax.jit(pretrained(agent, memory, 150).init)(keys.key(0), first)
    seen = jax.tree.map(lambda x: x[:-1], rows.timestep)
    action, _, _ = agent.act(agent.actor(state), keys.key(0), (), seen, False)
    np.testing.assert_array_equal(action, right_actions(5))
    assert int(state.updates) == 150


def test_commands_read_demonstrations_and_refuse_those_of_another_task(tmp_path):
    env = deep_sea(5)
    rows = jax.tree.map(np.asarray, study.optimal(env, 5))
    replay.save(dataset.of(rows, env="bellmax/deep-sea"), tmp_path / "one.npz")
    name, size = str(tmp_path / "one.npz"), Size(1, 1, 1000)
    config = dqfd.Config(demonstrations=name, n_step=3, buffer_size=200)
    dqfd.check(config, env.spec, size)
    parts = dqfd.make(config, env.spec, size)
    state = parts.replay.init(Step(jax.vmap(env.reset)(keys.split(keys.key(0), 1))[1], jnp.zeros(1, jnp.int32)))
    assert parts.replay.sample(state, keys.key(0)).steps.extras["demonstrated"].all()
    with pytest.raises(ValueError, match=r"--agent.demonstrations .*one.npz: observation is float32\[5,5\]"):
        dqfd.check(config, deep_sea(6).spec, size)
    with pytest.raises(ValueError, match=r"--agent.demonstrations .*none.npz"):
        dqfd.check(dqfd.Config(demonstrations=str(tmp_path / "none.npz")), env.spec, size)
    with pytest.raises(ValueError, match=r"--agent.hold 3: not with demonstrations; allowed: 1"):
        dqfd.check(dqfd.Config(hold=3), env.spec, size)
    with pytest.raises(ValueError, match=r"--agent.squash-rewards: not together with --agent.clip-rewards"):
        dqfd.check(dqfd.Config(squash_rewards=True, clip_rewards=True), env.spec, size)
    bounded = env.spec._replace(observation=Box((3,)), action=Box((1,), -1.0, 1.0))
    with pytest.raises(ValueError, match=r"--agent.delay 2: not with demonstrations; allowed: 1"):
        ddpgfd.check(ddpgfd.Config(delay=2), bounded, size)
