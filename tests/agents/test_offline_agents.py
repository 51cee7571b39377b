"""Agents that learn from data alone, where the answer is known: one state, and what was done there."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import bcq as batched
from agents import bear as bounded
from agents import ddpg as td3
from agents import iql as implicit
from agents import sac as soft
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import objectives, optimisers, penalties, starts
from agents.common.critics import apply, with_action
from agents.dqn import dqn
from envs import keys
from envs.base import Box

LANES = 40
SPACE = Box((1,))


def data(action: Any, reward: Any) -> Sample:
    """Episodes of one step from one state: what was done, and what it paid."""
    n = len(reward)
    kinds = jnp.broadcast_to(jnp.array([[FIRST], [LAST]], jnp.int8), (2, n))
    timestep = TimeStep(kinds, jnp.stack([jnp.zeros(n), reward]), jnp.stack([jnp.ones(n), jnp.zeros(n)]),
                        jnp.ones((2, n, 1)))  # fmt: skip
    return Sample(Step(timestep, jnp.stack([action, action])))


def choices() -> Sample:
    """Nine times in ten action 0, which pays 0, once in ten action 1, which pays 1; action 2 never."""
    action = jnp.arange(LANES) % 10 == 9
    return data(action.astype(jnp.int32), action.astype(jnp.float32))


def points() -> Sample:
    """Mostly -0.6, which pays 0, and now and then 0.4, which pays 1."""
    better = jnp.arange(LANES) % 10 == 9
    return data(jnp.where(better, 0.4, -0.6)[:, None], better.astype(jnp.float32))


def mlp(*sizes: int, action: bool = False) -> networks.Torso:
    return networks.Torso(with_action(SPACE, Box((1,), -1.0, 1.0)) if action else SPACE, sizes, cnn=None)


def trained(agent: Any, sample: Sample, updates: int) -> tuple[Any, dict[str, Any]]:
    """The state after updates from one sample, and the metrics of the last."""

    def run(key: Any) -> Any:
        first = jax.tree.map(lambda x: x[0], sample.steps.timestep)
        body = lambda state, key: agent.update(state, key, sample)  # noqa: E731
        state, info = jax.lax.scan(body, agent.init(key, first), keys.split(key, updates))
        return state, jax.tree.map(lambda x: x[-1], info.metrics)

    return jax.jit(run)(keys.key(0))


def seen(lanes: int = 1) -> TimeStep:
    return TimeStep(jnp.zeros(lanes, jnp.int8), jnp.zeros(lanes), jnp.ones(lanes), jnp.ones((lanes, 1)))


def probabilities(network: Any, params: Any) -> np.ndarray:
    row = jax.tree.map(lambda x: x[None], seen())
    return np.asarray(jax.nn.softmax(apply(network, params, row).logits)[0, 0])


@pytest.mark.parametrize("weighted", [True, False])
def test_iql_and_awac_prefer_what_pays_and_never_what_was_not_done(weighted):
    policy = networks.q_network(mlp(), networks.CategoricalPolicy(3))
    critic = networks.ensemble(networks.q_network(mlp(), networks.QValues(3)), 2)
    value = networks.q_network(mlp(), networks.Value())
    chains = implicit.Params(*(optimisers.adam(3e-2) for _ in range(3)))
    agent = implicit.iql(policy, critic, value, chains, level=0.9, inverse_temperature=10.0 if weighted else 0.0,
                         target_rate=0.1, discrete=True)  # fmt: skip
    state, metrics = trained(starts.told(agent, lambda s, t: apply(value, s.value.params, t)), choices(), 600)
    p = probabilities(policy, state.inner.policy.params)
    # The 0.9-expectile of nine zeros and a one is a half, so the odds of 1 to 9 become exp(10) to 9.
    np.testing.assert_allclose(metrics["start_value"], 0.5, atol=0.05)
    np.testing.assert_allclose(p[1], np.exp(10) / (np.exp(10) + 9) if weighted else 0.1, atol=0.03)
    assert p[2] < 0.01
    awac = implicit.iql(policy, critic, None, chains._replace(value=()), inverse_temperature=10.0 if weighted else 0.0,
                        target_rate=0.1, discrete=True)  # fmt: skip
    if weighted:
        state, _ = trained(awac, choices(), 600)
        assert probabilities(policy, state.policy.params)[1] > 0.5 and state.value == ()


def test_iql_imitates_the_better_actions_of_a_continuum():
    policy = networks.q_network(mlp(), networks.GaussianPolicy(1, bounded=True))
    critic = networks.ensemble(networks.q_network(mlp(16, action=True), networks.Value()), 2)
    value = networks.q_network(mlp(), networks.Value())
    chains = implicit.Params(*(optimisers.adam(1e-2) for _ in range(3)))
    agent = implicit.iql(policy, critic, value, chains, level=0.9, inverse_temperature=10.0, target_rate=0.1)
    state, _ = trained(agent, points(), 800)
    action, _, _ = agent.act(agent.actor(state), keys.key(1), (), seen(), False)
    np.testing.assert_allclose(action, [[0.4]], atol=0.1)


def test_conservative_values_of_actions_that_were_not_done_fall():
    network = networks.q_network(mlp(), networks.QValues(3))
    plain = dqn(network, optimisers.adam(1e-2))
    shy = dqn(network, optimisers.adam(1e-2), conservatism=0.1)
    values = []
    for agent in (plain, shy):
        state, metrics = trained(agent, choices(), 400)
        values.append(np.asarray(apply(network, state.params, jax.tree.map(lambda x: x[None], seen()))[0, 0]))
    assert values[1][2] < values[0][2] - 1 and "penalty" in metrics
    np.testing.assert_allclose(values[0][:2], [0, 1], atol=0.05)
    # ∂/∂q of ½ p (q - r)² + 0.1 (ln Σ exp q - Σ p q) is 0 at the data's actions, p their shares there.
    q, share = values[1], np.array([0.9, 0.1, 0.0])
    slope = share * (q - [0, 1, 0]) + 0.1 * (np.exp(q) / np.exp(q).sum() - share)
    np.testing.assert_allclose(slope[:2], 0, atol=5e-3)


def conservative_sac(calibrated: bool = False, **settings: Any) -> Any:
    policy = networks.q_network(mlp(), networks.TanhGaussianPolicy(1))
    critic = networks.ensemble(networks.q_network(mlp(16, action=True), networks.Value()), 2)
    chains = soft.Params(*(optimisers.adam(1e-2) for _ in range(3)))
    gap = penalties.conservative(critic, 4, calibrated=calibrated)
    return critic, soft.sac(policy, critic, chains, temperature=0.05, soft_targets=False, penalty=gap, **settings)


def test_cql_holds_values_beside_the_data_below_it_and_its_multiplier_holds_the_gap():
    grid = jnp.linspace(-1, 1, 21)[None, :, None]

    def values(critic: Any, state: Any) -> np.ndarray:
        rows = jax.tree.map(lambda x: x[None], seen(21))
        return np.asarray(apply(critic, state.critic.params, rows, grid)[:, 0].min(0))

    critic, agent = conservative_sac(penalty_weight=1.0)
    state, metrics = trained(agent, points(), 400)
    q = values(critic, state)
    assert q[4] > q[20] + 0.5 and q[4] > q[9] - 0.5  # -0.6, which was done, over 1, which was not
    constrained = soft.Constraint(1.0, optimisers.adam(3e-2))
    _, agent = conservative_sac(penalty_weight=1.0, constraint=constrained)
    state, held = trained(agent, points(), 400)
    assert held["multiplier"] != 1 and abs(held["penalty"] - 1.0) < abs(metrics["penalty"] - 1.0)
    _, cloned = conservative_sac(cloned=10_000, target_entropy=None)
    state, _ = trained(cloned, data(jnp.full((LANES, 1), 0.4), jnp.zeros(LANES)), 400)
    action, _, _ = cloned.act(cloned.actor(state), keys.key(1), (), seen(), False)
    np.testing.assert_allclose(action, [[0.4]], atol=0.05)


def test_calibrated_values_of_the_policy_do_not_fall_below_what_followed():
    """Where one action was done and paid 1, a strong penalty lowers what is beside it, and so the policy's values."""
    sample = data(jnp.full((LANES, 1), 0.4), jnp.ones(LANES))
    told = sample._replace(steps=sample.steps._replace(extras={"to_go": jnp.ones((2, LANES))}))
    worth = {}
    for calibrated in (False, True):
        critic, agent = conservative_sac(calibrated, penalty_weight=5.0)
        state, _ = trained(agent, told, 400)
        rows = jax.tree.map(lambda x: x[None], seen(64))
        policy = networks.q_network(mlp(), networks.TanhGaussianPolicy(1))
        own = apply(policy, state.policy.params, rows).sample(keys.key(2))
        worth[calibrated] = float(jnp.mean(apply(critic, state.critic.params, rows, own)))
    assert worth[True] > worth[False] + 0.1, worth


