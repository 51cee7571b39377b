"""Cross-domain perceptual rewards: what towers learn, what pays, what the agent within sees, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents import cdpr
from agents.base import Agent, Info, Sample, Step, TimeStep
from agents.common import optimisers
from envs import keys
from envs.base import Box
from envs.tasks.bit_flip import bit_flip
from envs.tasks.sign_grid import sign_grid
from experiments import cdpr as command
from experiments.run.plans import Size

ENV = sign_grid(4, noise=0.0)
SPEC = ENV.spec._replace(name="bellmax/sign-grid")
SIZE = Size(1, 1, 1000)


def towers(features=3):
    return cdpr.Towers(
        *(networks.Tower(ENV.spec.observation[name], features, (64,)) for name in ("observation", "sign"))
    )


def shown(key, number=1000):
    """Examples from fresh episodes."""
    told = jax.vmap(ENV.reset)(jax.random.split(key, number))[1].observation
    return cdpr.Examples(told["observation"], told["achieved_goal"], told["sign"], told["desired_goal"])


@pytest.mark.parametrize("labels", ["graded", "same"])
def test_towers_learn_what_labels_say(labels):
    learning = cdpr.Learning(800, 64, labels, 1.0)

    def learn(key):
        k_shown, k_learn, k_test = jax.random.split(key, 3)
        params, _ = cdpr.learned(towers(), shown(k_shown), optimisers.adam(3e-3), learning, k_learn)
        test = shown(k_test)
        return cdpr.distances(towers(), params, test.state, test.sign), test

    distance, test = jax.jit(learn)(keys.key(0))
    true = np.linalg.norm(test.achieved - test.desired, axis=-1)
    if labels == "graded":
        assert np.corrcoef(distance, true)[0, 1] > 0.8
    else:
        assert np.mean(distance[true == 0]) < 0.5 * np.mean(distance[true > 0])


def test_the_loss_compares_all_states_with_all_goals_and_halves_count_alike():
    batch = shown(keys.key(1), 6)
    net = towers()
    params = net.state.init(keys.key(2), batch.state), net.goal.init(keys.key(3), batch.sign)
    f, g = np.asarray(net.state.apply(params[0], batch.state)), np.asarray(net.goal.apply(params[1], batch.sign))
    distance = np.linalg.norm(f[:, None] - g[None], axis=-1)
    true = np.linalg.norm(np.asarray(batch.achieved)[:, None] - np.asarray(batch.desired)[None], axis=-1)
    graded = cdpr.tower_loss(net, params, batch, cdpr.Learning())
    np.testing.assert_allclose(graded, np.mean(0.5 * (distance - true) ** 2), rtol=1e-4)
    same = true == 0
    assert same.any()
    pushed = np.mean(0.5 * np.maximum(2.0 - distance, 0)[~same] ** 2)
    expected = 0.5 * (np.mean(0.5 * distance[same] ** 2) + pushed)
    found = cdpr.tower_loss(net, params, batch, cdpr.Learning(labels="same", margin=2.0))
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_the_agent_within_sees_two_entries_and_is_paid_by_the_towers_alone():
    seen = []

    def look(timestep):
        seen.append(timestep)
        return timestep.reward

    spy = Agent(
        lambda key, timestep: look(timestep)[0],
        lambda state: state,
        lambda batch: (),
        lambda actor, key, carry, timestep, explore: (look(timestep), carry, {}),
        lambda state, key, sample: (state, Info({"reward": look(sample.steps.timestep)})),
    )
    agent = cdpr.perceptual(spy, towers(), optimisers.adam(1e-3), shown, cdpr.Learning(2, 8), form="likeness")
    _, timestep = jax.vmap(ENV.reset)(keys.split(keys.key(0), 4))
    state = agent.init(keys.key(1), timestep)
    true = timestep._replace(reward=jnp.full(4, 7.0), step_type=jnp.ones(4, jnp.int8))
    reward, _, _ = agent.act(agent.actor(state), keys.key(2), (), true, False)
    told = timestep.observation
    distance = cdpr.distances(towers(), state.towers, told["observation"], told["sign"])
    np.testing.assert_allclose(reward, np.exp(-distance), rtol=1e-5)
    rows = jax.tree.map(lambda first, x: jnp.stack([first, x, x]), timestep, true)
    _, info = agent.update(state, keys.key(3), Sample(Step(rows, jnp.zeros((3, 4), jnp.int32), {})))
    np.testing.assert_allclose(info.metrics["reward"][0], 0.0)
    np.testing.assert_allclose(info.metrics["reward"][1:], [reward, reward], rtol=1e-5)
    np.testing.assert_allclose(info.metrics["perceptual_reward"], np.mean(reward), rtol=1e-5)
    assert (
        all(set(x.observation) == {"observation", "sign"} for x in seen if isinstance(x, TimeStep)) and len(seen) == 3
    )


def test_examples_are_of_goals_that_are_seen_whatever_the_run_is_on():
    held = sign_grid(goals="held").spec._replace(name="bellmax/sign-grid")
    found = jax.jit(lambda key: command.examples(command.Config(examples=300), held, key))
    told = found(keys.key(0))
    assert told.state.shape == (300, 6, 6) and told.sign.shape == (300, 7, 10)
    assert ((2 * told.desired[:, 0] + told.desired[:, 1]) % 5 != 0).all()
    assert len(np.unique(np.asarray(told.achieved), axis=0)) > 30


def test_bad_input_is_refused():
    spec = sign_grid().spec._replace(name="bellmax/sign-grid")

    def refused(match, spec=spec, **flags):
        with pytest.raises(ValueError, match=match):
            command.check(command.Config(**flags), spec, SIZE)

    command.check(command.Config(), spec, SIZE)
    refused("--agent.sign word: bellmax/sign-grid has these entries beside states and goals: sign", sign="word")
    refused("--env-options: examples are of bellmax/sign-grid without them", SPEC)
    refused(r"--agent.tower-hidden \(empty\): must be one layer or more", tower_hidden=())
    refused("--agent.inner n-step=3: the towers pay for single steps; must be 1", inner=("n-step=3",))
    refused("--agent.inner memory=none: dqn has no such flag", inner=("memory=none",))
    plain = spec._replace(name="bellmax/catch", goals=None, observation=Box((3,)))
    refused("--env bellmax/catch: needs a task with goals, such as bellmax/sign-grid", plain)
    flips = bit_flip(4).spec._replace(name="bellmax/bit-flip")
    refused("--agent.sign sign: bellmax/bit-flip has these entries beside states and goals: none", flips)
