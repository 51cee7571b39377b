"""The traps of a hierarchy: what each level sees, is paid, bootstraps from, and learns from."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents.base import FIRST, LAST, MID, Agent, Info, Sample, Step, valid
from agents.hierarchy import Subgoals, hierarchy
from envs import keys
from envs.base import Box
from envs.tasks.point_maze import point_maze
from experiments.drivers import base

C, LANES = 5, 3
GOALS = Subgoals((-2.0, -1.0), (2.0, 1.0), hidden=2)
ACTIONS = Box((2,), np.float32([-30, -30]), np.float32([30, 30]))


class Recorder(NamedTuple):
    """A state that keeps the last sample; parameters that scale what is done."""

    gain: Any
    seen: Any

    @property
    def params(self):
        return self.gain


def recorder(size: int, follow: float = 0.0) -> Agent:
    """An agent that does `gain` times its goal's first entries (or a constant), and remembers what it learned from."""

    def init(key, timestep):
        return Recorder(jnp.float32(follow), ())

    def act(actor, key, carry, timestep, explore):
        goal = timestep.observation["desired_goal"]
        a = actor * jnp.resize(goal, (goal.shape[0], size)) if follow else 0.5 * jnp.ones((goal.shape[0], size))
        return a + (0.25 * jax.random.normal(key, a.shape) if explore and not follow else 0.0), carry + 1, {}

    def update(state, key, sample):
        return state._replace(seen=sample), Info({"loss": jnp.float32(0)})

    return Agent(init, lambda s: s.gain, lambda batch: jnp.zeros(batch), act, update)


def agent(**options: Any) -> Agent:
    low = recorder(2, 20.0)
    low = low._replace(update=options.pop("low_update", low.update))
    return hierarchy(recorder(2), low, options.pop("goals", GOALS), ACTIONS, period=C, **options)


ENV = point_maze("u", goal="any", time_limit=12)


def rows_of(made: Agent, steps: int = 40) -> Step:
    key = keys.key(0)
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(key, LANES))
    state = made.init(key, timestep)

    def body(carry, key):
        env_state, timestep, live = carry
        row, live = base.act_row(made, made.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action / 30), live), row

    start = (env_state, timestep, base.begin(made, LANES))
    roll = jax.jit(lambda s, k: jax.lax.scan(body, s, k)[1])
    return jax.tree.map(np.asarray, roll(start, jax.random.split(key, steps)))


ROWS = rows_of(agent())


def test_goals_stay_at_one_place_until_the_next_is_set():
    kind, phase, goal = np.asarray(ROWS.timestep.step_type), np.asarray(ROWS.extras["phase"]), ROWS.extras["goal"]
    place = np.asarray(ROWS.timestep.observation["observation"] + goal)
    for b in range(LANES):
        since = 0
        for t in range(len(kind)):
            since = 0 if kind[t, b] == FIRST else since + 1
            assert phase[t, b] == since % C
            if phase[t, b]:
                np.testing.assert_allclose(place[t, b], place[t - 1, b], atol=1e-5)
            else:
                assert t == 0 or (place[t, b] != place[t - 1, b]).any()


def test_goals_without_h_stay_the_same_displacement():
    rows = rows_of(agent(moving=False), 20)
    phase, goal = np.asarray(rows.extras["phase"]), np.asarray(rows.extras["goal"])
    held = phase[1:] > 0
    np.testing.assert_array_equal(goal[1:][held], goal[:-1][held])


def test_goals_can_lie_in_a_representation():
    """States are then what `embed` makes of observations: for h and for what the lower level is paid."""
    seen = lambda actor, x: (2 + actor) * jnp.flip(x[..., :2], -1)  # noqa: E731
    about = GOALS._replace(embed=seen)
    rows = rows_of(agent(goals=about), 20)
    phase, goal = np.asarray(rows.extras["phase"]), np.asarray(rows.extras["goal"])
    state = np.asarray(seen(0, rows.timestep.observation["observation"]))
    held = phase[1:] > 0
    np.testing.assert_allclose((state + goal)[1:][held], (state + goal)[:-1][held], atol=1e-5)
    drawn = segments_of(rows)
    made = agent(goals=about, correction=False)
    kept = made.init(keys.key(0), jax.tree.map(lambda x: x[0], rows.timestep))
    learned_from = updated(made, _with_room(kept, drawn), drawn)
    low, high = learned_from.low.seen.steps, learned_from.high.seen.steps
    state = np.asarray(seen(0, drawn.timestep.observation["observation"]))
    for i in range(64):
        (t,) = {t for t in range(C) if (np.asarray(drawn.action[t, i]) == low.action[0, i]).all()}
        paid = -np.linalg.norm(state[t, i] + drawn.extras["goal"][t, i] - state[t + 1, i])
        np.testing.assert_allclose(low.timestep.reward[1, i], paid, rtol=1e-4)
    above = high.timestep.observation["observation"]
    np.testing.assert_array_equal(above[0], drawn.timestep.observation["observation"][0])


