"""Maps with sprites: where sentences lead against plain rules, which are said, what moves pay, and bad input."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from agents.base import LAST
from envs import keys, text
from envs.tasks import sprite_maps as module
from envs.tasks.sprite_maps import CELLS, sprite_maps
from tests.envs.contract import check_environment

ENV = sprite_maps()
WHERE = {"above": (-1, 0), "below": (1, 0), "left": (0, -1), "right": (0, 1)}


def opened(number, **options):
    """States and first rows of so many episodes."""
    env = sprite_maps(**options)
    reset = jax.jit(jax.vmap(env.reset))
    states, timestep = reset(jax.random.split(keys.key(0), number))
    known = env.spec.vocabulary
    said = [text.decode(known, tokens) for tokens in np.asarray(timestep.observation["instruction"])]
    return states, jax.tree.map(np.asarray, timestep.observation), said


@pytest.fixture(scope="module")
def many():
    return opened(300)


def meant(cells, sentence):
    """The cells that a sentence means, of a map."""
    words = sentence.split()
    places = np.argwhere(cells == CELLS.index(words[-1]))
    if words[2] == "cell":
        assert len(places) == 1
        return {tuple(places[0] + WHERE[words[3]])}
    axis, sign = {"northernmost": (0, 1), "southernmost": (0, -1), "westernmost": (1, 1), "easternmost": (1, -1)}[
        words[2]
    ]
    return {tuple(place) for place in places if sign * place[axis] == (sign * places[:, axis]).min()}


def test_the_contract():
    check_environment(sprite_maps(5, copies=2, time_limit=20), 60)


def test_sentences_lead_where_they_say(many):
    states, seen, said = many
    for i, sentence in enumerate(said):
        goals = {tuple(place) for place in np.argwhere(np.asarray(states.inner.goal[i]))}
        assert goals == meant(seen["map"][i], sentence), sentence
        assert tuple(seen["here"][i]) not in goals
        counts = np.bincount(seen["map"][i].reshape(-1), minlength=len(CELLS))
        assert (counts[2:8] == 1).all() and (counts[8:] == 3).all()


def test_all_sentences_are_said_and_both_kinds_as_often(many):
    said = many[2]
    assert len(set(said)) == 24 + 8
    assert 0.4 < np.mean(["cell" in sentence for sentence in said]) < 0.6


def test_pairs_are_held_out():
    seen, unseen = (set(opened(300, instructions="local", pairs=pairs)[2]) for pairs in ("seen", "unseen"))
    assert len(seen) == 18 and len(unseen) == 6 and not seen & unseen
    last = lambda sentences: {sentence.split()[-1] for sentence in sentences}  # noqa: E731
    assert last(seen) == last(unseen) == set(module.SPRITES)
    assert all("cell" not in sentence for sentence in opened(50, instructions="global")[2])


def test_a_goal_pays_and_ends_and_a_puddle_costs():
    state, _ = ENV.reset(keys.key(1))
    cells = jnp.zeros((8, 8), jnp.int32).at[3, 3].set(1)
    goal = jnp.zeros((8, 8), bool).at[0, 1].set(True)
    step = jax.jit(ENV.step)

    def after(here, action):
        inner = module.State(cells, goal, jnp.int32(0), jnp.array(here, jnp.int32))
        _, timestep = step(state._replace(inner=inner), jnp.int32(action))
        return float(timestep.reward), bool(timestep.step_type == LAST), tuple(np.asarray(timestep.observation["here"]))

    assert after((0, 0), 3) == (1.0, True, (0, 1))
    assert after((2, 3), 1) == (-0.25, False, (3, 3))
    assert after((7, 7), 1) == (0.0, False, (7, 7))


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"size": 4}, "size must be at least 5, got 4"),
        ({"copies": 1}, "copies must be at least 2, got 1"),
        ({"copies": 20}, "copies is 20; allowed: as many as fill half of 8 x 8 cells"),
        ({"density": 1}, "density must be at least 0 and below 1, got 1"),
        ({"puddle": -1}, "puddle must be at least 0, got -1"),
        ({"time_limit": 0}, "time_limit must be at least 1, got 0"),
        ({"instructions": "no"}, "instructions is 'no'; allowed: both, local, global"),
        ({"pairs": "no"}, "pairs is 'no'; allowed: all, seen, unseen"),
        ({"pairs": "unseen", "held_out": 0}, "held_out is 0; with pairs 'unseen' some must be left to say"),
    ],
)
def test_bad_options_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        sprite_maps(**options)
