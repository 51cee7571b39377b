"""DDPG and TD3: noise, bounds of actions, what one update does, observations of several parts."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import action_noise, exploration, optimisers, wrappers
from agents.common.critics import apply, ends, with_action
from agents.ddpg import Params, ddpg
from envs import keys
from envs.base import Box
from experiments.parts import builders
from experiments.run.plans import Size
from experiments.studies import linear_quadratic as lq
from experiments.studies import overestimation

LANES, SIZE = 8, 2
NEAR = 0.3  # where the best actions of the linear system are within the bounds that targets are clipped to
SPACE = {"observation": Box((3,)), "desired_goal": Box((2,)), "achieved_goal": Box((2,))}
SEEN = {name: SPACE[name] for name in ("observation", "desired_goal")}
POLICY = networks.q_network(networks.Torso(SEEN, (8,), layer_norm=True), networks.DeterministicPolicy(SIZE))
CRITIC = networks.q_network(networks.Torso(with_action(SEEN, Box((SIZE,))), (8,)), networks.Value())


def agent(critics: int = 2, rate: float = 0.1, **settings: Any) -> Any:
    optimiser = Params(optimisers.chain(optax.sgd(rate)), optimisers.chain(optax.sgd(rate)))
    return ddpg(POLICY, networks.ensemble(CRITIC, critics), optimiser, **settings)


def window() -> Step:
    """Two transitions in each lane; in the first half of them the second joins two episodes."""
    draws = jax.random.split(keys.key(5), 5)
    observation = {
        name: jax.random.normal(k, (3, LANES, *box.shape)) for k, (name, box) in zip(draws, SPACE.items(), strict=False)
    }
    joins = np.arange(LANES)[None] < LANES // 2
    kinds = jnp.asarray(
        np.concatenate([np.full((1, LANES), MID), np.where(joins, LAST, MID), np.where(joins, FIRST, MID)])
    )
    action = jax.random.uniform(draws[3], (3, LANES, SIZE), minval=-1)
    reward = jax.random.normal(draws[4], (3, LANES))
    return Step(TimeStep(kinds.astype(jnp.int8), reward, jnp.ones((3, LANES)), observation), action, {})


ROWS = window()
TIMESTEP = jax.tree.map(lambda x: x[0], ROWS.timestep)
UPDATE = jax.jit(lambda state, key: agent(1).update(state, key, Sample(ROWS)))


def test_ornstein_uhlenbeck_settles_at_its_variance_and_starts_at_zero() -> None:
    process = action_noise.ornstein_uhlenbeck(SIZE, 0.2, 0.15)
    first = jnp.zeros(500, bool)

    def step(x: Any, key: Any) -> Any:
        return process.draw(key, x, first, x.shape)[::-1]

    last, path = jax.lax.scan(step, process.begin(500), jax.random.split(keys.key(0), 60))
    settled = 0.2 / np.sqrt(1 - 0.85**2)  # of the recursion x ← 0.85 x + 0.2 ε
    np.testing.assert_allclose(np.std(path[-1]), settled, rtol=0.1)
    np.testing.assert_allclose(np.std(path[0]), 0.2, rtol=0.1)
    correlation = np.mean(path[-1] * path[-2]) / settled**2
    np.testing.assert_allclose(correlation, 0.85, atol=0.1)
    again, _ = process.draw(keys.key(9), last, ~first, last.shape)
    fresh, _ = process.draw(keys.key(9), jnp.zeros_like(last), first, last.shape)
    np.testing.assert_array_equal(again, fresh)


def reference(state: Any) -> tuple[Params, Any]:
    """Parameters and priorities after an update with the settings of the test below, plainly."""
    critic = networks.ensemble(CRITIC, 2)
    params = state.critic.params
    priorities = []
    for half in (slice(0, 4), slice(4, 8)):
        rows = jax.tree.map(lambda x, half=half: x[:, half], ROWS)
        before, arrived = ends(rows)
        a_t = apply(POLICY, state.target.policy, arrived)
        y = arrived.reward + 0.9 * jnp.min(apply(critic, state.target.critic, arrived, a_t), 0)
        y, mask = jnp.clip(y, -0.5, 0.4), jnp.float32(rows.timestep.step_type[1:] != FIRST)
        weight = mask * jnp.float32(np.arange(LANES)[half] / 4.0)[None]

        def loss(params, before=before, rows=rows, y=y, weight=weight, mask=mask):
            q = apply(critic, params, before, rows.action[:-1])
            return jnp.sum(0.5 * jnp.square(y[None] - q) * weight[None]) / mask.sum()

        td = y[None] - apply(critic, params, before, rows.action[:-1])
        priorities.append(jnp.sum(jnp.mean(jnp.abs(td), 0) * mask, 0) / jnp.maximum(mask.sum(0), 1))
        params = jax.tree.map(lambda p, g: p - 0.1 * g, params, jax.grad(loss)(params))

    def policy_loss(policy):
        action = apply(POLICY, policy, before)
        each = 0.5 * jnp.mean(jnp.square(action), -1) - apply(critic, params, before, action)[0]
        return jnp.sum(each * mask) / mask.sum()

    policy = jax.tree.map(lambda p, g: p - 0.1 * g, state.policy.params, jax.grad(policy_loss)(state.policy.params))
    return Params(policy, params), jnp.concatenate(priorities)


def test_an_update_is_the_papers() -> None:
    """Two critic steps on halves of the sample, one policy step on the second, then all targets."""
    td3 = agent(discount=0.9, delay=2, target_rate=0.25, action_cost=0.5, target_range=(-0.5, 0.4))
    state = td3.init(keys.key(0), TIMESTEP)
    state = state._replace(target=jax.tree.map(lambda x: x + 0.1, state.target))
    after, info = jax.jit(td3.update)(state, keys.key(1), Sample(ROWS, weight=jnp.arange(LANES) / 4.0))
    params, priorities = jax.jit(reference)(state)
    chex.assert_trees_all_close(after.params, params, atol=1e-5)
    chex.assert_trees_all_close(after.target, optax.incremental_update(after.params, state.target, 0.25), atol=1e-6)
    np.testing.assert_allclose(info.priority, priorities, atol=1e-5)


def test_the_critics_derivative_by_the_action_is_clipped_on_its_way_to_the_policy() -> None:
    rows = jax.tree.map(lambda x: x[:, LANES // 2 :], ROWS)  # no transition joins two episodes
    after = {}
    for limit in (None, 1e9, 0.01):
        one = agent(1, target_rate=0.25, slope_limit=limit)
        state = one.init(keys.key(0), TIMESTEP)
        updated, info = jax.jit(one.update)(state, keys.key(1), Sample(rows))
        after[limit] = updated.policy.params, info.metrics["policy_loss"], updated.critic.params
    chex.assert_trees_all_close(after[1e9], after[None], atol=1e-6)
    np.testing.assert_allclose(after[0.01][1], after[None][1], rtol=1e-5)
    critic, before = networks.ensemble(CRITIC, 1), ends(rows)[0]
    action = apply(POLICY, state.policy.params, before)
    slope = jax.grad(lambda a: apply(critic, after[None][2], before, a).sum())(action)
    assert (np.abs(slope) > 0.01).any()

    def ascent(params: Any) -> Any:
        return -jnp.sum(jnp.clip(slope, -0.01, 0.01) * apply(POLICY, params, before)) / (2 * LANES // 2)

    expected = jax.tree.map(lambda p, g: p - 0.1 * g, state.policy.params, jax.grad(ascent)(state.policy.params))
    chex.assert_trees_all_close(after[0.01][0], expected, atol=1e-6)


class Products(nn.Module):
    """State, action and all products of their entries, with which action values are linear."""

    def __call__(self, seen: Any) -> Any:
        x = jnp.concatenate([seen["observation"], seen["action"]], -1)
        return jnp.concatenate([x, (x[..., :, None] * x[..., None, :])[..., *np.triu_indices(4)]], -1)


@pytest.mark.parametrize(("critics", "delay"), [(1, 1), (2, 2)])
def test_the_policy_of_a_linear_system_is_riccatis(critics: int, delay: int) -> None:
    policy = networks.q_network(networks.Torso(Box((2,)), ()), nn.Dense(2, use_bias=False))
    critic = networks.ensemble(networks.q_network(Products(), networks.Value()), critics)
    chains = Params(optimisers.adam(2e-3), optimisers.adam(5e-3))
    learner = ddpg(policy, critic, chains, discount=lq.DISCOUNT, target_rate=0.05, delay=delay)

    def update(state: Any, key: Any) -> Any:
        parts = [lq.transitions(k, NEAR) for k in jax.random.split(key, delay)]
        steps = jax.tree.map(lambda *x: jnp.concatenate(x, axis=1), *parts)
        return learner.update(state, key, Sample(steps))[0], None

    first = jax.tree.map(lambda x: x[0], lq.transitions(keys.key(0), NEAR).timestep)
    run = jax.jit(lambda s: jax.lax.scan(update, s, jax.random.split(keys.key(1), 6000))[0])
    state = run(learner.init(keys.key(0), first))
    rows = lq.transitions(keys.key(2), NEAR).timestep
    best = -rows.observation @ lq.riccati()[0].T
    learned = apply(policy, state.policy.params, rows)
    assert np.linalg.norm(learned - best) <= 0.05 * np.linalg.norm(best)


def test_one_critic_overestimates_and_two_do_so_much_less() -> None:
    one, two = overestimation.values(0, 1), overestimation.values(0, 2)
    error = one.std() / np.sqrt(len(one))
    assert one.mean() > 4 * error, one
    assert two.mean() < 0.5 * one.mean(), (one.mean(), two.mean())


def test_smoothing_draws_anew_and_only_matters_if_asked_for() -> None:
    changed = []
    for smoothing in (0.0, 0.2):
        td3 = agent(smoothing=smoothing)
        state = td3.init(keys.key(0), TIMESTEP)
        update = jax.jit(lambda key, td3=td3, state=state: td3.update(state, key, Sample(ROWS))[1].metrics["loss"])
        losses = [update(keys.key(k)) for k in range(2)]
        changed.append(bool(losses[0] != losses[1]))
    assert changed == [False, True]


def test_actions_are_random_until_the_first_update_and_noisy_after() -> None:
    ddpg_ = agent(1, noise=action_noise.gaussian(0.01))
    state = ddpg_.init(keys.key(0), TIMESTEP)
    many = jax.tree.map(lambda x: jnp.repeat(x, 200, 0), TIMESTEP)
    before, _, _ = ddpg_.act(ddpg_.actor(state), keys.key(1), (), many, True)
    np.testing.assert_allclose([before.mean(), before.std()], [0, 1 / np.sqrt(3)], atol=0.03)
    state, _ = UPDATE(state, keys.key(0))
    greedy, _, _ = ddpg_.act(ddpg_.actor(state), keys.key(1), (), many, False)
    noisy, _, _ = ddpg_.act(ddpg_.actor(state), keys.key(1), (), many, True)
    np.testing.assert_allclose(np.std(noisy - greedy), 0.01, rtol=0.05)


def test_unit_actions_are_a_map_between_the_bounds() -> None:
    box = Box((SIZE,), np.array([-1.0, 2.0]), np.array([3.0, 4.0]))
    inner = agent(1)
    outer = wrappers.unit_actions(inner, box)
    state = inner.init(keys.key(0), TIMESTEP)
    unit, _, _ = inner.act(inner.actor(state), keys.key(1), (), TIMESTEP, True)
    action, _, _ = outer.act(outer.actor(state), keys.key(1), (), TIMESTEP, True)
    np.testing.assert_allclose(action, np.array([[1.0, 3.0]]) + np.array([[2.0, 1.0]]) * unit, rtol=1e-6)
    stored = ROWS._replace(action=jnp.float32([[[1.0, 3.0]]]) + jnp.float32([[[2.0, 1.0]]]) * ROWS.action)
    both = (
        jax.jit(lambda rows: outer.update(state, keys.key(0), Sample(rows))[0])(stored),
        UPDATE(state, keys.key(0))[0],
    )
    chex.assert_trees_all_close(*both, atol=1e-5)
    with pytest.raises(ValueError, match="needs finite bounds"):
        wrappers.unit_actions(inner, Box((SIZE,)))


def test_parameter_noise_moves_the_policy_by_about_the_threshold() -> None:
    noisy = exploration.parameter_noise(
        agent(1, 1e-6, noise=action_noise.gaussian(0.0)),
        exploration.action_distance(POLICY),
        0.2,
        sigma=0.01,
        growth=1.2,
        period=1,
    )
    state = noisy.init(keys.key(0), TIMESTEP)
    update = jax.jit(noisy.update)
    for i in range(40):
        state, _ = update(state, keys.key(i), Sample(ROWS))
    actor = noisy.actor(state)
    acted, clean = (noisy.act(actor, keys.key(0), (), TIMESTEP, explore)[0] for explore in (True, False))
    assert 0.05 < np.sqrt(np.mean(np.square(acted - clean))) < 0.8


def test_flags_are_refused_by_name() -> None:
    from envs.base import Discrete, Spec
    from experiments import ddpg as experiment

    size, spec = Size(4, 1, 1000), Spec("x", Box((3,)), Box((1,), -1, 1))
    with pytest.raises(ValueError, match="--env x: ddpg needs a vector of bounded actions"):
        experiment.check(experiment.Config(), spec._replace(action=Discrete(2)), size)
    with pytest.raises(ValueError, match=r"--agent\.target-low 0\.0: must be below --agent\.target-high 0\.0"):
        experiment.check(experiment.Config(target_low=0.0, target_high=0.0), spec, size)
    experiment.check(experiment.Config(), spec, size)
    with pytest.raises(ValueError, match="needs a vector"):
        builders.unit_box(Spec("x", Box((3,)), Box((2, 2), -1, 1)), "ddpg")
    with pytest.raises(ValueError, match="at least 1"):
        networks.ensemble(CRITIC, 0)
    with pytest.raises(ValueError, match="feed-forward"):
        networks.ensemble(networks.q_network(networks.Torso(Box((3,)), (8,)), networks.Value(), networks.GRU(4)), 2)
    with pytest.raises(ValueError, match="3 critic steps"):
        agent(delay=3).update(agent().init(keys.key(0), TIMESTEP), keys.key(0), Sample(ROWS))
