"""Option-critic: transitions by hand on tables, both losses against numpy, who learns what, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common.options import followed
from agents.option_critic import option_critic
from agents.option_tables import State, option_tables
from envs import keys
from envs.base import Box
from experiments import option_critic as command

OPTIONS, ACTIONS, STATES = 2, 3, 4


def timesteps(observation, reward, discount, kinds=(FIRST, MID, MID, MID)):
    column = lambda x, kind: jnp.asarray(x, kind)[:, None]  # noqa: E731
    return TimeStep(
        column(kinds[: len(reward)], jnp.int8),
        column(reward, jnp.float32),
        column(discount, jnp.float32),
        column(observation, jnp.int32),
    )


def test_a_transition_on_tables_by_hand():
    agent = option_tables(STATES, ACTIONS, OPTIONS, discount=0.9, temperature=0.5, deliberation=0.1, baseline=True)
    rng = np.random.default_rng(0)
    shapes = ((STATES, OPTIONS), (STATES, OPTIONS, ACTIONS), (STATES, OPTIONS, ACTIONS), (STATES, OPTIONS))
    q, action_q, theta, stop = (rng.normal(size=shape) for shape in shapes)
    state = State(*(jnp.asarray(x, jnp.float32) for x in (q, action_q, theta, stop)))
    extras = {"option": jnp.ones((2, 1), jnp.int32)}
    rows = Step(timesteps([2, 3], [0.0, 1.0], [1.0, 1.0]), jnp.zeros((2, 1), jnp.int32), extras)
    learned, info = agent.update(state, keys.key(0), Sample(rows))
    end = 1 / (1 + np.exp(-stop[3, 1]))
    target = 1 + 0.9 * ((1 - end) * q[3, 1] + end * q[3].max())
    values, of_action = q[2, 1] + 0.5 * (target - q[2, 1]), action_q[2, 1, 0] + 0.5 * (target - action_q[2, 1, 0])
    pi = np.exp(theta[2, 1] / 0.5) / np.exp(theta[2, 1] / 0.5).sum()
    close = lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-5)  # noqa: E731
    close(learned.q[2, 1], values)
    close(learned.action_q[2, 1, 0], of_action)
    close(learned.policy[2, 1], theta[2, 1] + 0.25 * (of_action - values) * (np.eye(3)[0] - pi))
    close(learned.stop[3, 1], stop[3, 1] - 0.25 * end * (1 - end) * (q[3, 1] - q[3].max() + 0.1))
    close(info.metrics["td_error"], abs(target - q[2, 1]))
    # Nothing else changes; what ends the episode is worth its reward and teaches no end; a row that opens one nothing.
    assert [int(np.sum(a != b)) for a, b in zip(learned, state, strict=True)] == [1, 1, 3, 1]
    last = rows._replace(timestep=timesteps([2, 3], [0.0, 1.0], [1.0, 0.0], (FIRST, LAST)))
    after = agent.update(state, keys.key(0), Sample(last))[0]
    close(after.q[2, 1], (q[2, 1] + 1) / 2)
    np.testing.assert_array_equal(after.stop, state.stop)
    opened = rows._replace(timestep=timesteps([2, 3], [0.0, 1.0], [1.0, 1.0], (LAST, FIRST)))
    jax.tree.map(np.testing.assert_array_equal, agent.update(state, keys.key(0), Sample(opened))[0], state)


def test_an_option_is_followed_until_it_ends():
    stop = jnp.tile(jnp.array([[0.0, 1.0]]), (3, 1))
    before, first, chosen = jnp.array([0, 1, 0]), jnp.array([False, False, True]), jnp.array([1, 0, 1])
    option, stops = followed(keys.key(0), before, first, stop, chosen)
    assert option.tolist() == [0, 0, 1] and stops.tolist() == [False, True, True]
    many = jnp.zeros(4000, jnp.int32)
    _, ended = followed(keys.key(1), many, many > 0, jnp.full((4000, 2), 0.3), many + 1)
    assert abs(float(ended.mean()) - 0.3) < 0.03
    _, likely = followed(keys.key(1), many, many > 0, jnp.full((4000, 2), 0.3), many + 1, explore=False)
    assert not likely.any()


def tables():
    """A network whose parameters are its outputs."""

    def init(key, observation):
        del observation
        shapes = ((STATES, OPTIONS), (STATES, OPTIONS), (STATES, OPTIONS, ACTIONS))
        return networks.Options(*(jax.random.normal(jax.random.fold_in(key, i), s) for i, s in enumerate(shapes)))

    def apply(params, key, carry, observation, first):
        del key, first
        return jax.tree.map(lambda x: x[observation], params), carry

    return networks.Network(init, apply, lambda batch: ())


STEPS = timesteps([0, 1, 2, 3], [0.0, 1.0, 0.5, -1.0], [1.0, 1.0, 1.0, 1.0])
TAKEN = {
    "option": jnp.array([[0], [1], [1], [0]]),
    "stops": jnp.array([[True], [True], [False], [True]]),
    "log_prob": jnp.zeros((4, 1)),
}
ROWS = Step(STEPS, jnp.array([[2], [0], [1], [0]]), TAKEN)
SETTINGS = {"discount": 0.9, "entropy_cost": 0.1, "deliberation": 0.2, "margin": 0.05, "epsilon": 0.25}


def expected_gradient(params, target, form):
    """In float64, by the equations of the module's head: of q, stop and logits."""
    q, stop, logits = (np.asarray(x, np.float64) for x in params)
    after = np.asarray(target.q, np.float64)
    dq, dstop, dlogits = np.zeros_like(q), np.zeros_like(stop), np.zeros_like(logits)
    option, action, reward = [0, 1, 1], [2, 0, 1], [1.0, 0.5, -1.0]
    drawn, returns = [1.0, 0.0, 1.0], None
    for t in (2, 1, 0):
        w, x = option[t], t + 1
        beta = 1 / (1 + np.exp(-stop[x, w]))
        end = beta if form == "dqn" else drawn[t]
        v = after[x].max() if form == "dqn" else 0.75 * after[x].max() + 0.25 * after[x].mean()
        worth = (1 - end) * after[x, w] + end * v
        bootstrap = worth if returns is None or form == "dqn" else returns
        returns = reward[t] - 0.2 * end + 0.9 * bootstrap
        advantage = returns - q[t, w]
        dq[t, w] -= 0.5 * (np.clip(advantage, -1, 1) if form == "dqn" else advantage) / 3
        dstop[x, w] += beta * (1 - beta) * (after[x, w] - v + 0.25) / 3
        pi = np.exp(logits[t, w]) / np.exp(logits[t, w]).sum()
        entropy = -(pi * np.log(pi)).sum()
        dlogits[t, w] += (-advantage * (np.eye(3)[action[t]] - pi) + 0.1 * pi * (np.log(pi) + entropy)) / 3
    return dq, dstop, dlogits