def test_memory_of_the_higher_level_moves_on_when_it_decides():
    made = agent()
    timestep = jax.tree.map(lambda x: x[1], ROWS.timestep)._replace(step_type=jnp.full(LANES, MID, jnp.int8))
    carry = made.begin(LANES)._replace(phase=jnp.array([0, C - 1, C - 2]))
    _, after, _ = made.act(made.actor(made.init(keys.key(0), timestep)), keys.key(1), carry, timestep, True)
    assert after.high.tolist() == [0, 1, 0] and after.low.tolist() == [1, 1, 1]


def segments_of(rows: Step, key: Any = None) -> Step:
    storage = replay.mapped(replay.uniform(LANES * 40, 64), replay.segments(C))
    state = storage.add(storage.init(jax.tree.map(lambda x: x[0], rows)), rows)
    sample = jax.jit(storage.sample)
    return jax.tree.map(np.asarray, sample(state, jax.random.key(0) if key is None else key).steps)


def test_segments_begin_with_their_goal():
    drawn = segments_of(ROWS)
    assert drawn.action.shape[0] == C + 1
    whole = np.asarray(drawn.extras["phase"][0]) == 0
    assert 0.7 < whole.mean() < 1
    step = np.asarray(drawn.extras["phase"])[:, whole]
    inside = np.cumprod(np.asarray(valid(drawn))[:, whole], axis=0).astype(bool)
    assert (step[1:][inside] == np.broadcast_to([[1], [2], [3], [4], [0]], inside.shape)[inside]).mean() > 0.7
    # Every segment of the ring is drawn, and each is a run of rows of one lane.
    seen = jax.tree.map(np.asarray, (ROWS.action, drawn.action))
    for i in range(64):
        starts = np.argwhere((seen[0] == seen[1][0, i]).all(-1))
        t, b = next((t, b) for t, b in starts if (seen[0][t : t + C + 1, b] == seen[1][:, i]).all())
        assert not whole[i] or ROWS.extras["phase"][t, b] == 0


def learned(**options: Any) -> tuple[Step, Any]:
    made = agent(**options)
    drawn = segments_of(ROWS)
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], ROWS.timestep))
    return drawn, updated(made, _with_room(state, drawn), drawn)


def updated(made: Agent, state: Any, drawn: Step) -> Any:
    update = jax.jit(lambda s, d: made.update(s, keys.key(3), Sample(d))[0])
    return jax.tree.map(np.asarray, update(state, drawn))


def _with_room(state: Any, drawn: Step) -> Any:
    """The state with samples of the shapes that the levels will be handed, so that the scan over updates keeps them."""

    def twin(size: int) -> Sample:
        kept = jax.tree.map(lambda x: x[:2], drawn)
        observation = dict(kept.timestep.observation)
        observation.pop("achieved_goal")
        observation["desired_goal"] = kept.extras["goal"]
        return Sample(Step(kept.timestep._replace(observation=observation), kept.action))

    return state._replace(low=state.low._replace(seen=twin(2)))


def test_the_lower_level_is_paid_for_its_goal_and_bootstraps_from_the_next_one():
    drawn, state = learned()
    steps = state.low.seen.steps
    goal, kind = np.asarray(steps.timestep.observation["desired_goal"]), np.asarray(steps.timestep.step_type)
    all_goals = np.asarray(drawn.extras["goal"])
    places = np.asarray(drawn.timestep.observation["observation"])
    crossed = 0
    for i in range(64):
        (t,) = {t for t in range(C) if (np.asarray(drawn.action[t, i]) == steps.action[0, i]).all()}
        np.testing.assert_array_equal(goal[:, i], all_goals[t : t + 2, i])
        paid = -np.linalg.norm(places[t, i] + goal[0, i] - places[t + 1, i])
        np.testing.assert_allclose(steps.timestep.reward[1, i], paid, rtol=1e-4)
        assert kind[1, i] == drawn.timestep.step_type[t + 1, i]
        assert steps.timestep.discount[1, i] == 1  # neither the goal's time nor the time limit ends anything
        if drawn.extras["phase"][t + 1, i] == 0 and kind[1, i] != FIRST:
            crossed += 1  # the next goal is the one newly set
            assert abs(places[t, i] + goal[0, i] - places[t + 1, i] - goal[1, i]).max() > 1e-3
    assert crossed > 3


