"""Inverse reinforcement learning on tables: plans, exact gradients, what is recovered, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from agents.apprenticeship import Mixture, apprenticeship, expectations, mixed, policy, project
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.maxent_irl import Deep, Learned, Settings, Table, ascend, maxent_irl, recovered
from agents.world import tables
from envs import keys
from envs.tasks import grid
from experiments import maxent_irl as command
from experiments.studies import inverse

MODEL, PAYS = inverse.random_task(keys.key(0), 5)
REWARD = np.asarray(inverse.spread(PAYS))


def soft_values(transition, reward, discount, horizon, causal=True):
    """The reference: probabilities of actions for each step, in float64, `[horizon, S, A]`."""
    value, policies = np.zeros(len(reward)), []
    for _ in range(horizon):
        follows = transition @ value if causal else np.log(transition @ np.exp(value))
        q = reward + discount * follows
        value = np.log(np.exp(q).sum(1))
        policies.append(np.exp(q - value[:, None]))
    return policies[::-1]


@pytest.mark.parametrize("causal", [True, False])
def test_a_plan_over_a_horizon_is_that_of_numpy(causal):
    transition, reward = np.asarray(MODEL.transition, np.float64), REWARD.astype(np.float64)
    policies = soft_values(transition, reward, 0.9, 6, causal)
    there, occupancy = np.asarray(MODEL.initial, np.float64), np.zeros_like(reward)
    for t, probabilities in enumerate(policies):
        occupancy += 0.9**t * there[:, None] * probabilities
        there = np.einsum("s,sa,sat->t", there, probabilities, transition)
    found = tables.soft_plan(MODEL, jnp.asarray(REWARD), discount=0.9, horizon=6, causal=causal)
    np.testing.assert_allclose(found.policy, policies[0], rtol=1e-4)
    np.testing.assert_allclose(found.occupancy, occupancy / (0.9 ** np.arange(6)).sum(), rtol=1e-4)


def test_a_plan_that_goes_on_is_that_of_a_long_horizon():
    long = tables.soft_plan(MODEL, jnp.asarray(REWARD), discount=0.9, horizon=200)
    on = tables.soft_plan(MODEL, jnp.asarray(REWARD), discount=0.9)
    np.testing.assert_allclose(on.policy, long.policy, atol=1e-4)
    np.testing.assert_allclose(on.occupancy, long.occupancy, atol=1e-4)
    np.testing.assert_allclose(jnp.sum(on.occupancy), 1.0, rtol=1e-4)


def test_where_nothing_is_left_to_chance_both_models_are_one():
    model, pays = inverse.board(3)
    plans = [
        tables.soft_plan(model, inverse.spread(pays), discount=1.0, horizon=5, causal=causal)
        for causal in (True, False)
    ]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), *plans)


def test_an_end_is_worth_nothing():
    """Of two states, one of whose actions ends the episode: the other pays 1 for ever."""
    transition = jnp.zeros((2, 2, 2)).at[0, 1, 0].set(1.0).at[1, :, 1].set(1.0)
    model = tables.Model(transition, jnp.array([1.0, 0.0]))
    value = jnp.array([3.0, 10.0])
    expected = [[1.0, 1.0 + 0.5 * 3.0], [1.0 + 5.0, 1.0 + 5.0]]
    for causal in (True, False):
        np.testing.assert_allclose(tables.backup(model, jnp.ones((2, 2)), value, 0.5, causal), expected, rtol=1e-5)


def test_the_gradient_is_that_of_the_likelihood():
    """Central differences of the discounted log-likelihood of an expert's exact occupancy, over three steps."""
    transition, initial = (np.asarray(x, np.float64) for x in MODEL)
    settings = Settings(0.9, 3)
    expert = tables.soft_plan(MODEL, jnp.asarray(REWARD), **settings._asdict())
    each, there = [], initial
    for probabilities in soft_values(transition, REWARD.astype(np.float64), 0.9, 3):
        each.append(there[:, None] * probabilities)
        there = np.einsum("s,sa,sat->t", there, probabilities, transition)

    def loss(reward):
        policies = soft_values(transition, np.repeat(reward, 4, axis=1), 0.9, 3)
        weighted = [0.9**t * (d * np.log(p)).sum() for t, (d, p) in enumerate(zip(each, policies, strict=True))]
        return -sum(weighted) / (0.9 ** np.arange(3)).sum()

    at = np.linspace(-1.0, 1.0, 5)[:, None]
    slope = [(loss(at + 1e-5 * e) - loss(at - 1e-5 * e)) / 2e-5 for e in np.eye(5)[:, :, None]]
    optimiser, params = optimisers.chain(optax.sgd(1.0)), jnp.asarray(at, jnp.float32)
    start = Learned(params, optimiser.init(params))
    after, metrics = ascend(Table(5, 4), optimiser, start, MODEL, expert.occupancy, settings)
    np.testing.assert_allclose((start.params - after.params)[:, 0], slope, atol=1e-5)
    assert {"loss", "occupancy_error", "gradient_norm"} <= set(metrics)


