"""Rewards from within: when a bonus is paid and what is learned from, and what each module finds new."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, LAST, MID, Agent, Info, Sample, Step, TimeStep
from agents.common import bonuses, optimisers
from agents.common.curiosity import Module, curious, paying
from envs import keys
from envs.base import Box, Discrete, Spec
from experiments import curiosity as command
from experiments.studies import noise_grid

SPEC = Spec("cells", Discrete(6), Discrete(2))
INNER = Agent(
    init=lambda key, timestep: jnp.float32(0),
    actor=lambda state: (),
    begin=lambda batch: (),
    act=lambda actor, key, carry, timestep, explore: (timestep.observation % 2, carry, {}),
    update=lambda state, key, sample: (jnp.sum(sample.steps.timestep.reward[1:]), Info({})),
)
"""Its state is the sum of the rewards it saw last."""


def row(observation: list[int], kind: int = MID, reward: float = 0.0) -> TimeStep:
    """One row of as many lanes."""
    like = jnp.zeros(len(observation))
    return TimeStep((like + kind).astype(jnp.int8), like + reward, like + 1, jnp.array(observation))


def constant(value: float) -> Module:
    """Pays always the same."""
    return Module(
        init=lambda key, timestep: (),
        actor=lambda state: (),
        begin=lambda batch: (),
        bonus=lambda actor, memory, x_tm1, a_tm1, timestep: (jnp.full(timestep.reward.shape, value), memory),
        update=lambda state, key, steps: (state, {}),
    )


def test_bonuses_are_paid_for_transitions_and_stored_in_place_of_the_reward():
    agent = curious(INNER, constant(2.0), SPEC, coefficient=0.5, discount=0.9, normalise=False)
    storage = paying(replay.on_policy(3), extrinsic=10.0)
    rows = [row([1], FIRST), row([2], MID, 1.0), row([3], LAST), row([0], FIRST)]
    state, carry, stored = agent.init(keys.key(0), rows[0]), agent.begin(1), []
    for timestep in rows:
        action, carry, extras = agent.act(agent.actor(state), keys.key(1), carry, timestep, True)
        stored.append(Step(timestep, action, extras))
    steps = jax.tree.map(lambda *x: jnp.stack(x), *stored)
    np.testing.assert_allclose(steps.extras["bonus"][:, 0], [0, 1, 1, 0])
    # The discounted sum does not end with the episode.
    np.testing.assert_allclose(steps.extras["bonus_sum"][:, 0], [0, 2, 3.8, 3.42], rtol=1e-6)
    held = storage.add(storage.init(stored[0]), steps)
    sample = storage.sample(held, keys.key(2))
    np.testing.assert_allclose(sample.steps.timestep.reward[:, 0], [0, 11, 1, 0])
    state, info = agent.update(state, keys.key(3), sample)
    assert float(state.inner) == 12 and set(info.metrics) == {"bonus"}


def test_the_task_s_rewards_are_clipped_and_bonuses_are_not():
    timestep = row([1], MID, -5.0)
    step = Step(timestep, jnp.zeros(1), {"bonus": jnp.full(1, 3.0)})
    storage = paying(replay.on_policy(1), extrinsic=2.0, clip=1.0)
    held = storage.add(storage.init(step), jax.tree.map(lambda x: jnp.stack([x, x]), step))
    np.testing.assert_allclose(storage.sample(held, keys.key(0)).steps.timestep.reward, [[1.0], [1.0]])


def test_whole_numbers_of_a_box_are_whitened_and_those_to_be_one_hot_are_not():
    """What is far from all that was seen looks alike, since it is clipped; another cell does not."""
    space = {"count": Box((1,), 0, 1000, np.int32), "cell": Discrete(6)}
    module = bonuses.distillation(Spec("both", space, Discrete(2)), optimisers.adam(1e-3), hidden=(8,), features=4)

    def seen(counts, cells):
        observation = {"count": jnp.array(counts)[:, None], "cell": jnp.array(cells)}
        return row([0] * len(counts))._replace(observation=observation)

    first = seen([0, 1000], [1, 5])
    state = module.init(keys.key(0), first)
    steps = Step(jax.tree.map(lambda x: jnp.stack([x, x]), first), jnp.zeros((2, 2)))
    state, _ = module.update(state, keys.key(0), steps)
    paid, _ = module.bonus(module.actor(state), (), None, None, seen([10**6, 10**7, 10**7], [1, 1, 2]))
    assert paid[0] == paid[1] != paid[2]


def test_bonuses_are_divided_by_the_deviation_of_their_sums():
    agent = curious(INNER, constant(3.0), SPEC, discount=0.0)
    state = agent.init(keys.key(0), row([0, 0]))
    sums = jnp.array([[0.0, 0.0], [1.0, 5.0]])  # deviation 2
    steps = Step(jax.tree.map(lambda x: jnp.stack([x, x]), row([0, 0])), jnp.zeros((2, 2)))
    extras = {"bonus": sums, "bonus_sum": sums}
    state, _ = agent.update(state, keys.key(0), Sample(steps._replace(extras=extras)))
    _, _, extras = agent.act(agent.actor(state), keys.key(1), agent.begin(2), row([1, 1]), True)
    np.testing.assert_allclose(extras["bonus"], [1.5, 1.5], rtol=1e-5)


def test_greedy_evaluation_pays_nothing_and_counts_nothing():
    agent = curious(INNER, bonuses.counts(SPEC), SPEC)
    carry = agent.begin(1)
    _, after, extras = agent.act(agent.actor(agent.init(keys.key(0), row([1]))), keys.key(1), carry, row([1]), False)
    assert extras == {} and not np.any(after.module)


def test_visits_of_all_lanes_count():
    module = bonuses.counts(SPEC)
    memory, found = module.begin(2), []
    for cells in ([1, 2], [2, 2], [1, 3]):
        bonus, memory = module.bonus((), memory, None, None, row(cells))
        found.append(np.asarray(bonus))
    np.testing.assert_allclose(found, [[1, 1], [3**-0.5, 3**-0.5], [2**-0.5, 1]], rtol=1e-6)


def test_boxes_are_hashed_alike_and_apart():
    module = bonuses.counts(Spec("vectors", Box((3,)), Discrete(2)), cells=1024)
    seen = row([0, 0, 0])._replace(observation=jnp.array([[1.0, 2.0, -1.0], [1.0, 2.0, -1.0], [-1.0, -2.0, 1.0]]))
    bonus, memory = module.bonus((), module.begin(3), None, None, seen)
    np.testing.assert_allclose(bonus, [2**-0.5, 2**-0.5, 1], rtol=1e-6)
    assert memory.shape == (3, 1024)


def test_distillation_pays_less_the_more_often_a_state_was_seen():
    module = bonuses.distillation(SPEC, optimisers.adam(1e-3), hidden=(32,), features=16, whiten=False)
    state = module.init(keys.key(0), row([0] * 8))
    seen = row([0, 1, 2, 0, 1, 2, 0, 1])
    steps = Step(jax.tree.map(lambda x: jnp.stack([x, x]), seen), jnp.zeros((2, 8), jnp.int32))
    update = jax.jit(module.update)
    found = []
    for _ in range(5):
        found.append(np.asarray(module.bonus(module.actor(state), (), None, None, row(list(range(6))))[0]))
        for _ in range(40):
            state, _ = update(state, keys.key(0), steps)
    known = np.array(found)[:, :3].mean(1)
    assert (np.diff(known) < 0).all() and found[-1][3:].mean() >= 5 * known[-1], found


@pytest.mark.parametrize("through", [True, False])
def test_whether_the_forward_loss_trains_the_features(through):
    module = bonuses.dynamics(SPEC, optimisers.adam(1e-2), hidden=(8,), features=4, beta=1.0, through=through)
    state = module.init(keys.key(0), row([0, 1]))
    steps = Step(jax.tree.map(lambda a, b: jnp.stack([a, b]), row([0, 1]), row([2, 3])), jnp.zeros((2, 2), jnp.int32))
    after, metrics = module.update(state, keys.key(0), steps)
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(*(jax.tree.leaves(s.params["encoder"]) for s in (state, after)), strict=True)
    ]
    told = {"bonus_loss", "inverse_loss", "bonus_gradient_norm", "bonus_learning_rate"}
    assert any(moved) == through and set(metrics) == told


def test_distillation_whitens_what_it_is_shown():
    """Of two numbers, one a thousand times the other, both are seen; windows and single rows alike."""
    spec = Spec("vectors", Box((2,)), Discrete(2))
    module = bonuses.distillation(spec, optimisers.adam(1e-3), hidden=(8,), features=4)
    rng = np.random.default_rng(0)
    seen = row([0] * 64)._replace(observation=jnp.asarray(rng.normal(size=(64, 2)) * [1.0, 1000.0], jnp.float32))
    state = module.init(keys.key(0), seen)
    steps = Step(jax.tree.map(lambda x: jnp.stack([x, x]), seen), jnp.zeros((2, 64), jnp.int32))
    state, _ = module.update(state, keys.key(0), steps)
    np.testing.assert_allclose(np.sqrt(state.moments.m2 / state.moments.rows), [1, 1000], rtol=0.3)
    small, large = (seen._replace(observation=seen.observation * jnp.array([x])) for x in ([2.0, 1.0], [1.0, 2.0]))
    known, *others = (module.bonus(module.actor(state), (), None, None, x)[0].mean() for x in (seen, small, large))
    assert all(1.1 * known < other < 10 * known for other in others)


def test_rows_that_open_an_episode_teach_nothing():
    module = bonuses.dynamics(SPEC, optimisers.adam(1e-2), hidden=(8,), features=4)
    state = module.init(keys.key(0), row([0, 1]))
    opened = jax.tree.map(lambda a, b: jnp.stack([a, b]), row([0, 1], LAST), row([2, 3], FIRST))
    after, metrics = module.update(state, keys.key(0), Step(opened, jnp.zeros((2, 2), jnp.int32)))
    assert float(metrics["bonus_loss"]) == 0
    jax.tree.map(np.testing.assert_array_equal, state.params, after.params)


def test_learned_features_tell_what_is_new_from_noise():
    """After a third of the updates of the claim, whose gate is 5."""
    assert (noise_grid.ratio([0], updates=1000) >= 2.5).all()
    assert (noise_grid.ratio([0], kind="raw", updates=1000) <= 1.2).all()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--agent.bonus", "icm", "--agent.n-step", "3"], "--agent.n-step 3: --agent.bonus icm learns what one action"),
        (["--agent.bonus-hidden"], "--agent.bonus-hidden (empty)"),
        (["--agent.coefficient", "-1"], "--agent.coefficient -1"),
        (["--env", "bellmax/pendulum"], "needs discrete actions"),
    ],
)
def test_what_does_not_go_together_is_refused(words, told, tmp_path, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main([*words, "--out", str(tmp_path / "run")])
    assert stop.value.code == 2 and told in capsys.readouterr().err
