"""Spinal-cortical controllers: modulations that are held, a low level that feels the body alone and stays, practice."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.ppo import ppo
from agents.spinal import BODY, Held, both, held, modulated, practised, remembering, spinal
from envs import keys
from envs.base import Box
from envs.tasks.unicycle import unicycle
from experiments import spinal as command
from experiments.run import plans, prepare
from networks.distributions import Gaussian
from tests.envs.contract import check_environment, play

SPACE = unicycle().spec.observation
SIZE = 2


def torso(space):
    return networks.Torso(space, (8,), cnn=None)


LOW = networks.q_network(torso({BODY: SPACE[BODY], "modulation": Box((SIZE,))}), networks.GaussianPolicy(2))


def learner(network):
    return ppo(network, optimisers.adam(1e-2), epochs=2, minibatches=1)


def provisional():
    first = networks.q_network(torso(SPACE), networks.Values(SIZE))
    return learner(both(LOW, first, networks.q_network(torso(SPACE), networks.Value()), SIZE))


def made(core=None, period=3):
    above = networks.actor_critic(torso(SPACE), networks.GaussianPolicy(SIZE), networks.Value(), core)
    practice = lambda key: (below(key), jnp.float32(0))  # noqa: E731
    return spinal(LOW, learner(held(above)), practice, SIZE, period=period)


def below(key):
    """Parameters of the low level, by which a modulation moves it."""
    params = LOW.init(key, {BODY: jnp.zeros((1, 2)), "modulation": jnp.zeros((1, SIZE))})
    return jax.tree.map(lambda x: x + 0.1, params)


def row(kind, seed=0, lanes=2):
    k_body, k_target = jax.random.split(keys.key(seed))
    seen = {BODY: jax.random.normal(k_body, (lanes, 2)), "target": jax.random.normal(k_target, (lanes, 2))}
    return TimeStep(jnp.asarray(kind, jnp.int8), jnp.ones(lanes), jnp.ones(lanes), seen)


@pytest.mark.parametrize("core", [None, networks.GRU(4)])
def test_modulations_are_held_and_the_low_level_stays_as_it_was(core):
    agent = made(core)
    state = agent.init(keys.key(0), row([FIRST, FIRST]))
    act = jax.jit(lambda state, key, carry, row: agent.act(agent.actor(state), key, carry, row, True))
    carry, rows, stored = agent.begin(2), [], []
    kinds = [[FIRST, FIRST], [MID, MID], [MID, LAST], [MID, FIRST], [MID, MID], [MID, MID], [MID, MID]]
    for t, kind in enumerate(kinds):
        stored.append(agent.stored(carry))
        timestep = row(kind, t)
        action, carry, extras = act(state, keys.key(t), carry, timestep)
        rows.append(Step(timestep, action, extras))
    window = jax.tree.map(lambda *x: jnp.stack(x), *rows)._replace(carry=jax.tree.map(lambda x: x[None], stored[0]))
    new = np.array([[1, 1], [0, 0], [0, 0], [1, 1], [0, 0], [0, 0], [1, 1]], bool)
    np.testing.assert_array_equal(window.extras["new"], new)
    c = np.asarray(window.extras["modulation"])
    assert ((c[1:] != c[:-1]).all(-1) == new[1:]).all()
    np.testing.assert_array_equal(np.asarray(window.extras["log_prob"]) != 0, new)
    after, info = jax.jit(agent.update)(state, keys.key(9), Sample(window))
    jax.tree.map(np.testing.assert_array_equal, after.low, state.low)
    assert any(
        (a != b).any() for a, b in zip(*map(jax.tree.leaves, (after.high.params, state.high.params)), strict=True)
    )
    assert float(info.metrics["practice"]) == 0


def test_the_low_level_knows_the_body_and_the_modulation_alone():
    params, first = below(keys.key(0)), jnp.zeros((1, 2), bool)
    one, other = (jax.tree.map(lambda x: x[None], row([MID, MID], seed).observation) for seed in (0, 1))
    c = jnp.ones((1, 2, SIZE))
    mean = lambda seen, c: np.asarray(modulated(LOW, params, seen, c, first).mean)  # noqa: E731
    np.testing.assert_array_equal(mean(one, c), mean({**one, "target": other["target"]}, c))
    assert (mean(one, c) != mean({**one, BODY: other[BODY]}, c)).any() and (mean(one, c) != mean(one, -c)).any()


def test_what_is_not_new_has_probability_one_and_no_gradient():
    action, new = jnp.array([[0.3], [0.4]]), jnp.array([1.0, 0.0])
    policy = lambda mean: Held(Gaussian(mean, jnp.zeros((2, 1))), new)  # noqa: E731
    slope = jax.grad(lambda mean: jnp.sum(policy(mean).log_prob(action)))(jnp.zeros((2, 1)))
    np.testing.assert_allclose(slope, [[0.3], [0.0]], rtol=1e-6)
    found = policy(jnp.zeros((2, 1)))
    assert float(found.entropy()[1]) == float(found.kl(policy(jnp.ones((2, 1))))[1]) == 0
    assert float(found.entropy()[0]) > 0 and float(found.kl(policy(jnp.ones((2, 1))))[0]) == 0.5
    np.testing.assert_array_equal(found.sample_and_log_prob(keys.key(0))[1] != 0, [True, False])


def test_in_practice_the_high_level_sees_what_there_was_when_it_last_spoke():
    agent = remembering(provisional(), 2)
    state = agent.init(keys.key(0), row([FIRST, FIRST]))
    carry, seen = agent.begin(2), []
    for t, kind in enumerate([[FIRST, FIRST], [MID, MID], [MID, FIRST], [MID, MID], [MID, MID]]):
        _, carry, extras = agent.act(agent.actor(state), keys.key(t), carry, row(kind, t), True)
        at = [
            [u for u in range(5) if (extras["held"]["target"][i] == row(kind, u).observation["target"][i]).all()]
            for i in (0, 1)
        ]
        seen.append([each[0] for each in at])
    assert seen == [[0, 0], [0, 0], [2, 2], [2, 2], [4, 4]]


def test_practice_changes_the_low_level_and_none_leaves_it():
    make = lambda rollouts: practised(provisional(), unicycle(), 3, lanes=4, unroll=6, rollouts=rollouts)  # noqa: E731
    (none, score), (some, paid) = (jax.jit(make(n))(keys.key(0)) for n in (0, 3))
    assert any((a != b).any() for a, b in zip(jax.tree.leaves(none), jax.tree.leaves(some), strict=True))
    assert float(score) == 0 and -3 < float(paid) < 0


def test_the_unicycle_against_a_plain_model():
    env = unicycle(3.0, sparse=True, time_limit=60)
    check_environment(env)
    assert env.render(env.reset(keys.key(0))[0]).dtype == jnp.uint8
    played = play(
        env, steps=100, lanes=3, policy=lambda timestep: timestep.observation["target"] * jnp.array([[3.0, 0]]) + 0.2
    )
    kind, reward, discount, seen = played.timestep
    for lane in range(3):
        for t in range(100):
            if kind[t + 1, lane] == FIRST:
                continue
            (speed, rate), (ahead, left) = seen[BODY][t, lane], seen["target"][t, lane] * 3.0
            thrust, torque = np.clip(played.action[t, lane], -1, 1)
            speed, rate = 0.9 * speed + 0.1 * thrust, 0.8 * rate + 0.2 * torque
            turn = 0.3 * rate
            ahead, left = (
                np.cos(turn) * ahead + np.sin(turn) * left - 0.1 * speed,
                np.cos(turn) * left - np.sin(turn) * ahead,
            )
            np.testing.assert_allclose(seen[BODY][t + 1, lane], [speed, rate], atol=1e-5)
            np.testing.assert_allclose(seen["target"][t + 1, lane] * 3.0, [ahead, left], atol=1e-4)
            near = np.hypot(ahead, left) < 0.5
            assert reward[t + 1, lane] == near and (discount[t + 1, lane] == 0) == near
    with pytest.raises(ValueError, match="distance must be above 0"):
        unicycle(0.0)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"env": "bellmax/pendulum"}, "must be a dict with proprioception"),
        ({"agent": {"practice_options": ("far=1",)}}, "--agent.practice-options far=1: bellmax/unicycle has no option"),
        ({"agent": {"minibatches": 7}}, "--agent.minibatches 7"),
    ],
)
def test_refusals(words, told):
    config = command.experiment.configured(**words)
    with pytest.raises(ValueError, match=told):
        command.check(config.agent, prepare.environment(config).spec, plans.Size(64, 1, 100_000))
