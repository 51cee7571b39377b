"""The grid of instructions against a plain model, and its errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import envs
from agents.base import LAST
from envs import keys, text
from envs.tasks.instruction_grid import MOVES, PICK, STAR, THINGS, TRANSFORM, instruction_grid
from tests.envs.contract import check_environment, play


@pytest.mark.parametrize("options", [{"count": 2, "size": 4}, {"events": 0.3, "size": 4, "pairs": "seen"}])
def test_it_keeps_the_contract(options):
    check_environment(instruction_grid(time_limit=30, **options))


def told(env, observation):
    """Verb and thing of every line that is not empty."""
    lines = [text.decode(env.spec.vocabulary, line) for line in observation["instruction"]]
    split = [line.rsplit(" the ", 1) for line in lines if line]
    return [(("visit", "pick up", "transform").index(verb), THINGS.index(thing)) for verb, thing in split]


def test_against_a_plain_model():
    size, env = 4, instruction_grid(count=2, size=4, time_limit=25)
    played = play(env, 300, 2)
    rows = played.timestep
    things = rows.observation["things"].reshape(*rows.reward.shape, 8, 5)
    for lane in range(2):
        at = lines = finished = None
        for t in range(300):
            here = jax.tree.map(lambda x: x[t, lane], rows.observation)  # noqa: B023
            about = things[t, lane]
            offset = np.round(about[:, 3:] * 4).astype(int)
            if rows.step_type[t, lane] == 0:
                lines, finished = told(env, here), 0
                # Where the agent is follows from where its steps are stopped; things are relative to it.
                at = {o: tuple(offset[o]) for o in range(8)}
                changed = np.zeros(8, bool)
            else:
                expected = np.array([[o in at, changed[o], at.get(o) == (0, 0)] for o in range(8)])
                expected[[o not in at for o in range(8)], 1] = False
                np.testing.assert_array_equal(about[:, :3] > 0, expected)
                assert all(tuple(offset[o]) == at[o] for o in at)
            if rows.step_type[t, lane] == LAST:
                continue
            action = played.action[t, lane]
            if action < PICK:
                after = np.round(things[t + 1, lane][:, 3:] * 4).astype(int)
                going = {o: tuple(np.array(at[o]) - MOVES[action]) for o in at}
                stopped = bool(at) and all(tuple(after[o]) == at[o] for o in at)
                at = at if stopped else going
            under = [o for o in at if at[o] == (0, 0)]
            if action == PICK:
                at = {o: place for o, place in at.items() if o not in under}
            changed[under] |= action == TRANSFORM
            verb, thing = lines[finished]
            done = (at.get(thing) == (0, 0), thing not in at, bool(changed[thing]))[verb]
            lost = not done and verb != 1 and thing not in at
            finished += done
            assert rows.reward[t + 1, lane] == pytest.approx(0.5 if done else 0.0)
            ends = finished == 2 or lost
            assert (rows.discount[t + 1, lane] == 0) == ends
    assert (rows.reward > 0).sum() > 5 and size == 4


@pytest.mark.parametrize("pairs", ["seen", "unseen"])
def test_lists_are_of_different_things_and_of_the_pairs_that_are_asked_for(pairs):
    env = instruction_grid(pairs=pairs, count=4)
    _, timestep = jax.vmap(env.reset)(jax.random.split(keys.key(0), 32))
    seen = env.spec.subtasks.seen.reshape(3, 8)
    assert seen.sum() == 16 and (seen.sum(0) == 2).all()
    met = set()
    for lane in range(32):
        lines = told(env, jax.tree.map(lambda x: np.asarray(x[lane]), timestep.observation))  # noqa: B023
        assert len({thing for _, thing in lines}) == 4
        met |= set(lines)
    assert all(seen[verb, thing] == (pairs == "seen") for verb, thing in met)
    assert len(met) >= (7 if pairs == "unseen" else 14)


def test_a_single_subtask_is_the_one_that_was_asked_for():
    env = instruction_grid(count=3, longest=5, events=0.1)
    alone = env.spec.subtasks.single(jnp.int32(13))
    _, timestep = alone.reset(keys.key(1))
    assert told(alone, jax.tree.map(np.asarray, timestep.observation)) == [(1, 5)]
    assert alone.spec.observation == env.spec.observation and alone.spec.time_limit == 40
    drawn = env.spec.subtasks.single(None)
    assert drawn.spec.observation == env.spec.observation


def test_the_star_of_random_events_comes_goes_and_pays():
    env = instruction_grid(events=0.2, size=3, time_limit=200, held_out=0)
    state, timestep = env.reset(keys.key(3))
    assert timestep.observation["things"].reshape(8, 5)[STAR, 0] == 0
    step, paid, shown = jax.jit(env.step), [], []
    for t in range(150):
        star = timestep.observation["things"].reshape(8, 5)[STAR]
        toward = [i for i, move in enumerate(MOVES) if np.dot(move, star[3:]) > 0]
        action = PICK if star[2] else toward[0] if toward else t % 4
        ended = timestep.last()
        state, timestep = step(state, jnp.int32(action))
        shown.append(bool(star[0]))
        if star[2] and not ended:
            paid.append(float(timestep.reward))
    assert any(shown) and not all(shown)
    assert paid and all(reward in (0.5, 1.5) for reward in paid)


def test_it_is_drawn_with_what_is_left_of_the_list():
    env = instruction_grid(count=2, size=5)
    state, _ = env.reset(keys.key(0))
    frame = env.render(state)
    assert frame.shape == (6 * 16, 5 * 16, 3) and frame.dtype == jnp.uint8
    left = lambda frame: np.asarray(frame[-8, [8, 24, 40]]).tolist()  # noqa: E731
    assert left(frame)[2] == [255, 255, 255] and left(frame)[0] != [255, 255, 255]
    after = env.render(state._replace(inner=state.inner._replace(done=jnp.int32(1))))
    assert left(after)[0] == [255, 255, 255] and left(after)[1] == left(frame)[1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"size": 2}, "size must be at least 3, got 2"),
        ({"pairs": "some"}, "pairs is 'some'; allowed: seen, unseen, all"),
        ({"pays": "none"}, "pays is 'none'; allowed: each, whole"),
        ({"events": 2.0}, "events must be in \\[0, 1\\], got 2.0"),
        ({"count": 5}, "longest must be at least the count of 5, got 4"),
        ({"held_out": 0, "pairs": "unseen"}, "count must be at most 0 with these pairs, got 1"),
        ({"held_out": 24}, "unseen: 24 combinations cannot be held out of 24"),
    ],
)
def test_errors_name_what_is_wrong(options, message):
    with pytest.raises(ValueError, match=message):
        envs.make("bellmax/instruction-grid", **options)
