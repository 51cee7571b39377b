"""SAC-X: the scheduler's returns and table, intentions that learn from each other's play, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import networks
from agents.base import FIRST, LAST, MID, Sample, Step, TimeStep
from agents.common import optimisers
from agents.common.scheduling import Scheduler, Table
from agents.ddpg import Params
from agents.sac_x import sac_x
from envs import keys
from envs.base import Box
from experiments import sac_x as command
from experiments.run import plans, prepare


def row(kind, reward=0.0):
    """A row `[1]` without observation."""
    return TimeStep(jnp.full(1, kind, jnp.int8), jnp.full(1, float(reward)), jnp.ones(1), jnp.zeros((1, 1)))


def test_slots_count_the_return_of_the_task_from_where_they_began():
    scheduler = Scheduler(3, slots=3, period=2, discount=0.5, learned=False)
    slots, found = scheduler.begin(1), []
    kinds = [FIRST, MID, MID, MID, MID, MID, MID, LAST, FIRST]
    for t, kind in enumerate(kinds):
        held, slots = scheduler.step(scheduler.table(), keys.key(t), slots, row(kind, float(t == 3) + 8.0 * (t == 7)))
        found.append(int(held[0]))
        if kind == LAST:
            chosen, returns = slots.chosen[0].tolist(), slots.returns[0]
    assert found[0] == found[1] == chosen[0] and found[2] == found[3] == chosen[1]
    assert found[4] == found[5] == found[6] == chosen[2], "the last slot goes on"
    # A reward of 1 arrives with row 3 and one of 8 with row 7; slots begin at rows 0, 2 and 4.
    expected = [0.5**2 + 8 * 0.5**6, 1 + 8 * 0.5**4, 8 * 0.5**2]
    np.testing.assert_allclose(returns, expected)
    assert slots.chosen[0].tolist() == [found[8], -1, -1] and slots.age[0] == 0


def test_an_episode_that_ends_where_a_slot_would_begin_leaves_that_one_out():
    scheduler = Scheduler(3, slots=3, period=2, learned=False)
    slots = scheduler.begin(1)
    for t, kind in enumerate([FIRST, MID, LAST]):
        _, slots = scheduler.step(scheduler.table(), keys.key(t), slots, row(kind, 1.0))
    assert slots.chosen[0, 0] >= 0 and slots.chosen[0, 1:].tolist() == [-1, -1]


def ended(chosen, returns, last=True, rows=3):
    """A fresh window `[rows + 1, B]` whose second row closes an episode, or none."""
    lanes = len(chosen)
    kind = jnp.full((rows + 1, lanes), MID, jnp.int8)
    kind = kind.at[1 if last else rows].set(LAST)
    blank = jnp.zeros((rows + 1, lanes))
    spread = lambda x: jnp.broadcast_to(jnp.asarray(x)[None], (rows + 1, *np.shape(x)))  # noqa: E731
    extras = {"chosen": spread(chosen), "returns": spread(returns)}
    return Step(TimeStep(kind, blank, blank + 1, blank[..., None]), blank, extras)


def test_the_table_holds_mean_returns_of_slots_after_their_prefixes():
    scheduler = Scheduler(2, slots=2, prefix=1, most=4)
    table = scheduler.learn(scheduler.table(), ended([[0, 1], [0, 1], [1, -1]], [[1.0, 4.0], [3.0, 8.0], [5.0, 9.0]]))
    np.testing.assert_allclose(table.value[0, 0], [2.0, 5.0])
    np.testing.assert_allclose(table.value[1], [[0, 0], [0, 6.0], [0, 0]])  # after 0; nothing was chosen after 1
    np.testing.assert_allclose(table.episodes[1, 1], [0, 2])
    untouched = scheduler.learn(table, ended([[0, 0]], [[7.0, 7.0]], last=False))
    np.testing.assert_array_equal(untouched.value, table.value)  # the last row is the next window's first
    for _ in range(8):
        table = scheduler.learn(table, ended([[0, 1]], [[6.0, 6.0]]))
    assert table.episodes.max() == 4 and 5.5 < table.value[0, 0, 0] < 6.0


def test_sac_q_prefers_what_paid_after_the_same_prefix_and_sac_u_does_not():
    value = jnp.zeros((2, 4, 3)).at[0, 0, 2].set(1.0).at[1, 3, 1].set(1.0)
    shares, wide = [], lambda kind: jax.tree.map(lambda x: jnp.repeat(x, 300, 0), row(kind))
    for learned in (True, False):
        scheduler = Scheduler(3, slots=2, period=1, temperature=0.1, learned=learned)
        table = Table(value, jnp.zeros_like(value))
        first, slots = scheduler.step(table, keys.key(0), scheduler.begin(300), wide(FIRST))
        then, _ = scheduler.step(table, keys.key(1), slots, wide(MID))
        shares.append([float(jnp.mean(first == 2)), float(jnp.mean(then[first == 2] == 1))])
    assert min(shares[0]) > 0.97 and max(shares[1]) < 0.5


SPACE = Box((3,), 0.0, 1.0)


def chain(discrete):
    """An agent with one auxiliary reward on a line of three cells; the task pays left, the other right."""
    chains = Params(optimisers.adam(0.02), optimisers.adam(0.02))
    settings = {"replayed": 12, "discount": 0.5, "target_rate": 0.1, "temperature": 0.02}
    scheduler = Scheduler(2, slots=2, period=2)
    rewards = lambda seen: seen[..., 2:]  # noqa: E731
    if discrete:
        critic = networks.q_network(networks.Torso(SPACE, (), cnn=None), networks.QValues(4))
        critic = networks.view(critic, lambda x: x.reshape(*x.shape[:-1], 2, 2))
        return sac_x(critic, None, chains, scheduler, rewards, **settings)
    joined = {"observation": SPACE, "action": Box((1,), -1.0, 1.0)}
    critic = networks.q_network(networks.Torso(joined, (32,), cnn=None), networks.Values(2))
    policy = networks.q_network(networks.Torso(SPACE, (), cnn=None), networks.TanhGaussianPolicy(2))
    policy = networks.view(policy, lambda p: networks.TanhGaussian(*(x[..., None] for x in p)))
    return sac_x(critic, policy, chains, scheduler, rewards, **settings)


def walks(key, discrete):
    """Windows `[5, 13]` of random walks along the line, whoever's; the first lane is fresh."""
    k_start, k_action = jax.random.split(key)
    go = jax.random.bernoulli(k_action, shape=(5, 13))

    def move(cell, right):
        after = jnp.clip(cell + jnp.where(right, 1, -1), 0, 2)
        return after, after

    start = jax.random.randint(k_start, (13,), 0, 3)
    _, cells = jax.lax.scan(move, start, go[:-1])
    cells = jnp.concatenate([start[None], cells])
    timestep = TimeStep(
        jnp.full((5, 13), MID, jnp.int8), (cells == 0) * 1.0, jnp.ones((5, 13)), jax.nn.one_hot(cells, 3)
    )
    action = go.astype(jnp.int32) if discrete else (2.0 * go - 1.0)[..., None]
    extras = {
        "log_prob": jnp.full((5, 13), -jnp.log(2.0)),
        "chosen": jnp.full((5, 13, 2), -1),
        "returns": jnp.zeros((5, 13, 2)),
    }
    return Sample(Step(timestep, action, extras))