def test_what_is_seen_is_counted():
    rows = TimeStep(
        step_type=jnp.array([[FIRST, MID, LAST, FIRST]], jnp.int8).T,
        reward=jnp.zeros((4, 1)),
        discount=jnp.array([[1.0, 1.0, 0.0, 1.0]]).T,
        observation=jnp.array([[0, 1, 2, 1]]).T,
    )
    steps = Step(rows, jnp.array([[1, 0, 1, 1]]).T)
    counts = tables.counted(tables.unseen(3, 2), steps)
    assert float(jnp.sum(counts.transition)) == 2  # the third leads into a new episode
    model = tables.estimated(counts)
    np.testing.assert_allclose(model.transition[0], [[1, 0, 0], [0, 1, 0]])  # what was not tried stays
    np.testing.assert_allclose(model.transition[1, 0], [0, 0, 0])  # it ended
    np.testing.assert_allclose(model.initial, [0.5, 0.5, 0])
    shown = tables.shown(steps, 3, 2, 0.5)
    np.testing.assert_allclose(shown.occupancy, np.array([[0, 1], [0.5, 0], [0, 0]]) / 1.5)
    np.testing.assert_allclose(shown.initial, [1, 0, 0])


def test_rules_are_drawn_and_shown_as_they_are():
    rules = grid.grid(3, slip=0.4).spec.rules
    model, pays = jax.jit(lambda key: tables.drawn(rules, 9, 4, key))(keys.key(0))
    np.testing.assert_allclose(model.transition, grid.transitions(3, 0.4), atol=0.06)
    np.testing.assert_allclose(pays, grid.transitions(3, 0.4)[..., -1], atol=0.06)
    best = tables.plan(model, pays, discount=0.9)
    show = jax.jit(lambda key: tables.demonstrated(rules, model.initial, best.policy, key, 64, 10))
    steps = show(keys.key(1))
    assert steps.action.shape == (11, 64) and (steps.timestep.step_type[0] == FIRST).all()
    assert (best.policy[steps.timestep.observation, steps.action] == 1).all()


def test_an_even_mixture_is_as_often_in_each_state_as_its_policies():
    one, other = (jax.nn.one_hot(jnp.full(5, a), 4) for a in (0, 1))
    each = [tables.occupancy(MODEL, p, 0.9) for p in (one, other)]
    mixture = 0.5 * (each[0] + each[1])
    np.testing.assert_allclose(tables.occupancy(MODEL, policy(mixture), 0.9), mixture, rtol=1e-4)


