"""I2A and its models. Each fault that public versions of I2A have is looked for by a test of its own."""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.base import LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.i2a import i2a, imagination
from agents.world import frames, models
from envs import keys
from envs.tasks import minipacman, sokoban
from networks.base import Network

LANES, ACTIONS, DEPTH = 3, 4, 5


def uniform_policy(actions=ACTIONS):
    """π̂ that has nothing to learn."""

    def apply(params, key, carry, observation, first):
        return networks.Categorical(jnp.zeros((*first.shape, actions))), carry

    return Network(lambda key, observation: (), apply, lambda batch: ())


def counting():
    """A task that writes down all it is told: (lane, actions as digits); the reward is the action."""

    def transition(key, state, action):
        return jnp.stack([state[0], 10 * state[1] + action + 1]), action.astype(jnp.float32), jnp.bool_(False)

    return models.simulator(lambda observation: observation, transition, lambda state: state)


def imagined(model, observation, params=(), policy=None, actions=ACTIONS, depth=DEPTH):
    imagine = imagination(model, params, policy or uniform_policy(actions), actions, depth)
    return imagine((), keys.key(1), observation)


def test_every_action_of_every_lane_is_followed_in_its_place():
    """No lane is paired with another's action, and the depth is as asked."""
    start = jnp.stack([jnp.arange(LANES) + 1.0, jnp.zeros(LANES)], -1)
    found = imagined(counting(), start)
    assert found["frames"].shape == (LANES, ACTIONS, DEPTH, 2) and found["rewards"].shape == (LANES, ACTIONS, DEPTH)
    lane, action = np.mgrid[:LANES, :ACTIONS]
    np.testing.assert_array_equal(found["frames"][:, :, 0, 0], lane + 1)
    np.testing.assert_array_equal(found["frames"][:, :, 0, 1], action + 1)
    np.testing.assert_array_equal(found["rewards"][:, :, 0], action)
    np.testing.assert_array_equal(
        found["frames"][..., 0], np.broadcast_to(lane[..., None] + 1, (LANES, ACTIONS, DEPTH))
    )
    digits = np.asarray(found["frames"][..., 1], int)
    for t in range(DEPTH - 1):  # each frame comes of the one before it and a further action
        np.testing.assert_array_equal(digits[..., t + 1] // 10, digits[..., t])
        np.testing.assert_array_equal(digits[..., t + 1] % 10 - 1, found["rewards"][..., t + 1])
    assert len(np.unique(digits[..., -1] % 1000)) > ACTIONS, "later actions are drawn, each for itself"


def test_first_frames_equal_the_environments():
    env = sokoban.sokoban(6, 2, num_levels=20)
    model = models.simulator(sokoban.restore, sokoban.transition, sokoban.symbols)
    state, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), LANES))
    step, see = jax.jit(jax.vmap(env.step)), jax.jit(lambda observation: imagined(model, observation))
    for _ in range(3):
        found = see(timestep.observation)
        for action in range(ACTIONS):
            _, after = step(state, jnp.full(LANES, action))
            np.testing.assert_array_equal(found["frames"][:, action, 0], after.observation)
            np.testing.assert_allclose(found["rewards"][:, action, 0], after.reward, atol=1e-6)
        state, timestep = step(state, jnp.array([0, 3, 1]))


def test_first_actions_are_so_many_for_each_observation():
    with pytest.raises(ValueError, match="3 first actions for 2 observations"):
        models.rollout(counting(), (), keys.key(0), jnp.zeros((2, 2)), lambda key, x: x, jnp.zeros(3, jnp.int32), 1)


def test_nothing_is_paid_after_an_end():
    model = models.simulator(sokoban.restore, sokoban.transition, sokoban.symbols)
    level = jnp.array([[[1, 1, 1, 1, 1], [1, 5, 3, 2, 1], [1, 1, 1, 1, 1]]])
    plan = jnp.array([[3], [2], [2]], jnp.int32)
    begun = jax.nn.one_hot(level, sokoban.KINDS)
    state, said = model.step((), keys.key(0), model.start(begun), plan[0])
    assert said.discount == 0 and abs(said.reward - 10.9) < 1e-5
    _, later = model.step((), keys.key(0), state, plan[1])
    np.testing.assert_array_equal(later.observation, said.observation)
    assert later.reward == 0 and later.discount == 0
    np.testing.assert_allclose(models.returns(model, (), keys.key(0), begun, plan, 0.5), 10.9, rtol=1e-6)


def torso(features=8, memory=6, hidden=7):
    free, encoder = (networks.MLP((features,)) for _ in range(2))
    return networks.ImaginationTorso(free, encoder, memory, hidden)


def rollouts(key=0):
    rng = np.random.default_rng(key)
    frames = jnp.asarray(rng.normal(size=(LANES, ACTIONS, DEPTH, 2)), jnp.float32)
    rewards = jnp.asarray(rng.normal(size=(LANES, ACTIONS, DEPTH)), jnp.float32)
    return {"observation": frames[:, 0, 0], "frames": frames, "rewards": rewards}