@pytest.mark.parametrize("form", ["a2oc", "dqn"])
def test_both_forms_descend_on_the_loss_that_is_written(form):
    more = {"lambda_": 0.0, "expected": True, "target_period": 2, "error_clip": 1.0} if form == "dqn" else {}
    agent = option_critic(tables(), optax.sgd(1.0), **SETTINGS, **more)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS))
    if form == "dqn":
        state = state._replace(target=state.target._replace(q=state.target.q[::-1] * 2))
    learned, info = jax.jit(agent.update)(state, keys.key(1), Sample(ROWS))
    gradients = expected_gradient(state.params, state.target or state.params, form)
    for before, after, gradient in zip(state.params, learned.params, gradients, strict=True):
        np.testing.assert_allclose(before - after, gradient, rtol=2e-4, atol=1e-5)
    np.testing.assert_allclose(info.metrics["option_length"], 1.5, rtol=1e-6)  # two ends in three arrivals
    if form == "dqn":
        jax.tree.map(np.testing.assert_array_equal, learned.target, state.target)
        again, _ = jax.jit(agent.update)(learned, keys.key(1), Sample(ROWS))
        jax.tree.map(np.testing.assert_array_equal, again.target, again.params)


def test_what_ends_an_episode_teaches_no_end_and_costs_nothing():
    agent = option_critic(tables(), optax.sgd(1.0), **SETTINGS)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS))
    steps = timesteps([0, 1], [0.0, 1.0], [1.0, 0.0], (FIRST, LAST))
    rows = Step(steps, ROWS.action[:2], jax.tree.map(lambda x: x[:2], TAKEN))
    learned, _ = jax.jit(agent.update)(state, keys.key(1), Sample(rows))
    np.testing.assert_array_equal(learned.params.stop, state.params.stop)
    moved = 0.5 * (1.0 - state.params.q[0, 0])
    np.testing.assert_allclose(learned.params.q[0, 0] - state.params.q[0, 0], moved, rtol=1e-5)