def test_the_gap_is_of_each_critic_and_its_gradient_passes_through_critics_alone():
    # Of two dimensions: on a line all slopes that point the same way are alike, whatever the parameters.
    features = networks.Torso(with_action(SPACE, Box((2,), -1.0, 1.0)), (8,), cnn=None)
    member = networks.q_network(features, networks.Value())
    critic, policy = networks.ensemble(member, 3), networks.q_network(mlp(), networks.TanhGaussianPolicy(2))
    sample = data(jnp.tile(points().steps.action[0], 2), jnp.zeros(LANES))

    def slopes(gap: Any) -> Any:
        def total(params: Any, actor: Any) -> Any:
            each = gap(params, lambda t: apply(policy, actor, t), keys.key(2), sample.steps)
            return each.sum(), each

        first = jax.tree.map(lambda x: x[0], sample.steps.timestep)
        params = critic.init(keys.key(0), with_action(first.observation, sample.steps.action[0]))
        actor = policy.init(keys.key(1), first.observation)
        return jax.grad(total, (0, 1), has_aux=True)(params, actor)

    for gap, shape in ((penalties.conservative(critic, 5), (3, 1, LANES)), (penalties.alike(member), (1, 1, LANES))):
        (critics, actors), each = jax.jit(partial(slopes, gap))()
        assert each.shape == shape
        assert any(np.any(x) for x in jax.tree.leaves(critics)) and not any(map(np.any, jax.tree.leaves(actors)))