@jax.jit
def found():
    """The reward of states that explains an exact expert on the task of five states, and its correlation."""
    settings = Settings(0.9, 6)
    expert = tables.soft_plan(MODEL, jnp.asarray(REWARD), **settings._asdict())
    params, metrics = recovered(Table(5, 4), optimisers.adam(0.1), MODEL, expert.occupancy, settings, 300, keys.key(0))
    return jnp.corrcoef(params[:, 0], PAYS[:, 0])[0, 1], metrics["occupancy_error"]


def test_a_reward_is_recovered_from_an_exact_expert():
    correlation, error = found()
    assert correlation >= 0.999 and error[-1] <= 1e-3 < 0.03 < error[0]


@jax.jit
def distances():
    """Of the mixture to the expert after each of 12 projections on the 3 x 3 grid, and with random weights."""
    model, _ = inverse.board(3)
    pays, features = inverse.spread(jax.random.normal(keys.key(0), (9, 1))), jnp.eye(9)
    aim = expectations(tables.plan(model, pays, discount=0.9, sweeps=50).occupancy, features, 0.9)
    start = Mixture(tables.occupancy(model, jnp.full((9, 4), 0.25), 0.9), jnp.zeros(9))
    task = (model, features, aim, 0.9, 50)

    def wandering(mixture, key):
        return mixed(mixture, jax.random.normal(key, (9,)), *task)

    nearer = jax.lax.scan(lambda mixture, _: project(mixture, *task), start, None, 12)[1]
    return nearer, jax.lax.scan(wandering, start, jax.random.split(keys.key(1), 12))[1]


def test_projections_come_near_the_expert_and_random_weights_do_not():
    nearer, wandering = distances()
    assert nearer[-1] <= 0.05 and (np.diff(nearer) <= 1e-4).all() and wandering[-1] >= 0.3


SHOWN = tables.Shown(tables.soft_plan(MODEL, jnp.asarray(REWARD), discount=0.9).occupancy, MODEL.initial)


@pytest.mark.parametrize("kind", ["table", "deep", "projection"])
def test_agents_never_see_the_reward(kind):
    adam = optimisers.adam(0.05)
    made = {
        "table": lambda: maxent_irl(5, 4, lambda key: SHOWN, Table(5, 4), adam, Settings(horizon=3)),
        "deep": lambda: maxent_irl(5, 4, lambda key: SHOWN, Deep(jnp.eye(5), 4, (8,)), adam, Settings(horizon=3)),
        "projection": lambda: apprenticeship(5, 4, lambda key: SHOWN, jnp.eye(5), sweeps=5),
    }
    agent = made[kind]()
    rng = np.random.default_rng(0)
    states = jnp.asarray(rng.integers(5, size=(9, 2)), jnp.int32)
    rows = TimeStep(jnp.full((9, 2), MID, jnp.int8), jnp.zeros((9, 2)), jnp.ones((9, 2)), states)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], rows))
    steps = Step(rows, jnp.asarray(rng.integers(4, size=(9, 2)), jnp.int32))
    paid = steps._replace(timestep=rows._replace(reward=jnp.ones((9, 2))))
    update = jax.jit(agent.update)
    after, again = (update(state, keys.key(1), Sample(s))[0] for s in (steps, paid))
    jax.tree.map(np.testing.assert_array_equal, after, again)
    for explore in (True, False):
        action, _, _ = agent.act(agent.actor(after), keys.key(2), (), jax.tree.map(lambda x: x[0], rows), explore)
        assert action.dtype == jnp.int32 and action.shape == (2,)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--env", "bellmax/cartpole"], "--env bellmax/cartpole: a table needs numbers as observations"),
        (["--env", "bellmax/dyna-maze"], "--agent.expert optimal: bellmax/dyna-maze has no rules to plan with"),
        (["--agent.discount", "1"], "--agent.discount 1.0: must be below 1"),
    ],
)
def test_what_is_no_table_or_cannot_be_shown_is_refused(words, told, tmp_path, capsys):
    with pytest.raises(SystemExit):
        command.main([*words, "--out", str(tmp_path / "run")])
    assert told in capsys.readouterr().err