def test_windows_of_the_past_teach_values_alone():
    agent = option_critic(tables(), optax.sgd(1.0), replayed=1, lambda_=0.0, expected=True, target_period=10)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], STEPS))
    past = Step(STEPS._replace(observation=STEPS.observation[::-1]), ROWS.action, ROWS.extras)
    both = jax.tree.map(lambda a, b: jnp.concatenate([a, b], axis=1), ROWS, past)
    learned, _ = jax.jit(agent.update)(state, keys.key(1), Sample(both))
    alone = option_critic(tables(), optax.sgd(1.0), lambda_=0.0, expected=True, target_period=10)
    fresh, _ = jax.jit(alone.update)(state, keys.key(1), Sample(ROWS))
    for name in ("stop", "logits"):
        np.testing.assert_allclose(getattr(learned.params, name), getattr(fresh.params, name), rtol=1e-5, atol=1e-6)
    assert np.abs(learned.params.q - fresh.params.q).max() > 1e-2


@pytest.mark.parametrize("apart", [True, False])
def test_features_learn_from_values_alone_where_heads_are_apart(apart):
    heads = networks.OptionHeads(OPTIONS, ACTIONS, apart)
    features = jax.random.normal(keys.key(0), (5, 8))
    params = heads.init(keys.key(1), features)
    names = ("q", "stop", "logits")
    through = {
        name: jax.grad(lambda x, name=name: jnp.sum(jnp.square(getattr(heads.apply(params, x), name))))(features)
        for name in names
    }
    assert [bool(np.any(through[name])) for name in names] == [True, not apart, not apart]


def test_a_memory_is_kept_beside_the_option():
    core = networks.q_network(networks.Torso(Box((2,)), (4,)), networks.OptionHeads(OPTIONS, ACTIONS), networks.GRU(4))
    agent = option_critic(core, optax.sgd(0.1))
    timestep = STEPS._replace(observation=jnp.ones((4, 1, 2)))
    timestep = jax.tree.map(lambda x: x[0], timestep)
    state, carry = agent.init(keys.key(0), timestep), agent.begin(1)
    _, after, extras = agent.act(agent.actor(state), keys.key(1), carry, timestep, True)
    assert extras["stops"].all() and jax.tree.leaves(agent.stored(after))
    assert any(np.any(a != b) for a, b in zip(*map(jax.tree.leaves, (after.memory, carry.memory)), strict=True))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "bellmax/pendulum"], "--env bellmax/pendulum: option-critic needs discrete actions"),
        (["--agent.replayed", "4"], "--agent.replayed 4: of use only with --agent.form dqn"),
        (["--agent.no-shared"], "--agent.no-shared: the heads of options share one torso"),
        (["--agent.options", "0"], "--agent.options 0"),
    ],
)
def test_bad_flags(words, told, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([*words, "--out", str(tmp_path / "run")])
    assert told in capsys.readouterr().err


def test_there_is_at_least_one_option():
    with pytest.raises(ValueError, match="options is 0; at least 1 is needed"):
        option_tables(STATES, ACTIONS, 0)
