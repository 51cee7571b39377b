"""The Decision Transformer: what it is shown when it acts and when it learns, and that it does what it is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
import replay
from agents.base import FIRST, LAST, MID, TimeStep
from agents.common import optimisers
from agents.dt import dt
from envs import keys
from envs.base import Box, Discrete, Spec
from envs.tasks.key_to_door import key_to_door, key_to_door_trajectories
from networks.base import Network
from replay.made import load, rows
from replay.recorded import Lent
from tests.envs.contract import check_environment
from tests.envs.test_cross import steps

CONTEXT = 4
SPEC = Spec("line", Box((1,)), Discrete(3))


def recording(shown):
    """A network that prefers action 2, and hands on what it is shown."""

    def apply(params, key, carry, observation, first):
        del params, key, first
        shown.append(observation)
        logits = jnp.zeros((*observation["to_go"].shape, 3)).at[..., 2].set(1.0)
        return networks.Categorical(logits), carry

    return Network(lambda key, observation: {"w": jnp.zeros(1)}, apply, lambda batch: ())


def seen(kind, reward, place):
    return TimeStep(jnp.array([kind], jnp.int8), jnp.array([reward]), jnp.ones(1), jnp.array([[place]]))


def test_the_return_that_is_asked_for_falls_by_what_was_obtained_and_starts_anew():
    shown = []
    agent = dt(recording(shown), optimisers.adam(1e-3), SPEC, context=CONTEXT, target=5.0, scale=10.0)
    carry, actor = agent.begin(1), agent.actor(agent.init(keys.key(0), seen(FIRST, 0.0, 0.0)))
    for kind, reward, place in ((FIRST, 0.0, 1.0), (MID, 2.0, 2.0), (MID, -1.0, 3.0)):
        action, carry, _ = agent.act(actor, keys.key(1), carry, seen(kind, reward, place), False)
        assert action.tolist() == [2]
    last = {name: np.asarray(x)[:, 0].squeeze() for name, x in shown[-1].items()}
    np.testing.assert_allclose(last["to_go"][1:], [0.5, 0.3, 0.4])
    np.testing.assert_array_equal(last["mask"], [False, True, True, True])
    np.testing.assert_array_equal(last["time"][1:], [0, 1, 2])
    np.testing.assert_allclose(last["observation"][1:], [1, 2, 3])
    np.testing.assert_array_equal(last["action"][1:], [2, 2, 0])  # the last one is not known yet
    agent.act(actor, keys.key(1), carry, seen(FIRST, 0.0, 7.0), False)
    last = {name: np.asarray(x)[:, 0].squeeze() for name, x in shown[-1].items()}
    np.testing.assert_array_equal(last["mask"], [False, False, False, True])
    assert last["to_go"][-1] == 0.5 and last["time"][-1] == 0


def small(actions=3, width=32):
    module = networks.DecisionTransformer(
        networks.Torso(Box((6,)), (), cnn=None), networks.CategoricalPolicy(actions), actions,
        networks.Transformer(1, 2), width, 20,
    )  # fmt: skip
    return networks.decision(module)


def test_an_action_is_read_from_what_came_before_it():
    network = small()
    rng = np.random.default_rng(0)
    shown = {
        "to_go": rng.normal(size=(CONTEXT, 2)).astype(np.float32),
        "observation": rng.normal(size=(CONTEXT, 2, 6)).astype(np.float32),
        "action": rng.integers(3, size=(CONTEXT, 2)),
        "time": np.tile(np.arange(CONTEXT)[:, None], (1, 2)),
        "mask": np.ones((CONTEXT, 2), bool),
    }
    params = network.init(keys.key(0), {name: jnp.asarray(x[0]) for name, x in shown.items()})
    params = jax.tree.map(lambda x: x + 0.3 * jax.random.normal(jax.random.key(x.size), x.shape), params)
    apply = jax.jit(lambda shown: network.apply(params, None, (), shown, shown["mask"])[0].logits)
    before = apply(shown)
    for name, first in (("action", 2), ("observation", 1), ("to_go", 1)):
        other = shown[name].copy()
        other[1] = (other[1] + 1) % 3 if name == "action" else other[1] + 1
        moved = np.abs(apply(shown | {name: other}) - before).max((1, 2)) > 1e-5
        np.testing.assert_array_equal(moved, np.arange(CONTEXT) >= first)


def test_it_does_what_it_is_asked_for():
    """Without a corridor: two choices, each right once in four, from 1,000 random episodes."""
    env = key_to_door(0)
    episodes = [rows(each) for each in key_to_door_trajectories(1_000, 0)]
    data = Lent((), jax.tree.map(jnp.asarray, replay.arrays(replay.dataset.joined(episodes))))
    memory, network = replay.contexts(64, 2), small(4)
    agents = [dt(network, optimisers.adam(3e-3), env.spec, context=2, target=aim) for aim in (1.0, 0.0)]

    def learn(state, key):
        k_sample, k_update = jax.random.split(key)
        state, info = agents[0].update(state, k_update, memory.sample(data, k_sample))
        return state, info.metrics["loss"]

    def success(agent, actor):
        def step(carry, key):
            state, timestep, memory, paid = carry
            action, memory, _ = agent.act(actor, key, memory, timestep, True)
            state, timestep = jax.vmap(env.step)(state, action)
            return (state, timestep, memory, paid + timestep.reward), ()

        opening = jax.vmap(env.reset)(jax.random.split(keys.key(5), 200))
        carry = (*opening, agent.begin(200), jnp.zeros(200))
        return jax.lax.scan(step, carry, jax.random.split(keys.key(6), 2))[0][3].mean()

    def run(key):
        first = jax.tree.map(lambda x: x[None], env.reset(key)[1])
        state, loss = jax.lax.scan(learn, agents[0].init(key, first), jax.random.split(key, 400))
        actor = agents[0].actor(state)
        return success(agents[0], actor), success(agents[1], actor._replace(target=jnp.float32(0))), loss

    asked, not_asked, loss = jax.jit(run)(keys.key(0))
    assert asked > 0.7 and not_asked < 0.2 and np.isfinite(loss).all()


def test_key_to_door():
    env = key_to_door(3)
    check_environment(env, steps=40)
    found = key_to_door_trajectories(400)
    assert 0.03 < np.mean([each.reward.sum() for each in found]) < 0.1
    assert load("made/key-to-door").episodes == 2_000
    # Signs are drawn by the task itself, so that its answers are judged by those that it shows.
    state, first = env.reset(jax.random.key(3))
    signs = np.asarray(state.inner.signs)
    for box, handle, pays in ((0, 0, 1.0), (1, 0, 0.0), (0, 1, 0.0)):
        actions = jnp.array([(signs[0] + box) % 4, 0, 0, 0, (signs[4] + handle) % 4])
        done = steps(env, actions, state.inner)
        assert done.reward.tolist() == [0, 0, 0, 0, pays] and done.step_type[-1] == LAST
    assert first.observation.tolist()[4:] == [1, 0] and done.observation[3].tolist()[4:] == [0, 1]
    with pytest.raises(ValueError, match="corridor is -1"):
        key_to_door(-1)
