"""Rewards from within: when a bonus is paid and what is learned from, and what each module finds new."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.a2c import targets
from agents.base import FIRST, LAST, MID, Agent, Info, Sample, Step, TimeStep
from agents.common import bonuses, optimisers
from agents.common.curiosity import Module, curious, paying, rewarded
from agents.common.streams import Stream
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


@pytest.mark.parametrize(
    "module",
    [
        bonuses.constant(),
        bonuses.counts(SPEC),
        bonuses.pseudo_counts(SPEC),
        bonuses.distillation(SPEC, optimisers.adam(1e-3), hidden=(8,), features=4),
        bonuses.episodic(SPEC, optimisers.adam(1e-3), hidden=(8,), features=4),
    ],
    ids=["constant", "counts", "pseudo_counts", "distillation", "episodic"],
)
def test_lanes_keep_no_row_for_a_bonus_of_the_present_one(module: Module) -> None:
    """The bonus is what it is with the last row at hand."""
    paid = []
    for reads in (False, True):
        agent = curious(INNER, module._replace(pairs=reads), SPEC)
        state, carry = agent.init(keys.key(0), row([1, 2])), agent.begin(2)
        assert len(jax.tree.leaves((carry.observation, carry.action))) == (2 if reads else 0)
        for timestep in (row([1, 2], FIRST), row([2, 3]), row([2, 4])):
            _, carry, extras = agent.act(agent.actor(state), keys.key(1), carry, timestep, True)
            paid.append(np.asarray(extras["bonus"]))
    assert not module.pairs and np.any(paid[1]) and np.array_equal(paid[:3], paid[3:])
    assert bonuses.counts(SPEC, of="pairs").pairs


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


def played(agent, rows):
    """Rows `[T+1, 1]` that an agent acted out on what it was shown, and its state."""
    state, carry, stored = agent.init(keys.key(0), rows[0]), agent.begin(1), []
    for timestep in rows:
        action, carry, extras = agent.act(agent.actor(state), keys.key(1), carry, timestep, True)
        stored.append(Step(timestep, action, extras))
    return state, jax.tree.map(lambda *x: jnp.stack(x), *stored)


def test_an_agent_acts_on_the_rewards_that_it_learns_from():
    """So what reads rewards while it acts, a memory or running statistics, reads the same ones in both."""
    reading = INNER._replace(act=lambda actor, key, carry, timestep, explore: (timestep.reward, carry, {}))
    rows = [row([1], FIRST), row([2], MID, 5.0)]
    agent, storage = rewarded(reading, replay.on_policy(1), constant(2.0), SPEC, coefficient=0.5, clip=1.0, extrinsic=3)
    state, steps = played(agent, rows)
    sample = storage.sample(storage.add(storage.init(jax.tree.map(lambda x: x[0], steps)), steps), keys.key(0))
    np.testing.assert_allclose(sample.steps.timestep.reward[:, 0], [0, 3 * 1 + 0.5 * 2 / np.sqrt(1)], rtol=1e-4)
    np.testing.assert_allclose(steps.action[:, 0], sample.steps.timestep.reward[:, 0])
    greedy, _, _ = agent.act(agent.actor(state), keys.key(1), agent.begin(1), rows[1], False)
    assert greedy == 3


def test_bonuses_apart_leave_the_task_s_rewards_alone():
    shown = INNER._replace(update=lambda state, key, sample: (jnp.sum(sample.steps.extras["bonus"][1:]), Info({})))
    agent = curious(shown, constant(2.0), SPEC, apart=True, normalise=False, coefficient=0.5)
    state, steps = played(agent, [row([1], FIRST), row([2], MID, 5.0), row([3], MID, 1.0)])
    after, _ = agent.update(state, keys.key(0), Sample(steps))
    np.testing.assert_allclose(steps.timestep.reward[:, 0], [0, 5, 1])
    assert float(after.inner) == 2


def test_until_it_has_settled_nobody_learns_and_observations_are_measured():
    spec = Spec("vectors", Box((1,)), Discrete(2))
    module = bonuses.distillation(spec, optimisers.adam(1e-2), hidden=(4,), features=2)
    agent = curious(INNER._replace(act=lambda a, k, c, t, e: (jnp.zeros(1), c, {})), module, spec, settle=3)
    rows = [row([0], MID, 1.0)._replace(observation=jnp.full((1, 1), x)) for x in (1.0, 2.0, 4.0)]
    state, steps = played(agent, rows)
    update = jax.jit(agent.update)
    found = [state := update(state, keys.key(0), Sample(steps))[0] for _ in range(3)]
    predictors = [jax.tree.leaves(each.module.params)[0] for each in found]
    np.testing.assert_array_equal(predictors[0], predictors[1])
    assert not np.array_equal(predictors[1], predictors[2])
    assert [float(each.rows) for each in found] == [2, 4, 6] and [float(each.inner) for each in found] == [0, 0, 2 + 0]
    assert [float(each.module.moments.rows) for each in found] == [2, 4, 6]
    assert found[1].moments.rows == 0 and found[2].moments.rows == 2


@pytest.mark.parametrize("ends", [False, True])
def test_two_streams_are_weighed_and_each_has_a_value(ends):
    """A bonus after the end of an episode is worth something before it, unless ends count."""
    rows = [row([1], FIRST), row([2], LAST, 1.0)._replace(discount=jnp.zeros(1)), row([0], FIRST), row([3], MID)]
    steps = jax.tree.map(lambda *x: jnp.stack(x), *[Step(each, jnp.zeros(1)) for each in rows])
    steps = steps._replace(extras={"bonus": jnp.array([[9.0], [1.0], [9.0], [2.0]])})
    value = jnp.zeros((4, 1, 2)) + jnp.array([[[0.5, 0.25]]])
    stream = Stream(0.5, weight=3.0, extrinsic=2.0, ends=ends)
    advantage, target = targets(steps, value, stream, discount=0.9, lambda_=1.0)
    later = 2 + 0.5 * 0.25
    second = np.array([1 + (0 if ends else 0.5 * later) - 0.25, 0, later - 0.25])
    first = np.array([1 - 0.5, 0, 0.9 * 0.5 - 0.5])
    np.testing.assert_allclose(advantage[:, 0], 2 * first + 3 * second, rtol=1e-6)
    np.testing.assert_allclose(target[:, 0], np.stack([first + 0.5, second + 0.25], -1), rtol=1e-6)


def test_pairs_are_counted_when_the_action_was_taken():
    module = bonuses.counts(SPEC, of="pairs")
    memory, found = module.begin(1), []
    for x, a, kind in ((0, 0, FIRST), (1, 0, MID), (1, 0, MID), (1, 1, MID)):
        bonus, memory = module.bonus((), memory, jnp.array([x]), jnp.array([a]), row([2], kind))
        found.append(float(bonus[0]))
    np.testing.assert_allclose(found[1:], [1, 2**-0.5, 1], rtol=1e-6)
    assert memory.sum() == 3


def test_pseudo_counts_fall_for_what_was_seen_and_generalise_over_entries():
    spec = Spec("vectors", Box((2,), 0.0, 1.0), Discrete(2))
    module, memory = bonuses.pseudo_counts(spec, levels=4), bonuses.pseudo_counts(spec, levels=4).begin(1)
    paid = []
    for x in ([0, 0], [0, 0], [1, 1], [0, 0], [0, 1], [0.5, 0.5]):
        seen = row([0])._replace(observation=jnp.array([x], jnp.float32))
        bonus, memory = module.bonus((), memory, None, None, seen)
        paid.append(float(bonus[0]))
    assert paid[0] > paid[1] > paid[3] and paid[3] < paid[4] < paid[5], paid


def test_an_episode_pays_once_for_a_state_and_again_in_the_next():
    module = bonuses.episodic(SPEC, optimisers.adam(1e-3), hidden=(8,), features=4, capacity=3)
    state, memory, paid = module.init(keys.key(0), row([0])), module.begin(1), []
    for cell, kind in ((0, FIRST), (1, MID), (2, MID), (1, MID), (1, FIRST), (2, MID)):
        bonus, memory = module.bonus(module.actor(state), memory, None, None, row([cell], kind))
        paid.append(float(bonus[0]))
    np.testing.assert_allclose([paid[0], paid[4]], 1e3, rtol=1e-5)
    assert paid[3] < 1.1 and min(paid[1], paid[2], paid[5]) > 3 * paid[3], paid


def transitions(count, noise=0.0, key=0):
    """A window `[2, count]` of two vectors and actions: the first entry goes to the action, the second is noise."""
    rng = np.random.default_rng(key)
    action = rng.integers(2, size=count)
    before = np.stack([rng.normal(size=count), np.zeros(count)], -1)
    after = np.stack([action, noise * rng.normal(size=count)], -1)
    rows = row([0] * count)._replace(observation=jnp.zeros((count, 2)))
    steps = jax.tree.map(lambda x: jnp.stack([x, x]), rows)
    steps = steps._replace(observation=jnp.asarray(np.stack([before, after]), jnp.float32))
    return Step(steps, jnp.asarray(np.stack([action, action])))


def mean_bonus(module, state, steps):
    """Over a window `[2, N]`."""
    before, after = (jax.tree.map(lambda x, i=i: x[i], steps) for i in (0, 1))
    memory = module.begin(before.action.shape[0])
    args = (before.timestep.observation, before.action, after.timestep)
    return float(jnp.mean(module.bonus(module.actor(state), memory, *args)[0]))


VECTORS = Spec("vectors", Box((2,)), Discrete(2))


def test_a_model_s_progress_is_what_an_update_gained_and_is_nothing_over_no_updates():
    paid = {}
    for lag in (0, 2):
        module = bonuses.surprise(VECTORS, lag=lag, hidden=(8,), radius=0.05)
        state, update = module.init(keys.key(0), row([0])), jax.jit(module.update)
        surprise = bonuses.surprise(VECTORS, kind="surprisal", lag=lag, hidden=(8,), radius=0.05)
        steps, values = transitions(64), []
        for _ in range(8):
            state, metrics = update(state, keys.key(0), steps)
            values.append(float(metrics["bonus_loss"]))
            assert float(metrics["bonus_kl"]) <= 1.5 * 0.05
        paid[lag] = mean_bonus(module, state, steps)
        assert values[-1] < values[0] and mean_bonus(surprise, state, steps) < 3
    assert paid[0] == 0 and paid[2] > 0


def test_models_agree_on_what_they_have_learned():
    module = bonuses.disagreement(VECTORS, optimisers.adam(1e-2), members=3, hidden=(16,), features=4)
    steps, update = transitions(64), jax.jit(module.update)
    begun = state = module.init(keys.key(0), row([0, 0])._replace(observation=jnp.zeros((2, 2))))
    for i in range(60):
        state, _ = update(state, keys.key(i), steps)
    assert mean_bonus(module, state, steps) < 0.2 * mean_bonus(module, begun, steps)


@pytest.mark.parametrize(("kind", "action"), [("vae", Discrete(2)), ("inverse", Box((1,))), ("raw", Discrete(2))])
def test_features_of_the_large_scale_study_learn(kind, action):
    """With the action at every layer, of vectors and of numbers to be counted, and observations over one deviation."""
    spec = VECTORS._replace(action=action)
    module = bonuses.dynamics(
        spec, optimisers.adam(1e-2), kind=kind, hidden=(16,), features=4, beta=0.5, through=False, blocks=1, whiten=True
    )
    steps, update = transitions(64), jax.jit(module.update)
    if isinstance(action, Box):
        steps = steps._replace(action=steps.action[..., None].astype(jnp.float32))
    state, found = module.init(keys.key(0), jax.tree.map(lambda x: x[0], steps.timestep)), []
    for i in range(40):
        state, metrics = update(state, keys.key(i), steps)
        found.append([float(metrics["bonus_loss"]), float(metrics["vae_loss" if kind == "vae" else "inverse_loss"])])
    assert found[-1][1] < found[0][1] or kind == "raw"
    assert float(state.moments.rows) == 40 * 64 and np.isfinite(found).all()
    assert kind == "vae" or found[-1][0] < found[0][0]