def codes(given, module=None):
    module = module or torso()
    params = module.init(keys.key(0), rollouts())["params"]
    _, seen = module.apply(
        {"params": params}, given, mutable=["intermediates"], capture_intermediates=lambda _, name: name == "codes"
    )
    (code,) = seen["intermediates"]["codes"]
    return params, code


def test_codes_of_lanes_and_actions_do_not_mix():
    given = rollouts()
    _, before = codes(given)
    assert before.shape == (LANES, ACTIONS * 6)
    for lane, action in ((0, 0), (1, 2), (2, 3)):
        frames = given["frames"].at[lane, action, 2].add(1.0)
        _, after = codes({**given, "frames": frames})
        changed = np.asarray(jnp.any((before != after).reshape(LANES, ACTIONS, 6), -1))
        assert changed.sum() == 1 and changed[lane, action]


def test_rollouts_are_read_from_their_end():
    given, module = rollouts(), torso()
    params, code = codes(given, module)
    core, flat = networks.LSTM(6), given["frames"].reshape(-1, 2)
    each = module.encoder.apply({"params": params["encoder"]}, flat).reshape(LANES, ACTIONS, DEPTH, -1)
    rows = np.concatenate([each, given["rewards"][..., None]], -1)
    carry = core.begin(1)
    for t in reversed(range(DEPTH)):
        row = jnp.asarray(rows[1, 2, t])[None, None]
        carry, out = core.apply({"params": params["LSTM_0"]}, carry, row, jnp.zeros((1, 1), bool))
    np.testing.assert_allclose(code[1, 12:18], out[0, 0], atol=1e-6)


def linear():
    """A model with a parameter that all it says depends on, smoothly."""

    def step(params, key, state, action):
        state = params * state + action[:, None]
        return state, models.Imagined(state, jnp.sum(state, -1), jnp.ones(len(state)))

    return models.Model(lambda observation: observation, step)


def test_no_gradient_reaches_the_model():
    def total(params):
        found = imagined(linear(), jnp.ones((LANES, 2)), params)
        return jnp.sum(found["frames"]) + jnp.sum(found["rewards"])

    assert total(jnp.float32(2.0)) != total(jnp.float32(1.0))
    assert jax.grad(total)(jnp.float32(2.0)) == 0


def agent_of(learning_rate=1e-2, rollout_rate=1e-2, cost=0.1, depth=2, model=None):
    network = networks.actor_critic(torso(), networks.CategoricalPolicy(ACTIONS), networks.Value())
    student = networks.q_network(networks.MLP((8,)), networks.CategoricalPolicy(ACTIONS))
    return i2a(
        network, optimisers.chain(optax.sgd(learning_rate)), model or linear(), jnp.float32(0.9), student,
        optimisers.chain(optax.sgd(rollout_rate)), actions=ACTIONS, depth=depth, distillation_cost=cost,
    )  # fmt: skip


@cache
def experience():
    """An agent's rows, with extras as it acted."""
    agent, lanes, rng = agent_of(), 4, np.random.default_rng(0)
    observations = jnp.asarray(rng.normal(size=(6, lanes, 2)), jnp.float32)
    kind = jnp.array([MID, MID, LAST, 0, MID, MID], jnp.int8)[:, None] + jnp.zeros((1, lanes), jnp.int8)
    timestep = TimeStep(kind, jnp.asarray(rng.normal(size=(6, lanes)), jnp.float32), jnp.ones((6, lanes)), observations)
    row = lambda t: jax.tree.map(lambda x: x[t], timestep)  # noqa: E731
    state = agent.init(keys.key(0), row(0))
    # A policy that is sure of itself, so that there is something to distil.
    state = state._replace(params=jax.tree.map(lambda x: 3 * x, state.params))
    rows, act = [], jax.jit(lambda actor, key, timestep: agent.act(actor, key, (), timestep, True))
    for t in range(6):
        action, _, extras = act(agent.actor(state), keys.key(t), row(t))
        rows.append(Step(row(t), action, extras))
    return state, jax.tree.map(lambda *x: jnp.stack(x), *rows)


def distance(a, b):
    return sum(float(jnp.abs(x - y).sum()) for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True))


def test_distillation_pulls_the_rollout_policy_to_the_policy():
    """With the wrong sign, or the step of the wrong optimiser, the divergence would grow or stay."""
    state, steps = experience()
    update = jax.jit(agent_of(learning_rate=0.0, rollout_rate=1.0, cost=1.0).update)
    first = None
    for _ in range(60):
        after, info = update(state, keys.key(0), Sample(steps))
        first = info.metrics["rollout_kl"] if first is None else first
        assert distance(after.params, state.params) == 0, "the policy does not follow the student"
        state = after
    assert info.metrics["rollout_kl"] < 0.2 * first


def test_the_policys_loss_does_not_move_the_rollout_policy():
    state, steps = experience()
    after, _ = jax.jit(agent_of(cost=0.0).update)(state, keys.key(0), Sample(steps))
    assert distance(after.rollout, state.rollout) == 0 < distance(after.params, state.params)


