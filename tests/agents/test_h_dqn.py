"""The traps of h-DQN: what each level is paid, when attempts end, what a window is learned from, how it explores."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import replay
from agents import h_dqn
from agents.base import FIRST, LAST, Agent, Info, Sample, Step
from envs import keys
from envs.tasks.key_maze import key_maze
from experiments.drivers import base
from tests.experiments.running import call

PATIENCE, LANES = 4, 3
ENV = key_maze(2, 2, time_limit=11)
GOALS = 3  # the door, the key, the goal


class Recorder(NamedTuple):
    """A state that keeps the last sample, and how much its actor explores."""

    seen: Any
    epsilon: Any

    @property
    def params(self):
        return ()


def recorder(size: int) -> Agent:
    """An agent that acts at random and remembers what it learned from."""

    def act(actor, key, carry, timestep, explore):
        return jax.random.randint(key, timestep.reward.shape, 0, size), carry, {}

    def update(state, key, sample):
        return state._replace(seen=sample), Info({"loss": jnp.float32(0), "epsilon": jnp.float32(0)})

    return Agent(lambda key, t: Recorder((), jnp.float32(1)), lambda s: s, lambda batch: (), act, update)


def agent(**options: Any) -> Agent:
    return h_dqn.h_dqn(recorder(GOALS), recorder(4), ENV.spec, patience=PATIENCE, **options)


def rows_of(made: Agent, steps: int = 60) -> tuple[Step, Any]:
    """Rows, and the memory that each began with."""
    key = keys.key(0)
    env_state, timestep = jax.vmap(ENV.reset)(jax.random.split(key, LANES))
    state = made.init(key, timestep)

    def body(carry, key):
        env_state, timestep, live = carry
        row, after = base.act_row(made, made.actor(state), live, key, timestep)
        return (*jax.vmap(ENV.step)(env_state, row.action), after), (row, after.carry)

    start = (env_state, timestep, base.begin(made, LANES))
    roll = jax.jit(lambda s, k: jax.lax.scan(body, s, k)[1])
    return jax.tree.map(np.asarray, roll(start, jax.random.split(key, steps)))


ROWS, MEMORY = rows_of(agent())
KIND, GOAL, PHASE = ROWS.timestep.step_type, ROWS.extras["goal"], ROWS.extras["phase"]
SEEN = ROWS.timestep.observation
OUTCOME = jax.jit(jax.vmap(jax.vmap(ENV.spec.subgoals.outcome)))
OVER, REACHED = (np.asarray(x) for x in OUTCOME(SEEN[:-1], GOAL[:-1], SEEN[1:]))


def test_goals_last_until_they_are_reached_given_up_or_the_episode_begins_anew():
    first = KIND[1:] == FIRST
    new = first | OVER | (PHASE[:-1] + 1 >= PATIENCE)
    np.testing.assert_array_equal(PHASE[1:], np.where(new, 0, PHASE[:-1] + 1))
    assert (GOAL[1:] == GOAL[:-1])[~new].all() and (GOAL[1:] != GOAL[:-1])[new].any()
    assert REACHED.any() and (new & ~first & ~OVER).any() and PHASE.max() == PATIENCE - 1


def test_successes_are_counted_goal_by_goal_and_lane_by_lane():
    success = np.zeros((LANES, GOALS))
    for t in range(1, len(KIND)):
        for lane in range(LANES):
            ended = OVER[t - 1, lane] or PHASE[t - 1, lane] + 1 >= PATIENCE
            if KIND[t, lane] != FIRST and ended:
                goal = GOAL[t - 1, lane]
                success[lane, goal] += 0.05 * (REACHED[t - 1, lane] - success[lane, goal])
        np.testing.assert_allclose(MEMORY.success[t], success, atol=1e-6)
    assert success.max() > 0


def windows(starts: list[int]) -> Sample:
    """Of lane 0, from these rows."""
    take = lambda x: np.stack([x[s : s + PATIENCE + 1, 0] for s in starts], 1)  # noqa: E731
    steps = jax.tree.map(take, ROWS._replace(carry=()))
    return Sample(steps)


BEGINNINGS = [int(t) for t in np.flatnonzero((PHASE[:50, 0] == 0) & (KIND[:50, 0] != LAST))]


def learned(made: Agent, sample: Sample) -> Any:
    state = made.init(keys.key(0), ROWS.timestep._replace())
    return jax.jit(made.update)(state, keys.key(1), sample)[0]


def test_the_meta_controller_learns_from_whole_attempts():
    """The sum of what was paid in them, the state in which they ended, and no more than the end of the episode."""
    rewards = np.arange(1.0, 1 + KIND.size, dtype=np.float32).reshape(KIND.shape)
    sample = windows(BEGINNINGS)
    paid = np.stack([rewards[s : s + PATIENCE + 1, 0] for s in BEGINNINGS], 1)
    steps = sample.steps._replace(timestep=sample.steps.timestep._replace(reward=paid))
    seen = learned(agent(), Sample(steps)).high.seen.steps
    for i, start in enumerate(BEGINNINGS):
        end = start
        while end == start or (PHASE[end, 0] != 0 and KIND[end, 0] != LAST):
            end += 1
        assert seen.timestep.step_type[1, i] != FIRST
        np.testing.assert_allclose(seen.timestep.reward[1, i], rewards[start + 1 : end + 1, 0].sum())
        np.testing.assert_array_equal(seen.timestep.observation[1, i], SEEN[end, 0])
        assert seen.timestep.discount[1, i] == ROWS.timestep.discount[end, 0]
        assert seen.action[0, i] == GOAL[start, 0]


def test_windows_that_begin_within_an_attempt_are_masked_above():
    within = [t for t in range(40) if PHASE[t, 0] > 0]
    seen = learned(agent(), windows(within)).high.seen.steps
    assert (np.asarray(seen.timestep.step_type[1]) == FIRST).all()


def test_the_controller_is_paid_for_its_goal_and_does_not_look_beyond():
    starts = list(range(40))
    state = learned(agent(), windows(starts))
    seen = state.low.seen.steps
    goal, before, after = seen.timestep.observation["goal"], *seen.timestep.observation["observation"]
    np.testing.assert_array_equal(goal[0], goal[1])
    over, reached = jax.vmap(ENV.spec.subgoals.outcome)(before, goal[0], after)
    np.testing.assert_array_equal(seen.timestep.reward[1], np.asarray(reached, np.float32))
    assert np.asarray(reached).any() and (np.asarray(seen.timestep.discount[1])[np.asarray(over)] == 0).all()
    assert (np.asarray(seen.timestep.discount[1])[~np.asarray(over)] == 1).all()
    plain = learned(agent(intrinsic=False), windows(starts)).low.seen.steps
    np.testing.assert_array_equal(plain.timestep.reward[1] > 0, (np.asarray(after)[:, -1] >= 0) & solved(after))


def solved(seen: Any) -> np.ndarray:
    return np.asarray(jax.vmap(ENV.spec.subgoals.solved)(seen))


def test_the_controller_explores_by_the_successes_at_its_goal():
    told = []

    def act(actor, key, carry, timestep, explore):
        told.append(actor.epsilon)
        return jnp.zeros(timestep.reward.shape, jnp.int32), carry, {}

    made = h_dqn.h_dqn(recorder(GOALS), recorder(4)._replace(act=act), ENV.spec, patience=PATIENCE, least=0.2)
    carry = made.begin(3)._replace(success=jnp.array([[0.9, 0.9, 0.9], [0.5, 0.6, 0.7], [0.0, 0.0, 0.0]]))
    row = jax.tree.map(lambda x: x[0, :3], ROWS.timestep)
    for most in (0.8, 0.1):
        actor = h_dqn.Actor(Recorder((), jnp.float32(1)), Recorder((), jnp.float32(most)))
        _, after, extras = made.act(actor, keys.key(0), carry, row, True)
        share = 1 - after.success[1, extras["goal"][1]]
        expected = [0.2, share, 0.8] if most == 0.8 else [0.2, 0.2, 0.2]
        np.testing.assert_allclose(told[-1], expected, rtol=1e-6)


def test_the_replay_s_windows_begin_with_attempts():
    memory = replay.mapped(replay.uniform(200, 64), replay.segments(PATIENCE))
    rows = jax.tree.map(jnp.asarray, ROWS._replace(carry=()))
    held = memory.add(memory.init(jax.tree.map(lambda x: x[0], rows)), rows)
    steps = memory.sample(held, keys.key(0)).steps
    assert (np.asarray(steps.extras["phase"][0]) == 0).mean() > 0.8


def test_refusals(tmp_path):
    with pytest.raises(ValueError, match="windows have 2 transitions; h-DQN with a patience of 4 takes as many"):
        learned(agent(), Sample(jax.tree.map(lambda x: x[:3], windows([0, 1]).steps)))
    with pytest.raises(ValueError, match="catch: needs a task with subgoals"):
        h_dqn.h_dqn(recorder(2), recorder(2), ENV.spec._replace(name="catch", subgoals=None))
    outcome = call("h_dqn", "--env", "bellmax/catch", "--out", tmp_path / "run")
    told = "error: --env bellmax/catch: h_dqn needs a task with subgoals, such as bellmax/key-maze\n"
    assert outcome.code == 2 and outcome.err == told
