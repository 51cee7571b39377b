"""Hierarchical imitation: what the teacher is asked and what that costs, votes, Q-learning below, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import Sample, Step
from agents.common import teaching
from agents.h_dagger import h_dagger, scores
from envs import keys
from envs.base import Keys, Subgoals
from envs.tasks import catch, room_maze
from experiments import h_dagger as command
from experiments.run.plans import Size
from experiments.studies import room_maze as study

LINE = Subgoals(
    # Observations are [place, subgoal of the teacher]; subgoal 1 is reached at an odd place; the task is done at 9.
    num=2,
    right=lambda seen: seen[1],
    action=lambda seen, goal: goal,
    outcome=lambda before, goal, after: (after[0] != before[0], (after[0] % 2 == goal) & (after[0] != before[0])),
    solved=lambda seen: seen[0] == 9,
    high=Keys((10,), lambda seen: (seen[0],)),
    low=Keys((20,), lambda seen, goal: (2 * seen[0] + goal,)),
)
ENV = room_maze.room_maze(give_up=True)


def record_of(rows, taught=False):
    """A record of rows (place, right, subgoal, decided, place after), and what `asked` needs of its end."""
    from envs.base import LAST, MID, TimeStep

    record = teaching.blank(LINE, 8)
    for i, (place, right, goal, decided, after) in enumerate(rows):
        kind = jnp.int8(MID if i else 0)
        row = TimeStep(kind, jnp.float32(0), jnp.float32(1), jnp.array([place, right]))
        entered = row._replace(step_type=jnp.int8(MID), observation=jnp.array([after, right]))
        extras = {"subgoal": jnp.int32(goal), "decided": jnp.bool_(decided), "taught": jnp.bool_(taught)}
        record = teaching.noted(record, LINE, False, row, extras, entered)
    return record, entered._replace(step_type=jnp.int8(LAST))


EPISODE = [
    (0, 1, 1, True, 0),  # right subgoal, not reached before the patience is at an end
    (0, 1, 1, False, 0),
    (0, 1, 0, True, 2),  # chosen anew in the same situation: wrong
    (2, 1, 1, True, 2),  # right, and reached
    (2, 1, 1, False, 3),
    (3, 0, 1, True, 4),  # wrong
]


@pytest.mark.parametrize(
    ("rule", "high", "low", "costs"),
    [
        # One label for each situation with a choice (places 0, 2, 3), actions of the first segment but for its start.
        ("guided", [1, 0, 0, 1, 0, 1], [1, 1, 0, 0, 0, 0], (3, 1, 3)),
        ("segments", [1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], (3, 2, 1)),
        ("everything", [1, 0, 0, 1, 0, 1], [1, 1, 1, 1, 1, 1], (3, 2, 0)),
    ],
)
def test_what_is_asked_about_a_failed_episode(rule, high, low, costs):
    record, last = record_of(EPISODE)
    asked = teaching.asked(record, LINE, rule, True, last)
    np.testing.assert_array_equal(asked.high[:6], high)
    np.testing.assert_array_equal(asked.low[:6], low)
    assert not asked.high[6:].any() and not asked.low[6:].any()
    assert (int(asked.cost_high), int(asked.cost_low), int(asked.inspections)) == costs
    without = teaching.asked(record, LINE, rule, False, last)
    assert not without.low.any() and int(without.cost_high) == 3


def test_a_success_is_not_asked_about_unless_everything_is():
    record, last = record_of([*EPISODE[:5], (3, 1, 1, True, 9)])
    last = last._replace(observation=jnp.array([9, 1]))
    for rule, cost in (("guided", 0), ("segments", 0), ("everything", 3)):
        asked = teaching.asked(record, LINE, rule, True, last)
        assert int(asked.cost_high) == cost and bool(asked.low.any()) == (cost > 0)
    record, _ = record_of([*EPISODE[:5], (3, 1, 1, True, 9)], taught=True)
    assert int(teaching.asked(record, LINE, "guided", True, last).cost_high) == 3
    middle = last._replace(step_type=jnp.int8(1))
    assert not teaching.asked(record, LINE, "everything", True, middle).high.any()


def test_a_row_that_opens_an_episode_adds_nothing_and_begins_anew():
    record, last = record_of(EPISODE)
    first = last._replace(step_type=jnp.int8(0))
    extras = {"subgoal": jnp.int32(0), "decided": jnp.bool_(True), "taught": jnp.bool_(False)}
    jax.tree.map(np.testing.assert_array_equal, teaching.noted(record, LINE, False, last, extras, first), record)
    assert int(teaching.noted(record, LINE, False, first, extras, last).length) == 1


def test_votes_fall_back_to_the_next_coarser_number():
    fine, coarse = jnp.zeros((4, 3)).at[2, 1].set(2.0), jnp.zeros((2, 3)).at[1, 2].set(5.0)
    row = lambda *key: np.asarray(scores((fine, coarse), tuple(map(jnp.int32, key))))  # noqa: E731
    np.testing.assert_array_equal(row(2, 1), [0, 2, 0])
    np.testing.assert_array_equal(row(3, 1), [0, 0, 5])
    np.testing.assert_array_equal(row(3, 0), [0, 0, 0])


def window(agent, state, steps, env=ENV):
    """Rows `[steps + 1, 1]` that the agent acted out."""
    world, timestep = jax.vmap(env.reset)(keys.split(keys.key(0), 1))

    def body(carry, key):
        world, timestep, memory = carry
        action, memory, extras = agent.act(agent.actor(state), key, memory, timestep, True)
        return (*jax.vmap(env.step)(world, action), memory), Step(timestep, action, extras)

    start = (world, timestep, agent.begin(1))
    return jax.jit(lambda k: jax.lax.scan(body, start, k))(keys.split(keys.key(1), steps + 1))[1]


def test_cloning_learns_what_the_teacher_does_and_pays_for_every_step():
    agent = h_dagger(ENV.spec, teacher_plays=True, rule="everything")
    first = jax.vmap(ENV.reset)(keys.split(keys.key(0), 1))[1]
    state = agent.init(keys.key(0), first)
    rows = window(agent, state, 250)
    after, info = jax.jit(agent.update)(state, keys.key(0), Sample(rows))
    kind = np.asarray(rows.timestep.step_type)[:, 0]
    end = int(np.flatnonzero(kind == 2)[-1])
    played = int((kind[: end + 1] == 1).sum() + (kind[: end + 1] == 0).sum())
    chosen = int(after.costs.high)
    assert float(info.metrics["loss"]) == 0 and int(after.episodes) == (kind == 2).sum() > 3
    repeated = played - int(after.costs.low + after.costs.high)  # chosen again in a situation that was paid for
    assert chosen > 0 and 0 <= repeated <= int(after.episodes)
    seen, goal = rows.timestep.observation[:end, 0], rows.extras["subgoal"][:end, 0]
    rows_in = kind[:end] != 2
    voted = jax.vmap(lambda s: jnp.argmax(scores(after.high, ENV.spec.subgoals.high.of(s))))(seen)
    np.testing.assert_array_equal(np.asarray(voted)[rows_in], np.asarray(goal)[rows_in])


def test_a_wrong_subgoal_is_given_up_and_options_learn_from_right_ones_alone():
    agent = h_dagger(ENV.spec, low="q", warmup=0)
    first = jax.vmap(ENV.reset)(keys.split(keys.key(0), 1))[1]
    state = agent.init(keys.key(0), first)
    rows = window(agent, state, 200)
    right = np.asarray(jax.vmap(ENV.spec.subgoals.right)(rows.timestep.observation[:, 0]))
    wrong = np.asarray(rows.extras["subgoal"])[:, 0] != right
    np.testing.assert_array_equal(np.asarray(rows.action)[:, 0] == 4, wrong)
    after, info = jax.jit(agent.update)(state, keys.key(0), Sample(rows))
    assert float(info.metrics["useful"]) == 1 and int(after.costs.low) == 0 and int(after.costs.high) > 0
    assert float(after.costs.samples) > 0


def test_q_of_a_step_by_hand():
    agent = h_dagger(ENV.spec, low="q", learning_rate=0.5, discount=0.9)
    first = jax.vmap(ENV.reset)(keys.split(keys.key(0), 1))[1]
    state = agent.init(keys.key(0), first)
    told = ENV.spec.subgoals
    seen = first.observation[0]
    goal = told.right(seen)
    way = {0: -4, 1: 4, 2: -1, 3: 1}[int(goal)]
    update = jax.jit(agent.update)
    for arrives, expected in ((seen.at[0].add(way), 0.5), (seen.at[0].add(-way), -0.5), (seen.at[1].set(4), 0.0)):
        row = first._replace(step_type=jnp.ones(1, jnp.int8))
        entered = row._replace(observation=arrives[None])
        extras = {"subgoal": goal[None], "decided": jnp.array([True]), "taught": jnp.array([False])}
        rows = [Step(each, jnp.array([1]), extras) for each in (row, entered)]
        after, _ = update(state, keys.key(0), Sample(jax.tree.map(lambda a, b: jnp.stack([a, b]), *rows)))
        values = np.asarray(after.low[0])
        assert values[told.low.of(seen, goal)[0], 1] == pytest.approx(expected)
        assert np.count_nonzero(values) == (expected != 0)


def test_the_study_tells_the_round_in_which_95_of_100_tests_have_succeeded(monkeypatch):
    tests, labels = np.zeros((2, 300)), np.arange(600.0).reshape(2, 300)
    tests[0, 50:] = 1  # 95 of the 100 tests up to round 144 are of rounds 50 to 144
    monkeypatch.setattr(study, "played", lambda seeds, rounds, settings: (tests, labels))
    np.testing.assert_array_equal(study.labels([0, 1], rounds=300), [144, np.inf])
    np.testing.assert_array_equal(study.all_labels([0, 1], rounds=300), [299, 599])
    np.testing.assert_array_equal(study.success([0, 1], rounds=300), [1, 0])


def test_bad_input_is_refused():
    size = Size(1, 1, 1000)
    with pytest.raises(ValueError, match="--env catch: h_dagger needs a task with subgoals, such as bellmax/room-maze"):
        command.check(command.Config(), catch.catch().spec, size)
    with pytest.raises(ValueError, match="--devices 2: a table is learned on one"):
        command.check(command.Config(), ENV.spec, Size(1, 2, 1000))
    with pytest.raises(ValueError, match="catch: needs subgoals, a time limit"):
        h_dagger(catch.catch().spec)
