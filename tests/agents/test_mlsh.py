"""MLSH: windows of choices by hand, who learns when, fresh masters, gated policies, and bad flags."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.common.masters import choices, gated, unsure
from agents.mlsh import mlsh
from agents.ppo import ppo
from envs import keys
from envs.base import Box
from envs.tasks.moving_bandits import moving_bandits
from experiments import mlsh as command

HORIZON, EPISODES, LANES, WARMUP = 5, 2, 3, 2
LENGTH = EPISODES * (HORIZON + 1)
ENV = moving_bandits(HORIZON, WARMUP + 1, EPISODES)


def network(actions):
    torso = networks.Torso(Box((6,)), (8,), cnn=None)
    return networks.actor_critic(torso, networks.CategoricalPolicy(actions), networks.Value())


@cache
def agent(bootstrap=False):
    settings = {"epochs": 1, "minibatches": 1}
    high = ppo(unsure(network(2), 0.5), optimisers.adam(1e-2), **settings)
    low = ppo(gated(network(5), 2), optimisers.adam(1e-2), **settings)
    sizes = {"horizon": HORIZON, "episodes": EPISODES, "period": 2, "warmup": WARMUP, "joint": 1}
    return mlsh(high, low, bootstrap=bootstrap, **sizes)


@cache
def played():
    """The agent's state at first, and a window that it acted out, with the carries."""
    k_env, k_init, k_run = jax.random.split(keys.key(0), 3)
    lane, timestep = jax.jit(jax.vmap(ENV.reset))(jax.random.split(k_env, LANES))
    state = jax.jit(agent().init)(k_init, timestep)

    def row(live, key):
        memory, lane, timestep = live
        action, memory, extras = agent().act(agent().actor(state), key, memory, timestep, True)
        return (memory, *jax.vmap(ENV.step)(lane, action)), Step(timestep, action, extras)

    live = (agent().begin(LANES), lane, timestep)
    run = jax.jit(lambda live, keys: jax.lax.scan(row, live, keys))
    return state, run(live, jax.random.split(k_run, LENGTH + 1))[1]


@cache
def updated(bootstrap=False):
    return jax.jit(agent(bootstrap).update)


def told(rows, new):
    """The window, whose next one opens a new task in some lanes or not."""
    seen = dict(rows.timestep.observation)
    seen["new_task"] = jnp.zeros_like(seen["new_task"]).at[-1, :, 0].set(jnp.asarray(new, jnp.float32))
    return Sample(rows._replace(timestep=rows.timestep._replace(observation=seen)))


def moved(before, after):
    return [bool(np.any(a != b)) for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True)]


def test_a_choice_is_followed_for_a_period_and_an_episode_opens_with_one():
    _, rows = played()
    new, choice = np.asarray(rows.extras["new"]), np.asarray(rows.extras["choice"])
    assert new[:, 0].tolist() == [*([True, False] * 3), *([True, False] * 3), True]
    assert (choice[1:][~new[1:]] == choice[:-1][~new[1:]]).all()
    assert len(np.unique(choice)) == 2


def test_a_random_choice_is_a_part_of_the_distribution():
    state, rows = played()
    sure = jax.vmap(lambda p, x: network(2).apply(p, None, (), x[:, None], jnp.zeros((len(x), 1), bool))[0][0])
    logits = sure(state.high.params, jnp.moveaxis(rows.timestep.observation["observation"], 0, 1)).logits[:, :, 0]
    p = 0.5 * jax.nn.softmax(logits) + 0.25
    lane, row = np.nonzero(np.asarray(rows.extras["new"]).T)
    likely = np.asarray(p)[lane, row, np.asarray(rows.extras["choice"]).T[lane, row]]
    found = np.asarray(rows.extras["high"]["log_prob"]).T[lane, row]
    np.testing.assert_allclose(found, np.log(likely), rtol=1e-4, atol=1e-5)


