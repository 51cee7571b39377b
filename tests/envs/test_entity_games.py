"""Games with entities: who moves how, what meets whom, what is said, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import LAST
from envs import keys, text
from envs.tasks import entity_games as module
from envs.tasks.entity_games import BEHAVIOURS, ENEMY, FRIEND, WALL, entity_games
from tests.envs.contract import check_environment, play


@pytest.mark.parametrize("options", [{}, {"family": "b", "described": "shuffled"}])
def test_the_contract(options):
    check_environment(entity_games(size=4, friends=1, enemies=1, walls=2, time_limit=15, **options), 60)


def test_families_share_neither_numbers_nor_behaviours_but_phrases():
    assert len({behaviour.told for behaviour in BEHAVIOURS}) == len(BEHAVIOURS) == 12
    for role in (FRIEND, ENEMY, WALL):
        phrases = [
            {phrase for each in family if each.role == role for phrase in each.told.split(" and ")}
            for family in module.FAMILIES.values()
        ]
        assert phrases[0] == phrases[1]
    for family, numbers in (("a", range(1, 7)), ("b", range(7, 13))):
        seen = play(entity_games(family), 20, 8).timestep.observation
        assert set(np.unique(seen["map"])) == {0, *numbers}


@pytest.mark.parametrize("described", ["right", "shuffled", "none"])
def test_numbers_are_described_as_what_they_are_in_a_game(described):
    env = entity_games("b", described=described)
    states, timestep = jax.jit(jax.vmap(env.reset))(jax.random.split(keys.key(0), 60))
    known, right = env.spec.vocabulary, 0
    seen_as = np.asarray(states.inner.seen_as)
    assert len(np.unique(seen_as, axis=0)) > 40 and (np.sort(seen_as[:, 6:]) == np.arange(6, 12)).all()
    for game, tokens in zip(seen_as, np.asarray(timestep.observation["descriptions"]), strict=True):
        said = [text.decode(known, each) for each in tokens]
        assert said[:6] == [""] * 6
        if described == "none":
            assert said == [""] * 12
            continue
        assert sorted(said[6:]) == sorted(behaviour.told for behaviour in BEHAVIOURS[6:])
        right += sum(said[game[i]] == BEHAVIOURS[i].told for i in range(6, 12))
    assert {"right": right == 360, "shuffled": 20 < right < 120, "none": right == 0}[described]


def test_one_game_deals_once():
    seen_as = jax.jit(jax.vmap(entity_games("a", "one").reset))(jax.random.split(keys.key(0), 5))[0].inner.seen_as
    np.testing.assert_array_equal(seen_as[:, :6], np.broadcast_to(np.arange(6), (5, 6)))


KINDS = {"coin": 0, "fruit": 1, "ghost": 2, "spider": 3, "rock": 4}
ENV = entity_games(size=5, friends=2, enemies=1, walls=1)


def after(here, places, names, action, key=0, there=(True,) * 4):
    """What a move of the agent leads to."""
    state, _ = ENV.reset(keys.key(key))
    inner = state.inner._replace(
        here=jnp.array(here, jnp.int32),
        places=jnp.array(places, jnp.int32),
        kinds=jnp.array([KINDS[name] for name in names], jnp.int32),
        there=jnp.array(there),
    )
    return STEP(state._replace(inner=inner), jnp.int32(action))


STEP = jax.jit(ENV.step)
NAMES = ("coin", "coin", "spider", "rock")


def test_friends_are_taken_and_the_last_ends_the_episode():
    places = [(0, 1), (4, 4), (4, 0), (2, 2)]
    state, timestep = after((0, 0), places, NAMES, 3)
    assert float(timestep.reward) == 1 and timestep.step_type != LAST
    assert state.inner.there.tolist() == [False, True, True, True] and timestep.observation["map"][0, 1] == 0
    _, timestep = after((0, 0), places, NAMES, 3, there=(True, False, True, True))
    assert float(timestep.reward) == 1 and timestep.step_type == LAST and timestep.discount == 0


def test_enemies_end_it_and_walls_are_not_passed():
    places = [(4, 4), (4, 3), (0, 1), (1, 0)]
    _, timestep = after((0, 0), places, NAMES, 3)
    assert float(timestep.reward) == -1 and timestep.step_type == LAST and timestep.discount == 0
    state, timestep = after((0, 0), [(4, 4), (4, 3), (3, 3), (1, 0)], NAMES, 1)
    assert state.inner.here.tolist() == [0, 0] and float(timestep.reward) == 0


def test_a_chaser_comes_nearer_and_the_rest_stands_or_wanders():
    places, names = [(0, 0), (0, 1), (4, 2), (2, 4)], ("coin", "fruit", "ghost", "rock")
    found = [after((0, 2), places, names, 0, key)[0].inner.places.tolist() for key in range(40)]
    assert {tuple(each[0]) for each in found} == {(0, 0)} and {tuple(each[3]) for each in found} == {(2, 4)}
    assert {tuple(each[2]) for each in found} == {(4, 2), (3, 2)}
    assert {tuple(each[1]) for each in found} == {(0, 1), (1, 1)}  # neither onto the coin nor the agent
    assert all(sum(a != list(b) for a, b in zip(each, places, strict=True)) <= 1 for each in found)
    caught = [after((0, 2), [(4, 4), (4, 3), (1, 2), (2, 4)], names, 0, key)[1] for key in range(40)]
    assert {(float(each.reward), int(each.step_type) == LAST) for each in caught} == {(0.0, False), (-1.0, True)}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 2}, "size must be at least 3, got 2"),
        ({"friends": 0}, "friends must be at least 1, got 0"),
        ({"enemies": -1}, "enemies must be at least 0, got -1"),
        ({"walls": 50}, "walls is 50; 55 entities and the agent do not fit 7 x 7"),
        ({"time_limit": 0}, "time_limit must be at least 1, got 0"),
        ({"family": "c"}, "family is 'c'; allowed: a, b"),
        ({"games": "no"}, "games is 'no'; allowed: many, one"),
        ({"described": "no"}, "described is 'no'; allowed: right, shuffled, none"),
    ],
)
def test_bad_options_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        entity_games(**options)