def test_the_lower_level_does_not_see_where_it_is_and_the_higher_does():
    drawn, state = learned()
    assert (np.asarray(state.low.seen.steps.timestep.observation["observation"]) == 0).all()
    above = state.high.seen.steps.timestep.observation
    np.testing.assert_array_equal(above["observation"][0], drawn.timestep.observation["observation"][0])
    np.testing.assert_array_equal(above["desired_goal"][0], drawn.timestep.observation["desired_goal"][0])


def test_the_lower_level_stops_at_its_goal():
    made = agent(at_goal=1.0)
    drawn = segments_of(ROWS)
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], ROWS.timestep))
    state = updated(made, _with_room(state, drawn), drawn)
    near = np.asarray(state.low.seen.steps.timestep.reward[1]) >= -1.0
    np.testing.assert_array_equal(state.low.seen.steps.timestep.discount[1], np.where(near, 0, 1))
    assert near.any() and not near.all()


@pytest.mark.parametrize("correction", [False, True])
def test_the_higher_level_learns_from_whole_segments(correction):
    drawn, state = learned(correction=correction)
    steps = jax.tree.map(np.asarray, state.high.seen.steps)
    kind = np.asarray(drawn.timestep.step_type)
    masked = 0
    for i in range(64):
        last = next((t for t in range(1, C + 1) if kind[t, i] == LAST), C)
        whole = drawn.extras["phase"][0, i] == 0 and kind[1, i] != FIRST
        assert (steps.timestep.step_type[1, i] != FIRST) == whole
        masked += not whole
        if not whole:
            continue
        np.testing.assert_allclose(
            steps.timestep.reward[1, i], 0.1 * np.asarray(drawn.timestep.reward)[1 : last + 1, i].sum(), rtol=1e-5
        )
        np.testing.assert_array_equal(
            steps.timestep.observation["observation"][1, i], drawn.timestep.observation["observation"][last, i]
        )
        assert steps.timestep.discount[1, i] == 1  # a time limit is no end, and γ counts once for the segment
        original = np.asarray(drawn.extras["goal"][0, i])
        low, high = np.array(GOALS.low), np.array(GOALS.high)
        if not correction:
            np.testing.assert_array_equal(steps.action[0, i], original)
        else:
            assert (steps.action[0, i] >= low).all() and (steps.action[0, i] <= high).all()
    assert 0 < masked < 32


def test_the_correction_uses_the_lower_policy_of_now():
    """A worker twice as strong did what it did for goals half as far, whose candidates the correction must prefer."""
    weaker = 20.0
    drawn, state = learned()
    goal = np.asarray(drawn.extras["goal"][0])
    same = np.isclose(np.asarray(state.high.seen.steps.action[0]), np.clip(goal, GOALS.low, GOALS.high)).all(-1)
    whole = np.asarray(drawn.extras["phase"][0]) == 0
    assert same[whole].mean() > 0.6  # it acted with the gain that it has: the goals it had explain that best
    made = agent(low_update=lambda s, key, sample: (s._replace(gain=2 * weaker), Info({"loss": jnp.float32(0)})))
    fresh = made.init(keys.key(0), jax.tree.map(lambda x: x[0], ROWS.timestep))
    fresh = fresh._replace(low=fresh.low._replace(gain=jnp.float32(weaker)))
    after = updated(made, fresh, drawn).high.seen.steps.action[0]
    changed = ~np.isclose(np.asarray(after), np.clip(goal, GOALS.low, GOALS.high)).all(-1)
    assert changed[whole].mean() > 0.5


def test_windows_of_another_length_are_refused():
    made = agent()
    short = jax.tree.map(lambda x: x[:3], segments_of(ROWS))
    state = made.init(keys.key(0), jax.tree.map(lambda x: x[0], ROWS.timestep))
    with pytest.raises(ValueError, match="windows have 2 transitions; a hierarchy of period 5 takes as many"):
        made.update(state, keys.key(0), Sample(short))
    plain = replay.mapped(replay.uniform(90, 4), replay.segments(C))
    bare = ROWS._replace(extras=())
    with pytest.raises(ValueError, match="rows with extras"):
        plain.sample(
            plain.add(plain.init(jax.tree.map(lambda x: x[0], bare)), jax.tree.map(lambda x: x[:30], bare)), keys.key(0)
        )
    with pytest.raises(ValueError, match="length is 0"):
        replay.segments(0)