def test_what_was_imagined_when_acting_is_learned_from():
    """The rollouts that an action was chosen by are those its gradient goes through; no others are made."""
    state, steps = experience()
    update = jax.jit(agent_of().update)
    other = {**steps.extras, "imagined": jax.tree.map(lambda x: x + 1, steps.extras["imagined"])}
    after, _ = update(state, keys.key(0), Sample(steps))
    again, _ = update(state, keys.key(7), Sample(steps))
    changed, _ = update(state, keys.key(0), Sample(steps._replace(extras=other)))
    assert distance(after.params, again.params) == 0 < distance(after.params, changed.params)


@pytest.mark.slow
def test_a_deeper_model_without_its_rewards_and_a_corrupted_one():
    start = jnp.stack([jnp.arange(LANES) + 1.0, jnp.zeros(LANES)], -1)
    quiet = imagined(models.silent(counting()), start)
    assert (quiet["rewards"] == 0).all() and (np.asarray(quiet["frames"][:, :, 0, 1]) == np.arange(4) + 1).all()
    still = imagined(models.copy(), start, depth=2)
    np.testing.assert_array_equal(still["frames"], np.broadcast_to(start[:, None, None], (LANES, ACTIONS, 2, 2)))
    exact = models.simulator(sokoban.restore, sokoban.transition, sokoban.symbols)
    board = jax.vmap(sokoban.sokoban(7, 1, num_levels=9).reset)(jax.random.split(keys.key(0), 64))[1].observation
    poor = imagined(models.corrupted(exact, 0.3), board, depth=2)["frames"]
    good = imagined(exact, board, depth=2)["frames"]
    wrong = jnp.any(poor != good, -1).mean((0, 1, 3, 4))
    assert abs(wrong[0] - 0.3 * 6 / 7) < 0.02 < wrong[1] - wrong[0]
    np.testing.assert_array_equal(poor.sum(-1), 1)


def test_coders():
    kinds = jnp.arange(24).reshape(2, 3, 4) % 7
    for coder in (frames.one_hot(7), frames.palette(minipacman.PALETTE)):
        np.testing.assert_array_equal(coder.encode(coder.decode(kinds)), kinds)
    assert len(np.unique(minipacman.PALETTE, axis=0)) == frames.palette(minipacman.PALETTE).kinds == 26


def sokoban_rows(env, steps=4, lanes=16):
    """Random play, `Step[steps + 1, lanes]`."""
    state, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), lanes))
    actions = jax.random.randint(keys.key(1), (steps + 1, lanes), 0, env.spec.action.num)

    def body(carry, action):
        state, timestep = carry
        return jax.vmap(env.step)(state, action), Step(timestep, action)

    return jax.lax.scan(body, (state, timestep), actions)[1]


def predictor(kinds, actions, kernel=5):
    return networks.FramePredictor(kinds, actions, len(frames.ATOMS), 16, ((8, 8, 16),), kernel, 16, 16)


@pytest.mark.slow
def test_the_frame_model_learns_sokoban():
    env = sokoban.sokoban(5, 1, num_levels=10)
    coder = frames.one_hot(sokoban.KINDS)
    learner = frames.frame_model(predictor(sokoban.KINDS, 4, 3), coder, optimisers.adam(5e-3), reward_cost=1.0)
    rows = sokoban_rows(env)
    state = learner.init(keys.key(0), jax.tree.map(lambda x: x[0], rows.timestep))

    def many(state, _):
        return learner.update(state, keys.key(0), rows)

    state, metrics = jax.jit(lambda s: jax.lax.scan(many, s, None, length=400))(state)
    assert metrics["frames_right"][0] < 0.2 and metrics["frames_right"][-1] > 0.95
    found = jax.jit(frames.measured(learner))(learner.params(state), rows)
    assert found["pixels_right"] > 0.995 and found["frames_right"] > 0.95 and found["rewards_right"] > 0.9
    # It serves wherever a model does, with its parameters.
    begun = rows.timestep.observation[0, :LANES]
    seen = imagined(learner.model, begun, learner.params(state))
    exact = models.simulator(sokoban.restore, sokoban.transition, sokoban.symbols)
    truth = imagined(exact, begun)
    assert seen["frames"].shape == truth["frames"].shape
    assert (seen["frames"][:, :, 0] == truth["frames"][:, :, 0]).mean() > 0.99


def test_the_frame_model_of_another_size():
    env = minipacman.minipacman("hunt")
    coder = frames.palette(minipacman.PALETTE)
    learner = frames.frame_model(predictor(coder.kinds, 5, 9), coder, optimisers.adam(1e-3))
    timestep = jax.eval_shape(jax.vmap(env.reset), jax.random.split(keys.key(0), 2))[1]
    state = jax.eval_shape(learner.init, keys.key(0), timestep)
    action = jax.ShapeDtypeStruct((2,), jnp.int32)
    begun = jax.eval_shape(learner.model.start, timestep.observation)
    _, said = jax.eval_shape(learner.model.step, state.params, keys.key(0), begun, action)
    assert said.observation.shape == (2, 15, 19, 3) and said.observation.dtype == jnp.uint8