def test_the_window_of_choices_by_hand():
    kinds = [FIRST, MID, MID, MID, LAST, FIRST, MID, LAST, FIRST]
    new = [1, 0, 1, 0, 1, 1, 0, 0, 1]
    reward = [0.0, 1.0, 2.0, 4.0, 8.0, 0.0, 16.0, 32.0, 0.0]
    column = lambda x, kind: jnp.asarray(x, kind)[:, None]  # noqa: E731
    discount = [1.0] * 7 + [0.0, 1.0]
    row = column(range(9), jnp.int32)
    timestep = TimeStep(column(kinds, jnp.int8), column(reward, jnp.float32), column(discount, jnp.float32), row)
    extras = {"new": column(new, bool), "choice": row * 10, "high": {"value": row * 100}}
    found = choices(Step(timestep, row, extras), 6)
    assert found.timestep.observation[:, 0].tolist()[:5] == [0, 2, 4, 5, 7]
    assert found.timestep.observation[6, 0] == 8
    assert found.timestep.step_type[:, 0].tolist() == [FIRST, MID, LAST, FIRST, LAST, FIRST, FIRST]
    assert found.timestep.reward[:, 0].tolist() == [0, 3, 12, 0, 48, 0, 0]
    assert found.timestep.discount[:5, 0].tolist() == [1, 1, 1, 1, 0]
    assert found.action[:5, 0].tolist() == [0, 20, 40, 50, 70]
    assert found.extras["value"][:5, 0].tolist() == [0, 200, 400, 500, 700]


def test_masters_learn_always_and_shared_policies_in_joint_windows_alone():
    state, rows = played()
    warm, info = updated()(state, keys.key(1), told(rows, [0, 0, 0]))
    assert all(moved(state.high.params, warm.high.params)) and not any(moved(state.low, warm.low))
    assert warm.phase.tolist() == [1, 1, 1] and info.metrics["joint"] == 0
    joins, info = updated()(state._replace(phase=jnp.array([0, WARMUP, 1])), keys.key(1), told(rows, [0, 1, 0]))
    assert any(moved(state.low.params, joins.low.params)) and joins.phase.tolist() == [1, 0, 2]
    np.testing.assert_allclose(info.metrics["joint"], 1 / 3, rtol=1e-6)
    beyond, _ = updated()(state._replace(phase=jnp.full(3, WARMUP + 1)), keys.key(1), told(rows, [0, 0, 0]))
    assert not any(moved(state.low, beyond.low))


def test_shared_policies_learn_from_the_lane_that_joins_alone():
    state, rows = played()
    state = state._replace(phase=jnp.array([0, WARMUP, 0]))
    other = rows._replace(timestep=rows.timestep._replace(reward=rows.timestep.reward.at[:, ::2].add(1.0)))
    one, same = (updated()(state, keys.key(1), told(each, [0, 0, 0]))[0].low.params for each in (rows, other))
    assert not any(moved(one, same))
    paid = rows._replace(timestep=rows.timestep._replace(reward=rows.timestep.reward.at[3:6, 1].add(1.0)))
    assert any(moved(one, updated()(state, keys.key(1), told(paid, [0, 0, 0]))[0].low.params))


@pytest.mark.parametrize("bootstrap", [False, True])
def test_nothing_is_expected_beyond_an_episode_s_end_unless_it_is_said(bootstrap):
    state, rows = played()
    state = state._replace(phase=jnp.array([0, WARMUP, 0]))
    timestep = rows.timestep
    assert (timestep.discount == 1).all() and timestep.last().any()
    final = timestep._replace(discount=jnp.where(timestep.last(), 0.0, 1.0))
    learned = [
        updated(bootstrap)(state, keys.key(1), told(rows._replace(timestep=each), [0, 0, 0]))[0]
        for each in (timestep, final)
    ]
    for level in ("high", "low"):
        assert any(moved(*(getattr(each, level).params for each in learned))) == bootstrap


