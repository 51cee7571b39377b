"""Imitation by an adversary: what agents are paid, what judges learn, absorbing states, and rewards handed on."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents import airl, gail, losses
from agents.base import FIRST, LAST, MID, Agent, Info, Sample, Step, TimeStep
from agents.common import adversarial, optimisers
from agents.common.moments import fresh_moments
from agents.common.moves import absorbed, coded, moves, paid
from envs import keys
from envs.base import Box, Discrete, Spec
from experiments import airl as airl_command
from experiments import gail as gail_command

SPEC = Spec("line", Box((2,)), Box((1,), -2.0, 2.0))
INNER = Agent(
    init=lambda key, timestep: jnp.zeros((3, 4)),
    actor=lambda state: (),
    begin=lambda batch: (),
    act=lambda actor, key, carry, timestep, explore: (jnp.zeros((timestep.reward.shape[0], 1)), carry, {}),
    update=lambda state, key, sample: (sample.steps.timestep.reward, Info({})),
)
"""Its state is the rewards that it saw last."""


def window(seed=0, rows=3, lanes=4, kinds=MID):
    rng = np.random.default_rng(seed)
    timestep = TimeStep(
        step_type=jnp.full((rows, lanes), kinds, jnp.int8),
        reward=jnp.full((rows, lanes), 100.0),
        discount=jnp.ones((rows, lanes)),
        observation=jnp.asarray(rng.normal(size=(rows, lanes, 2)), jnp.float32),
    )
    return Step(timestep, jnp.asarray(rng.normal(size=(rows, lanes, 1)), jnp.float32))


def moments():
    return fresh_moments(jnp.zeros(2))


def expert(key):
    """Single transitions around (3, 3) with the action 1."""
    like = window(1, 2, 16)
    timestep = like.timestep._replace(observation=like.timestep.observation * 0.1 + 3.0)
    return Step(timestep, jnp.ones_like(like.action))


def imitator(judge=None, density=None, **settings):
    contest = adversarial.Contest(**{"batch_size": 16, **settings})
    return adversarial.imitating(
        INNER, judge or gail.judge((8,)), optimisers.adam(1e-2), expert, SPEC, contest, density
    )


def test_transitions_are_vectors():
    steps = window()
    kinds = steps.timestep.step_type.at[1, 0].set(LAST).at[2, 0].set(FIRST)
    steps = steps._replace(timestep=steps.timestep._replace(step_type=kinds, discount=jnp.ones((3, 4)).at[1, 0].set(0)))
    found, inside, ended = moves(SPEC, steps, moments(), lambda observation, action: action[..., 0])
    assert found.observation.shape == (8, 3) and found.action.shape == (8, 1)
    np.testing.assert_array_equal(inside.reshape(2, 4)[:, 0], [True, False])
    np.testing.assert_array_equal(ended.reshape(2, 4)[:, 0], [True, False])
    np.testing.assert_allclose(found.after[0, :2], steps.timestep.observation[1, 0], rtol=1e-3)
    np.testing.assert_allclose(found.log_prob, steps.action[:-1].reshape(-1))
    there = absorbed(found)
    np.testing.assert_array_equal(there.observation, [[0, 0, 1]])


def test_actions_are_in_units_of_the_bounds_and_clipped_to_them():
    np.testing.assert_allclose(coded(SPEC, jnp.array([[[1.0], [-5.0]]])), [[[0.5], [-1.0]]])
    np.testing.assert_allclose(coded(Spec("two", Box((2,)), Discrete(2)), jnp.array([1, 0])), [[0, 1], [1, 0]])


def test_the_agent_is_paid_by_the_judge_alone_and_not_between_episodes():
    judge = gail.judge((8,))
    agent = imitator(judge)
    steps = window()
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    opened = steps._replace(timestep=steps.timestep._replace(step_type=steps.timestep.step_type.at[1, 0].set(FIRST)))
    after, info = agent.update(state, keys.key(1), Sample(opened))
    found, *_ = moves(SPEC, opened, state.moments)
    expected = losses.adversarial_reward(judge.logits(state.judge, found)).reshape(2, 4).at[0, 0].set(0.0)
    np.testing.assert_allclose(after.inner[1:], expected, rtol=1e-5)
    assert not after.inner[0].any() and {"imitation_reward", "discriminator_loss", "expert_accuracy"} <= set(
        info.metrics
    )


def test_an_end_pays_for_ever_after_with_absorbing_states():
    found, inside, _ = moves(SPEC, window(), moments())
    ended = jnp.zeros(8, bool).at[2].set(True)
    pays = lambda m: jnp.where(m.observation[:, -1] > 0, 3.0, 1.0)  # noqa: E731
    each = paid(pays, found, inside, ended, 0.9)
    np.testing.assert_allclose(each, np.where(np.arange(8) == 2, 1 + 9 * 3.0, 1.0), rtol=1e-5)
    np.testing.assert_allclose(paid(pays, found, inside, ended, None), np.ones(8))


@pytest.mark.parametrize("settings", [{}, {"penalty": 10.0}, {"absorbing": 0.9}])
def test_a_judge_learns_to_tell_them_apart(settings):
    agent = imitator(updates=100, **settings)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], window().timestep))
    state, info = jax.jit(agent.update)(state, keys.key(1), Sample(window()))
    state, info = jax.jit(agent.update)(state, keys.key(2), Sample(window()))
    assert info.metrics["expert_accuracy"] > 0.8 and info.metrics["learner_accuracy"] > 0.8
    judge = gail.judge((8,))
    score = [jnp.mean(judge.logits(state.judge, moves(SPEC, s, state.moments)[0])) for s in (expert(None), window())]
    assert score[0] > score[1] + 0.5


def test_a_frozen_judge_stays_as_it_was():
    agent = imitator(updates=0)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], window().timestep))
    after, _ = agent.update(state, keys.key(1), Sample(window()))
    jax.tree.map(np.testing.assert_array_equal, after.judge, state.judge)


def test_airl_asks_the_policy_that_acted_and_hands_on_the_reward_of_states():
    judge = airl.judge((), discount=0.5)
    asked = lambda actor, observation, action: action[..., 0]  # noqa: E731
    agent = imitator(judge, asked, updates=0)
    steps = window()
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
    after, _ = agent.update(state, keys.key(1), Sample(steps))
    found, *_ = moves(SPEC, steps, state.moments, lambda observation, action: action[..., 0])
    weights = [np.asarray(state.judge[part]["params"]["Dense_0"]["kernel"])[:, 0] for part in ("reward", "potential")]
    g = np.asarray(found.observation) @ weights[0]
    f = g + 0.5 * np.asarray(found.after) @ weights[1] - np.asarray(found.observation) @ weights[1]
    np.testing.assert_allclose(after.inner[1:].reshape(-1), f - np.asarray(found.log_prob), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(judge.lasting(state.judge, found), g, rtol=1e-4, atol=1e-6)
    actor = agent.actor(state)
    heir = adversarial.rewarded(INNER, lambda: (lambda m: judge.lasting(actor.judge, m), actor.moments), SPEC)
    learned, _ = heir.update(jnp.zeros((3, 4)), keys.key(0), Sample(steps))
    np.testing.assert_allclose(learned[1:].reshape(-1), g, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        (gail_command, ["--agent.expert", "nobody"], "--agent.expert nobody: is no file; allowed: analytic, optimal"),
        (gail_command, ["--env", "bellmax/four-rooms"], "--agent.expert analytic: bellmax/four-rooms has no analytic"),
        (gail_command, ["--agent.normalise-rewards"], "--agent.normalise-rewards: is by the task's reward"),
        (gail_command, ["--agent.absorbing", "--agent.discount", "1"], "--agent.discount 1.0: must be below 1"),
        (gail_command, ["--agent.learner", "sac", "--agent.n-step", "3"], "--agent.n-step 3: single transitions"),
        (gail_command, ["--agent.expert", "soft"], "--agent.expert soft: --env bellmax/pendulum: a table needs"),
        (airl_command, ["--agent.expert", "soft", "--agent.memory", "gru"], "--agent.memory gru: densities are"),
        (airl_command, ["--agent.reward", "nowhere"], "--agent.reward: nowhere"),
    ],
)
def test_what_cannot_be_imitated_is_refused(command, words, told, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([*words, "--out", str(tmp_path / "run")])
    assert told in capsys.readouterr().err


@pytest.mark.slow
def test_a_learned_reward_is_handed_to_a_run_whose_actions_are_exchanged(tmp_path):
    """The optimum is some 37; without the reward the exchanged grid scores below 5."""
    first = airl_command.experiment.train(preset="grid", steps=80_000, out=str(tmp_path / "reward"), eval_episodes=200)
    handed = {"reward": str(first.folder)}
    heir = airl_command.experiment.train(preset="grid-transfer", agent=handed, out=str(tmp_path / "heir"), seed=1)
    assert first.summary["eval_returns_best"][0] > 30 and heir.summary["eval_returns_best"][0] > 30
    wrong = {"env": "bellmax/pendulum", "steps": 2048, "num_envs": 4, "out": str(tmp_path / "other")}
    with pytest.raises(ValueError, match="is of bellmax/grid, which has other observations or actions"):
        airl_command.experiment.train(agent=handed, **wrong)
