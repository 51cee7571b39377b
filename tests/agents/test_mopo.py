"""MOPO: what the agent inside is handed, how unsure the models say they are, and COMBO's penalty."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import FIRST, LAST, MID, Agent, Info, Sample, Step, TimeStep
from agents.common import optimisers, penalties
from agents.common.critics import apply, with_action
from agents.mopo import mopo
from agents.world import models
from agents.world.dynamics import ensemble
from envs import keys
from envs.base import Box

N = 8


def sample() -> Sample:
    x = jnp.arange(2.0 * N).reshape(2, N, 1)
    kinds = jnp.broadcast_to(jnp.array([[FIRST], [MID]], jnp.int8), (2, N))
    timestep = TimeStep(kinds, jnp.full((2, N), 7.0), jnp.ones((2, N)), x)
    return Sample(Step(timestep, jnp.zeros((2, N, 1))))


def inside() -> Agent:
    """An agent that always does 1, and whose state is what it last learned from."""

    def act(actor: Any, key: Any, carry: Any, timestep: Any, explore: bool) -> Any:
        return jnp.ones((timestep.reward.shape[0], 1)), carry, {}

    def update(state: Any, key: Any, sample: Sample) -> Any:
        return sample.steps, Info({"loss": jnp.float32(0)})

    return Agent(lambda key, timestep: (), lambda state: (), lambda batch: (), act, update)


def counting() -> models.Learner:
    """A model in which x grows by the action, pays 10, and ends beyond 2.5; its members are unsure by 3 and by 4."""

    def step(params: Any, key: Any, state: Any, action: Any) -> Any:
        after = state + action
        return after, models.Imagined(after, jnp.full(after.shape[0], 10.0), (after[:, 0] <= 2.5).astype(jnp.float32))

    def spread(params: Any, state: Any, action: Any) -> Any:
        return jnp.broadcast_to(jnp.array([[[3.0, 0.0]], [[0.0, 4.0]]]), (2, state.shape[0], 2))

    model = models.Model(lambda x: x, step)
    return models.Learner(model, lambda key, t: (), lambda s: (), lambda s, key, steps: (s, {}), spread)


@pytest.mark.parametrize("warmup", [0, 1])
def test_the_agent_learns_from_rollouts_of_its_policy_that_pay_less_where_the_models_are_unsure(warmup):
    agent = mopo(inside(), counting(), starts=2, depth=3, real=4, penalty=0.5, warmup=warmup)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], sample().steps.timestep))
    state, info = agent.update(state, keys.key(1), sample())
    before, after = (jax.tree.map(lambda x, i=i: np.asarray(x[i]), state.inner) for i in (0, 1))
    np.testing.assert_allclose(before.timestep.observation[:, 0], [0, 1, 1, 2, 2, 3, 4, 5, 6, 7])
    np.testing.assert_allclose(after.timestep.observation[:, 0], [1, 2, 2, 3, 3, 4, 12, 13, 14, 15])
    np.testing.assert_allclose(after.timestep.reward, [8.0] * 6 + [7.0] * 4)  # 10 - 0.5 · 4
    np.testing.assert_allclose(before.action[:, 0], [1.0] * 6 + [0.0] * 4)
    # The rollout from 1 ends in its second step; what follows on its end, and all before the warm-up, is no transition.
    kinds = [FIRST] * 6 if warmup else [MID, MID, MID, LAST, LAST, FIRST]
    np.testing.assert_array_equal(after.timestep.step_type, kinds + [MID] * 4)
    np.testing.assert_allclose(info.metrics["uncertainty"], 4.0)


def test_models_without_spread_are_refused():
    with pytest.raises(ValueError, match="learner: tells no spread"):
        mopo(inside(), counting()._replace(spread=None), starts=2, depth=1, real=1)


def test_the_spread_is_that_of_what_a_member_draws():
    learner = ensemble(Box((1,), -1.0, 1.0), optimisers.adam(1e-3), sizes=(8,), members=2, sampled=True)
    first = jax.tree.map(lambda x: x[0], sample().steps.timestep)
    state = learner.init(keys.key(0), first)
    state, _ = learner.update(state, keys.key(1), sample().steps)
    params, rows = learner.params(state), 4000
    # Rows of one kind: every other one is the second member's.
    seen, action = jnp.full((rows, 1), 2.0), jnp.full((rows, 1), 0.5)
    draw = jax.jit(lambda key: learner.model.step(params, key, seen, action)[1])
    said = draw(keys.key(2))
    assert learner.spread is not None
    spread = learner.spread(params, seen[:1], action[:1])
    assert spread.shape == (2, 1, 2)
    for member in range(2):
        drawn = jnp.stack([said.observation[member::2, 0], said.reward[member::2]])
        np.testing.assert_allclose(np.std(drawn, axis=1), spread[member, 0], rtol=0.07, atol=1e-5)


def test_combo_s_penalty_is_a_difference():
    """The same constant on all values changes nothing, whatever the share of imagined windows."""
    space = Box((1,))
    features = networks.Torso(with_action(space, Box((1,), -1.0, 1.0)), (8,), cnn=None)
    critic = networks.ensemble(networks.q_network(features, networks.Value()), 2)
    policy = networks.q_network(networks.Torso(space, (), cnn=None), networks.TanhGaussianPolicy(1))
    steps = sample().steps
    first = jax.tree.map(lambda x: x[0], steps.timestep)
    params = critic.init(keys.key(0), with_action(first.observation, steps.action[0]))
    actor = policy.init(keys.key(1), first.observation)
    shifted = jax.tree_util.tree_map_with_path(
        lambda path, x: x + 3.0 if x.shape == (2, 1) and "bias" in jax.tree_util.keystr(path) else x, params
    )
    for imagined in (2, 6):
        gap = penalties.imagined_over_real(critic, imagined, 4)

        def total(params: Any, gap: Any = gap) -> Any:
            return gap(params, lambda t: apply(policy, actor, t), keys.key(2), steps)

        before, after = jax.jit(total)(params), jax.jit(total)(shifted)
        assert before.shape == (2, 1, N)
        assert not np.allclose(before, after)
        np.testing.assert_allclose(before.mean(), after.mean(), rtol=1e-4, atol=1e-4)