def test_a_new_task_begins_with_a_fresh_master():
    state, rows = played()
    after, _ = updated()(state, keys.key(1), told(rows, [0, 1, 0]))
    kept, _ = updated()(state, keys.key(1), told(rows, [0, 0, 0]))
    for lane, fresh in enumerate((False, True, False)):
        of_lane = lambda tree, lane=lane: jax.tree.map(lambda x: x[lane], tree)  # noqa: E731
        kernels = lambda params: [x for x in jax.tree.leaves(params) if x.ndim > 1]  # noqa: E731
        changed = moved(kernels(of_lane(after.high.params)), kernels(of_lane(kept.high.params)))
        assert all(changed) if fresh else not any(changed)
    assert after.high.updates.tolist() == [1, 0, 1]


def test_returns_are_kept_by_the_window_of_the_task():
    state, rows = played()
    gain = np.asarray(rows.timestep.reward[1:]).sum(0) / EPISODES
    state = state._replace(phase=jnp.array([0, 0, WARMUP - 1]))
    after, info = updated()(state, keys.key(1), told(rows, [0, 0, 0]))
    np.testing.assert_allclose(after.returns, [gain[:2].mean(), gain[2], 0], rtol=1e-5)
    np.testing.assert_allclose(info.metrics["gain"], gain[2] - gain[:2].mean(), rtol=1e-5, atol=1e-6)
    again, _ = updated()(
        after._replace(phase=jnp.array([0, 5, 5]), returns=jnp.ones(3)), keys.key(1), told(rows, [0] * 3)
    )
    np.testing.assert_allclose(again.returns, [1 + 0.1 * (gain[0] - 1), 1, 1], rtol=1e-5)


def test_the_policy_of_the_choice_speaks_and_learns():
    net, own = gated(network(5), 2), network(5)
    seen = {"observation": jax.random.normal(keys.key(0), (1, 4, 6)), "choice": jnp.array([[0, 1, 1, 0]])}
    first = jnp.zeros((1, 4), bool)

    def compared(key):
        params = net.init(key, jax.tree.map(lambda x: x[0], seen))
        said, _ = net.apply(params, None, (), seen, first)
        alone = jax.vmap(lambda p: own.apply(p, None, (), seen["observation"], first)[0])(params)
        worth = lambda p: jnp.sum(net.apply(p, None, (), seen, first)[0][1][:, 1:3])  # noqa: E731
        return said, alone, jax.grad(worth)(params)

    (policy, value), alone, gradient = jax.jit(compared)(keys.key(1))
    for lane, sub in enumerate((0, 1, 1, 0)):
        np.testing.assert_allclose(policy.logits[0, lane], alone[0].logits[sub, 0, lane], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(value[0, lane], alone[1][sub, 0, lane], rtol=1e-5, atol=1e-6)
    assert not any(np.any(x[0]) for x in jax.tree.leaves(gradient))
    assert any(np.any(x[1]) for x in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env", "bellmax/catch"], "--env bellmax/catch: must be a distribution of tasks that tell where they begin"),
        (["--env-options", "block=20"], "blocks are of 20 episodes, but --agent.rollouts is 40; say block=40"),
        (
            ["--agent.warmup", "9"],
            "a task stays for 62 blocks; --agent.warmup 9 + --agent.joint 2 are 11; say blocks=11",
        ),
        (["--agent.joint-lanes", "11"], "--agent.joint-lanes 11: must be at most --num-envs 10"),
        (["--agent.minibatches", "7"], "--agent.minibatches 7: must divide the 2040 rows of a window"),
        (["--agent.master-minibatches", "7"], "--agent.master-minibatches 7: must divide the 240 rows of a window"),
        (["--devices", "2"], "--devices 2: the lanes of a trial stay on one"),
    ],
)
def test_bad_flags(words, said, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([*words, "--out", str(tmp_path / "run")])
    assert said in capsys.readouterr().err