def test_cloning_keeps_td3_at_the_data_whatever_the_scale_of_rewards():
    policy = networks.q_network(mlp(), networks.DeterministicPolicy(1))
    critic = networks.ensemble(networks.q_network(mlp(16, action=True), networks.Value()), 2)
    chains = td3.Params(optimisers.adam(1e-2), optimisers.adam(1e-2))
    action = jnp.linspace(-0.2, 0.2, LANES)[:, None]
    at = {}
    for scale in (1.0, 100.0):
        for name, cloning in (("cloned", td3.Cloning(1.0, 0.05)), ("free", None)):
            agent = td3.ddpg(policy, critic, chains, cloning=cloning)
            state, metrics = trained(agent, data(action, scale * (1 + action[:, 0])), 500)
            found, _, _ = agent.act(agent.actor(state), keys.key(1), (), seen(), False)
            at[name, scale] = float(found[0, 0])
            assert ("cloning_error" in metrics) == (name == "cloned")
    # More pays more, so that without data there is no end to it; with it, the mean action of the data is left a little.
    assert at["free", 1.0] > 0.9 and at["free", 100.0] > 0.9
    assert -0.05 < at["cloned", 1.0] < 0.2 and -0.05 < at["cloned", 100.0] < 0.2


def test_rebrac_s_targets_fall_with_the_distance_from_the_next_action_but_not_where_an_episode_was_cut():
    policy = networks.q_network(mlp(), networks.DeterministicPolicy(1))
    critic = networks.ensemble(networks.q_network(mlp(action=True), networks.Value()), 2)
    still = td3.Params(optimisers.adam(1e-12), optimisers.adam(1e-12))

    def error(kind: int, weight: float) -> float:
        sample = data(jnp.full((4, 1), 1.0), jnp.zeros(4))
        timestep = sample.steps.timestep
        kinds = jnp.stack([jnp.zeros(4, jnp.int8), jnp.full(4, kind, jnp.int8)])
        steps = sample.steps._replace(timestep=timestep._replace(step_type=kinds, discount=jnp.ones((2, 4))))
        agent = td3.ddpg(policy, critic, still, cloning=td3.Cloning(1.0, critic=weight), discount=0.5)
        _, metrics = trained(agent, sample._replace(steps=steps), 1)
        return float(metrics["td_error"])

    without, with_it, cut = error(MID, 0.0), error(MID, 100.0), error(LAST, 100.0)
    assert cut == without and abs(with_it - without) > 20


