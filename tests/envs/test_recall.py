"""The tasks that ask for memory: their rules against plain models, and what perfect and random players reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import FIRST, LAST
from envs import keys
from envs.tasks import copy as copy_task
from envs.tasks.card_pairs import card_pairs
from envs.tasks.copy import copy
from envs.tasks.i_maze import i_maze
from envs.tasks.repeat_previous import repeat_previous
from envs.tasks.t_maze import t_maze
from envs.tasks.teleport_maze import rooms, teleport_maze
from tests.envs.contract import check_environment, play

TASKS = {
    "card_pairs": lambda: card_pairs(4),
    "copy": lambda: copy(2, 1, 3),
    "i_maze": lambda: i_maze((2, 4), time_limit=30),
    "repeat_previous": lambda: repeat_previous(3),
    "t_maze": lambda: t_maze(2),
    "teleport_maze": lambda: teleport_maze(5, time_limit=30),
}


@pytest.mark.parametrize("name", TASKS)
def test_contract_and_picture(name):
    env = TASKS[name]()
    played = check_environment(env)
    frames = np.asarray(jax.vmap(env.render)(played.state))
    assert frames.dtype == np.uint8 and frames.shape[-1] == 3
    assert all(len(np.unique(frame.reshape(-1, 3), axis=0)) >= 2 for frame in frames)


def episodes(played):
    """`(rewards, actions, observations)` of every whole episode."""
    kind = played.timestep.step_type
    for lane in range(kind.shape[1]):
        starts = np.flatnonzero(kind[:, lane] == FIRST)
        for start in starts:
            ends = np.flatnonzero(kind[start:, lane] == LAST)
            if len(ends):
                end = start + ends[0]
                yield (
                    played.timestep.reward[start + 1 : end + 1, lane],
                    played.action[start:end, lane],
                    played.timestep.observation[start : end + 1, lane],
                )


def test_card_pairs_against_a_plain_model():
    cards, games, pairs = 6, 0, 0
    for rewards, actions, seen in episodes(play(card_pairs(cards), steps=300, lanes=4)):
        games += 1
        assert len(rewards) == 9
        assert not seen[0].any()
        gone, last, known = set(), None, {}
        for t, place in enumerate(actions):
            symbol, at, paid, clock = np.split(seen[t + 1], [3, 9, 10])
            assert at.argmax() == place and at.sum() == 1
            np.testing.assert_allclose(clock, (t + 1) / 9, rtol=1e-6)
            pair = False
            if place in gone:
                assert not symbol.any()
                shown = None
            else:
                shown = int(symbol.argmax())
                assert symbol.sum() == 1 and known.setdefault(place, shown) == shown
                pair = last is not None and last not in gone and last != place and known[last] == shown
            assert rewards[t] == paid == pair
            if pair:
                gone |= {last, place}
                pairs += 1
            last = place
        assert all(list(known.values()).count(s) <= 2 for s in known.values())
    assert games >= 100 and pairs >= 10, (games, pairs)


def perfect(cards, flips, rng):
    """Pairs found in one game by a player who forgets nothing: it turns over what is new until it knows of a pair."""
    table = rng.permutation(np.repeat(np.arange(cards // 2), 2))
    known, gone, last, found = {}, set(), None, 0
    for _ in range(flips):
        pairs = [(a, b) for a in known for b in known if a < b and known[a] == known[b] and not {a, b} & gone]
        wanted = next((p for p in known if last is not None and last not in gone and p != last
                       and p not in gone and known[p] == known[last]), None)  # fmt: skip
        if wanted is not None:
            place = wanted
        elif pairs:
            place = pairs[0][0]
        else:
            place = next((p for p in range(cards) if p not in known), 0)
        if last is not None and last != place and not {last, place} & gone and table[last] == table[place]:
            found, gone = found + 1, gone | {last, place}
        known[place], last = table[place], place
    return found


@pytest.mark.parametrize(("cards", "chance"), [(6, 1.02), (16, 1.30)])
def test_card_pairs_of_random_and_perfect_players(cards, chance):
    returns = [r.sum() for r, *_ in episodes(play(card_pairs(cards), steps=400, lanes=100))]
    np.testing.assert_allclose(np.mean(returns), chance, atol=0.08)
    rng = np.random.default_rng(0)
    assert all(perfect(cards, 3 * cards // 2, rng) == cards // 2 for _ in range(200))


def test_card_pairs_without_a_clock():
    assert card_pairs(8, clock=False).spec.observation.shape == (13,)
    assert card_pairs(8).spec.observation.shape == (14,)


def test_repeat_previous_against_a_plain_model():
    k, returns = 4, []
    for rewards, actions, seen in episodes(play(repeat_previous(k), steps=160, lanes=30)):
        assert len(rewards) == 52
        suits = seen[:-1].argmax(-1)
        assert (np.bincount(suits) == 13).all() and not seen[-1].any()
        right = actions[k:] == suits[:-k]
        np.testing.assert_allclose(rewards[k:], np.where(right, 1, -1) / 48, rtol=1e-5)
        assert not rewards[:k].any()
        returns.append(rewards.sum())
    np.testing.assert_allclose(np.mean(returns), -0.5, atol=0.06)


def test_copy_against_a_plain_model():
    lengths = set()
    for rewards, actions, seen in episodes(play(copy(2, 1, 3), steps=120, lanes=8)):
        length = int(seen[:, -1].argmax())
        lengths.add(length)
        assert len(rewards) == 2 * length + 1
        words = seen[:length, :2] @ [1, 2]
        assert not seen[length + 1 :].any() and seen[length].tolist() == [0, 0, 1]
        assert not rewards[: length + 1].any()
        np.testing.assert_allclose(rewards[length + 1 :], (actions[length + 1 :] == words) / length, rtol=1e-6)
    assert lengths == {1, 2, 3}


def test_copy_sequences_are_those_of_the_task():
    shown, target, counts = jax.jit(copy_task.sequences, static_argnums=(1, 2, 3, 4))(keys.key(0), 40, 2, 5, 3)
    assert shown.shape == (11, 40, 4) and target.shape == (11, 40, 3) and counts.shape == (11, 40)
    for b in range(40):
        length = int(shown[:, b, 3].argmax())
        assert 2 <= length <= 5 and counts[:, b].sum() == length
        np.testing.assert_array_equal(target[counts[:, b], b], shown[:length, b, :3])


def test_t_maze_pays_for_the_turn_that_the_sign_says():
    def policy(timestep):
        x = timestep.observation
        return jnp.where((x == jnp.array([[0.0, 1.0, 0.0]])).all(-1), 0, 1)  # east, and north at the junction

    norths = set()
    for rewards, _, seen in episodes(play(t_maze(3), steps=60, lanes=6, policy=policy)):
        north = seen[0].tolist() == [0, 1, 1]
        norths.add(north)
        assert seen[1:3].tolist() == [[1, 0, 1]] * 2 and seen[3].tolist() == [0, 1, 0]
        np.testing.assert_allclose(rewards, [0, 0, 0, 4 if north else -0.1], rtol=1e-6)
    assert norths == {True, False}
    walls = [r for r, a, _ in episodes(play(t_maze(3), steps=200, lanes=6)) if a[0] == 0]
    assert walls and all(np.isclose(r[0], -0.1) for r in walls)  # into the wall at the start


def test_i_maze_can_show_its_last_frames():
    env, plain = i_maze((2, 3), frames=3), i_maze((2, 3))
    assert env.spec.observation.shape == (3 * plain.spec.observation.shape[0],)
    rows = [[jax.jit(e.reset)(keys.key(0))] for e in (env, plain)]
    for e, steps in zip((env, plain), rows, strict=True):
        step = jax.jit(e.step)
        for action in (1, 2):
            steps.append(step(steps[-1][0], jnp.int32(action)))
    np.testing.assert_array_equal(rows[0][-1][1].observation, np.concatenate([row.observation for _, row in rows[1]]))


def test_i_maze_says_where_to_go_only_to_who_looks():
    """A player that looks at the block and takes its way gets 1, whatever the maze; from the start it is not seen."""
    env = i_maze((2, 3))
    step, reset, observe = jax.jit(env.step), jax.jit(env.reset), lambda row: row.observation.reshape(5, 5, 5)
    kinds = set()
    for seed in range(12):
        state, row = reset(keys.key(seed))
        length, rewards = int(state.inner.length), []
        assert not observe(row)[..., 1:3].any()  # the block is out of sight

        def act(*actions, state, rewards):
            for action in actions:
                state, row = step(state, jnp.int32(action))
                rewards.append(float(row.reward))
            return state, row

        state, row = act(1, 2, state=state, rewards=rewards)  # towards it, which is to the west: right of south
        block = observe(row)[..., 1:3]
        assert block.sum() == 1 and block[0, 2].any()  # two cells ahead
        green = bool(block[0, 2, 1])
        # Back, down the corridor, and one step to the east: left of south.
        state, row = act(1, 1, 2, 1, *[2] * (length + 1), 0, 2, state=state, rewards=rewards)
        goals = observe(row)[..., 3:]
        assert goals.sum() == 1 and goals[0, 2].any()
        cyan = bool(goals[0, 2, 1])
        state, row = act(*([2, 2] if cyan == green else [0, 0, 2, 2, 2, 2]), state=state, rewards=rewards)
        assert row.step_type == LAST and row.discount == 0
        np.testing.assert_allclose(sum(rewards), 1 - 0.04 * len(rewards), rtol=1e-5)
        kinds.add((green, cyan, length))
    assert len(kinds) >= 5


def test_teleport_maze_against_a_plain_model():
    size, ground = 5, rooms(5)
    assert ground.sum() == 20  # sixteen cells in the rooms and four doors
    found = 0
    moves = [(-1, 0), (0, 1), (1, 0), (0, -1)]
    for rewards, actions, seen in episodes(play(teleport_maze(size, sight=1, time_limit=40), steps=130, lanes=6)):
        assert len(rewards) == 40
        place = seen[:, :5].argmax(1), seen[:, 5:10].argmax(1)
        sought, views = seen[:, 10:12].argmax(1), seen[:, 12:].reshape(-1, 3, 3, 3)
        goals = {}
        for t in range(len(seen)):
            r, c = place[0][t], place[1][t]
            assert ground[r, c]
            for i, j in np.ndindex(3, 3):
                y, x = r + i - 1, c + j - 1
                inside = 0 <= y < size and 0 <= x < size
                assert views[t, 0, i, j] == (not (inside and ground[y, x]))
                for g in range(2):
                    if views[t, 1 + g, i, j]:
                        assert goals.setdefault(g, (y, x)) == (y, x)
            if t == len(rewards):
                break
            y, x = r + moves[actions[t]][0], c + moves[actions[t]][1]
            y, x = (y, x) if 0 <= y < size and 0 <= x < size and ground[y, x] else (r, c)
            reached = goals.get(sought[t]) == (y, x)
            assert rewards[t] == reached
            found += reached
            if not reached:
                assert (place[0][t + 1], place[1][t + 1], sought[t + 1]) == (y, x, sought[t])
    assert found > 5


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: card_pairs(5), ["cards", "5"]),
        (lambda: repeat_previous(52), ["k", "52", "51"]),
        (lambda: repeat_previous(4, 0), ["decks", "0"]),
        (lambda: copy(4, 3, 2), ["shortest", "3", "longest", "2"]),
        (lambda: copy(0), ["bits", "0", "1 to 16"]),
        (lambda: copy(17), ["bits", "17", "1 to 16"]),
        (lambda: t_maze(0), ["length", "0"]),
        (lambda: t_maze(5, 5), ["time_limit", "5"]),
        (lambda: i_maze(()), ["lengths"]),
        (lambda: i_maze(view=4), ["view", "4", "3 or 5"]),
        (lambda: i_maze(time_limit=0), ["time_limit", "0"]),
        (lambda: i_maze(frames=0), ["frames", "0"]),
        (lambda: teleport_maze(4), ["size", "4"]),
        (lambda: teleport_maze(5, goals=25, walls=False), ["goals", "25"]),
    ],
)
def test_bad_arguments(make, words):
    with pytest.raises(ValueError) as error:
        make()
    assert all(word in str(error.value) for word in words)
