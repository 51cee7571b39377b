"""UNREAL's losses by plain numpy, its wiring, and that the tasks attach to other agents."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
import replay
from agents import losses, unreal
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import auxiliary, optimisers
from agents.ppo import ppo
from envs import keys
from envs.tasks.pixel_catch import pixel_catch
from experiments.drivers import in_graph
from experiments.drivers.contract import Parts, Schedule
from tests.agents.learning import learned
from tests.losses.test_golden import reference_n_step

ENV = pixel_catch(8)
CELL, UNROLL, REPLAYED = 4, 8, 4


def network(core: Any = None, cnn: str | None = None) -> Any:
    encoder, dense = networks.Torso(ENV.spec.observation, (), cnn=cnn), networks.MLP((32,))
    heads = networks.CategoricalPolicy(3), networks.Value(), networks.PixelValues((2, 2), 3)
    return networks.unreal(encoder, dense, *heads, core)


def parts(scales: dict[str, float] = unreal.SCALES, replayed: int = REPLAYED, core: Any = None) -> Parts:
    agent = unreal.unreal(
        network(core), optimisers.adam(3e-3, 1.0), cell=CELL, replayed=replayed, scales=scales, discount=0.95
    )
    storage = replay.fresh_and_replayed(replay.on_policy(UNROLL), replay.uniform(400, REPLAYED, UNROLL))
    return Parts(agent, storage, Schedule(UNROLL, 1, 1))


def test_pixel_control_against_numpy():
    rng = np.random.default_rng(0)
    step_type = np.array([FIRST, MID, LAST, FIRST, MID, MID, LAST, FIRST, MID], np.int8)
    t = len(step_type) - 1
    image, q = rng.uniform(size=(t + 1, 4, 6, 2)), rng.normal(size=(t + 1, 2, 3, 3))
    discount, actions = np.where(np.arange(1, t + 1) == 2, 0.0, 0.9), rng.integers(0, 3, t, np.int32)
    expected = np.zeros(t)
    for i in range(2):
        for j in range(3):
            patch = image[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2]
            reward = np.abs(patch[1:] - patch[:-1]).mean(axis=(1, 2, 3))
            goal = reference_n_step(t)(reward, discount, q[1:, i, j].max(-1), step_type)
            expected += 0.5 * (goal - q[np.arange(t), i, j, actions]) ** 2
    expected[step_type[1:] == FIRST] = 0.0
    f32 = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    actual = losses.pixel_control(f32(image), actions, f32(discount), f32(q), jnp.asarray(step_type), 2)
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-5)


def test_pixel_control_scales_bytes_by_their_bound():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 5, (4, 2, 8, 8, 1), np.uint8)
    heads = {"pixels": jnp.asarray(rng.normal(size=(4, 2, 2, 2, 3)), jnp.float32), "reward": jnp.zeros((4, 2, 3))}
    arrived = TimeStep(jnp.full((4, 2), MID, jnp.int8), jnp.zeros((4, 2)), jnp.ones((4, 2)), image)

    def loss(observation: Any, **options: Any) -> Any:
        steps = Step(arrived._replace(observation=jnp.asarray(observation)), jnp.zeros((4, 2), jnp.int32))
        return unreal.tasks(cell=CELL, **options)((None, jnp.zeros((4, 2)), heads), steps)["pixel_control"]

    np.testing.assert_allclose(loss(image, scale=4.0), loss(np.float32(image) / 4), rtol=1e-5)


def test_reward_prediction_against_numpy():
    logits, reward = np.random.default_rng(1).normal(size=(5, 3)), np.array([0.0, 2.0, -1.0, 0.0, 0.5])
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    expected = -np.log(p[np.arange(5), [0, 1, 2, 0, 1]])
    np.testing.assert_allclose(losses.reward_prediction(jnp.asarray(logits), jnp.asarray(reward)), expected, rtol=1e-5)


def test_half_of_the_mass_of_reward_prediction_is_on_rewards():
    rewarding = jnp.array([[True, False, False, False], [False, False, False, False]])
    mask = jnp.array([[True, True, True, True], [True, False, False, True]])
    weights = np.asarray(unreal.balanced(rewarding, mask))
    assert weights[0, 0] == pytest.approx(3.0, rel=1e-5)
    np.testing.assert_allclose((weights * np.asarray(mask))[~np.asarray(rewarding)].sum(), 3.0, rtol=1e-5)


def test_reward_prediction_sees_three_rows_of_one_episode():
    net = network()
    image = np.random.default_rng(2).integers(0, 255, (6, 1, 8, 8, 1), np.uint8)
    first = jnp.array([[True], [False], [False], [True], [False], [False]])
    params = net.init(keys.key(0), image[0])
    say = jax.jit(lambda image: net.apply(params, keys.key(0), (), image, first)[0][2]["reward"][:, 0])

    def changed_by(row: int) -> list[bool]:
        other = image.copy()
        other[row] = 255 - other[row]
        return list(np.any(say(image) != say(other), axis=-1))

    assert changed_by(0) == [True, True, True, False, False, False]
    assert changed_by(2) == [False, False, True, False, False, False]
    assert changed_by(3) == [False, False, False, True, True, True]


def test_reward_prediction_shapes_the_convolutions_and_not_the_dense_layer_behind_them():
    net = network(cnn="small")
    image, first = np.random.default_rng(4).integers(0, 255, (5, 2, 8, 8, 1), np.uint8), jnp.zeros((5, 2), bool)
    params = net.init(keys.key(0), image[0])

    def loss(params: Any) -> jax.Array:
        return jnp.sum(jnp.square(net.apply(params, None, (), image, first)[0][2]["reward"]))

    gradients = jax.grad(loss)(params)
    moved = {name: any(bool(x.any()) for x in jax.tree.leaves(tree)) for name, tree in gradients.items()}
    assert moved == {"encoder": True, "dense": False, "policy": False, "value": False, "pixels": False} | {
        "Dense_0": True,
        "Dense_1": True,
    }


def test_lanes_of_the_replay_reach_the_tasks_alone_and_fresh_ones_the_agent_alone():
    loop = in_graph.loop(ENV, *parts(), num_envs=4, iterations=1)
    run, _ = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    steps = parts().replay.sample(run.replay, keys.key(1)).steps
    spoil = lambda lanes: steps._replace(  # noqa: E731
        timestep=steps.timestep._replace(reward=steps.timestep.reward.at[:, lanes].add(7.0))
    )
    update = jax.jit(lambda steps: parts().agent.update(run.agent, keys.key(2), Sample(steps))[1].metrics)
    plain, fresh, old = (update(x) for x in (steps, spoil(slice(4)), spoil(slice(4, None))))
    assert plain["loss"] == old["loss"] != fresh["loss"]
    assert plain["value_replay"] != old["value_replay"]


def test_agent_and_tasks_take_one_step_on_the_sum_of_their_losses():
    """With plain descent the step of the whole is the sum of the parts' steps, and scales count as they are."""
    plain = optax.sgd(1.0)
    loop = in_graph.loop(ENV, *parts(), num_envs=4, iterations=1)
    steps = jax.eval_shape(lambda key: parts().replay.sample(loop.init(key).replay, key).steps, keys.key(0))
    fill = lambda x: jax.random.uniform(keys.key(3), x.shape).astype(x.dtype)  # noqa: E731
    steps = jax.tree.map(fill, steps)
    steps = steps._replace(timestep=steps.timestep._replace(step_type=jnp.full(steps.timestep.reward.shape, MID)))

    def moved(**scales: float) -> Any:
        weights = dict.fromkeys(unreal.SCALES, 0.0) | scales
        agent = unreal.unreal(network(), plain, cell=CELL, replayed=REPLAYED, scales=weights, discount=0.95)
        state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep))
        after, _ = agent.update(state, keys.key(2), Sample(steps))
        assert all(not x.any() for x in jax.tree.leaves(after.optimiser.pending))
        return jax.tree.map(jnp.subtract, after.params, state.params)

    alone, once, twice = moved(), moved(value_replay=1.0), moved(value_replay=2.0)
    both = moved(value_replay=1.0, reward_prediction=0.5)
    prediction = moved(reward_prediction=1.0)
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)  # noqa: E731
    jax.tree.map(lambda a, b, c: close(c - a, 2 * (b - a)), alone, once, twice)
    jax.tree.map(lambda a, b, c, d: close(d - a, (b - a) + 0.5 * (c - a)), alone, once, prediction, both)
    assert max(float(jnp.max(jnp.abs(x - y))) for x, y in zip(*map(jax.tree.leaves, (alone, once)), strict=True)) > 1e-3


@pytest.mark.slow
def test_learns_with_all_tasks_and_memory():
    from networks import GRU

    returns = learned(ENV, parts(core=GRU(16)), 2500)
    assert (returns > 0.9).all(), returns


def test_tasks_attach_to_another_agent():
    net = network()
    agent = auxiliary.attached(
        lambda joint: ppo(networks.view(net, lambda output: output[:2]), joint, discount=0.95),
        net, optimisers.adam(3e-3, 1.0), unreal.tasks(cell=CELL), unreal.SCALES,
    )  # fmt: skip
    loop = in_graph.loop(ENV, agent, replay.on_policy(UNROLL), Schedule(UNROLL), num_envs=8, iterations=60)
    run, first = jax.jit(lambda key: loop.step(loop.init(key)))(keys.key(0))
    _, later = jax.jit(loop.step)(run)
    assert later["reward_prediction"] < 0.7 * first["reward_prediction"]