@pytest.mark.parametrize(("threshold", "chosen"), [(0.05, 1), (0.3, 0)])
def test_discrete_bcq_chooses_the_best_of_what_is_done_often_enough(threshold, chosen):
    network = networks.q_network(mlp(), networks.BehaviourQ(3))
    agent = dqn(network, optimisers.adam(3e-2), objective=objectives.constrained(threshold, decay=1e-4), epsilon=0.0)
    state, metrics = trained(agent, choices(), 400)
    action, _, _ = agent.act(agent.actor(state), keys.key(1), (), seen(), False)
    assert action.tolist() == [chosen] and np.isfinite(metrics["loss"])
    output = apply(network, state.params, jax.tree.map(lambda x: x[None], seen()))
    np.testing.assert_allclose(jax.nn.softmax(output.logits)[0, 0], [0.9, 0.1, 0.0], atol=0.03)
    np.testing.assert_allclose(output.values[0, 0, :2], [0, 1], atol=0.05)


def test_continuous_bcq_and_bear_do_what_the_data_does_and_the_better_of_it():
    action = jnp.linspace(-0.6, 0.4, LANES)[:, None]
    encoder = networks.q_network(mlp(16, action=True), networks.GaussianPolicy(2, state_dependent=True))
    features = networks.Torso(with_action(SPACE, Box((2,), -1.0, 1.0)), (16,), cnn=None)
    nets = batched.Generator(encoder, networks.q_network(features, networks.DeterministicPolicy(1)))
    critic = networks.ensemble(networks.q_network(mlp(16, action=True), networks.Value()), 2)
    shift = networks.q_network(mlp(16, action=True), networks.DeterministicPolicy(1))
    policy = networks.q_network(mlp(), networks.TanhGaussianPolicy(1))
    chains = [optimisers.adam(1e-2) for _ in range(4)]
    for agent in (
        batched.bcq(nets, critic, shift, batched.Parts(*chains[:3]), actions=1, candidates=4, choices=20),
        bounded.bear(nets, critic, policy, bounded.Parts(*chains), actions=1, samples=4, candidates=4, imitated=50),
    ):
        made = {}
        for sign in (1, -1):
            state, metrics = trained(agent, data(action, sign * action[:, 0]), 300)
            found, _, _ = agent.act(agent.actor(state), keys.key(1), (), seen(), False)
            made[sign] = float(found[0, 0])
            assert np.isfinite(metrics["policy_loss"]) and np.isfinite(metrics["generator_loss"])
        # More pays more in one of the two; unbounded, the policy would leave for 1 and -1.
        assert -0.75 <= made[-1] < made[1] <= 0.6


def test_bear_s_multiplier_rises_where_the_policy_leaves_the_data():
    nets = batched.Generator(
        networks.q_network(mlp(4, action=True), networks.GaussianPolicy(2, state_dependent=True)),
        networks.q_network(
            networks.Torso(with_action(SPACE, Box((2,), -1.0, 1.0)), (4,), cnn=None), networks.DeterministicPolicy(1)
        ),
    )
    critic = networks.ensemble(networks.q_network(mlp(action=True), networks.Value()), 2)
    policy = networks.q_network(mlp(), networks.TanhGaussianPolicy(1))
    still, moving = optimisers.adam(1e-12), optimisers.adam(1e-2)
    chains = bounded.Parts(still, still, still, moving)
    ends = []
    for allowed in (1e-3, 10.0):
        agent = bounded.bear(nets, critic, policy, chains, actions=1, samples=4, candidates=2, discrepancy=allowed)
        ends.append(float(trained(agent, points(), 20)[1]["multiplier"]))
    assert ends[0] > 1 > ends[1]