@pytest.mark.parametrize("discrete", [True, False])
def test_every_intention_learns_from_what_no_intention_did(discrete):
    agent = chain(discrete)
    first = jax.tree.map(lambda x: x[0], walks(keys.key(0), discrete).steps.timestep)
    state = agent.init(keys.key(0), first)

    step = lambda state, key: agent.update(state, key, walks(key, discrete))  # noqa: E731
    learn = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(keys.key(1), 800)))
    state, told = learn(state)
    assert 0 < float(told.metrics["trace"][-1]) < 1
    cells = TimeStep(jnp.full(3, FIRST, jnp.int8), jnp.zeros(3), jnp.ones(3), jnp.eye(3))
    actor, middle = agent.actor(state), jnp.arange(3) == 1
    greedy, _, _ = agent.act(actor, keys.key(2), agent.begin(3), cells, False)
    left = greedy == 0 if discrete else greedy[:, 0] < -0.5
    assert bool(left[middle].all()), "greedily the task's own intention acts"
    # An actor whose table wants the auxiliary intention goes to the right.
    wanting = actor._replace(table=actor.table._replace(value=jnp.zeros_like(actor.table.value).at[..., 1].set(9.0)))
    played, carry, extras = agent.act(wanting, keys.key(3), agent.begin(3), cells, True)
    assert carry.chosen[:, 0].tolist() == [1, 1, 1] and extras["log_prob"].shape == (3,)
    right = played == 1 if discrete else played[:, 0] > 0.0
    assert bool(right[middle].all())
    if discrete:  # left pays 1 a step: at γ = ½ staying there is worth 2, as is going there; from the right it is 1
        kernel, bias = jax.tree.leaves(state.critic.params)[::-1]
        values = np.asarray(kernel + bias[None]).reshape(3, 2, 2)[:, 0].max(-1)
        np.testing.assert_allclose(values, [2.0, 2.0, 1.0], atol=0.15)


def test_a_sample_has_fresh_and_replayed_windows():
    agent = chain(True)
    sample = walks(keys.key(0), True)
    state = agent.init(keys.key(0), jax.tree.map(lambda x: x[0], sample.steps.timestep))
    few = sample._replace(steps=jax.tree.map(lambda x: x[:, :12], sample.steps))
    with pytest.raises(ValueError, match="replayed is 12 of 12 windows"):
        jax.eval_shape(agent.update, state, keys.key(0), few)
    _, info = jax.jit(agent.update)(state, keys.key(0), sample)
    assert np.isfinite(info.metrics["loss"])


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ({"env": "bellmax/catch"}, "sac_x needs a task with auxiliary rewards"),
        ({"agent": {"prefix": 8}}, "--agent.prefix 8: must be less than --agent.slots 8"),
        ({"agent": {"prefix": 7}}, "--agent.prefix 7: makes 823543 prefixes"),
    ],
)
def test_refusals(words, told):
    config = command.experiment.configured(**words)
    with pytest.raises(ValueError, match=told):
        command.check(config.agent, prepare.environment(config).spec, plans.Size(8, 1, 100_000))
    alone = command.experiment.configured(env="bellmax/catch", agent={"auxiliaries": False})
    command.check(alone.agent, prepare.environment(alone).spec, plans.Size(8, 1, 100_000))
