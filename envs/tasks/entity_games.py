"""Two families of games with entities that are told apart by descriptions: what is good, what hurts, what blocks.

After the transfer tasks of Narasimhan, Barzilay and Jaakkola, "Grounding language for transfer in deep reinforcement
learning", JAIR 63 (2018, arXiv:1708.00133). Every episode is a game of its own, in which the behaviours of the family
are dealt out to the numbers that entities are seen as. The families share neither these numbers nor a behaviour; they
share the phrases that describe it.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, grids, text
from envs.base import Array, Box, Discrete, Environment, Key, Spec, Vocabulary, episodic

Family = Literal["a", "b"]
Games = Literal["many", "one"]
Described = Literal["right", "shuffled", "none"]
FRIEND, ENEMY, WALL = 0, 1, 2
STILL, ROAMS, CHASES = 0, 1, 2


class Behaviour(NamedTuple):
    """What an entity is to the agent, how it moves, and what is said of it."""

    role: int
    motion: int
    told: str


FAMILIES = {
    "a": (
        Behaviour(FRIEND, STILL, "is good to take and stands still"),
        Behaviour(FRIEND, ROAMS, "gives points and wanders around"),
        Behaviour(ENEMY, CHASES, "kills on contact and runs after you"),
        Behaviour(ENEMY, ROAMS, "hurts when touched and wanders around"),
        Behaviour(WALL, STILL, "blocks the way and stands still"),
        Behaviour(WALL, STILL, "cannot be passed and never moves"),
    ),
    "b": (
        Behaviour(FRIEND, STILL, "gives points and stands still"),
        Behaviour(FRIEND, ROAMS, "is good to take and wanders around"),
        Behaviour(ENEMY, CHASES, "hurts when touched and runs after you"),
        Behaviour(ENEMY, ROAMS, "kills on contact and wanders around"),
        Behaviour(WALL, STILL, "cannot be passed and stands still"),
        Behaviour(WALL, STILL, "blocks the way and never moves"),
    ),
}
"""Entities are seen as numbers, as many as there are behaviours: from 1 on in family "a", and then those of "b"."""
BEHAVIOURS = [behaviour for family in FAMILIES.values() for behaviour in family]
COLOURS = (drawing.GREEN, drawing.RED, drawing.GREY)
"""Of the roles."""


class State(NamedTuple):
    """Where everything is, and what it is in this game."""

    here: Array  # int32 [2], row and column of the agent
    places: Array  # int32 [entities, 2]
    kinds: Array  # int32 [entities], of `BEHAVIOURS`
    there: Array  # bool [entities], has not been taken
    seen_as: Array  # int32 [BEHAVIOURS], the number less 1 that a behaviour is dealt to
    said: Array  # int32 [BEHAVIOURS], whose description each number has; BEHAVIOURS for none


def descriptions() -> tuple[np.ndarray, Vocabulary]:
    """What is said of every behaviour, uint8 `[BEHAVIOURS, length]`, and the vocabulary."""
    sentences = [behaviour.told for behaviour in BEHAVIOURS]
    known = text.vocabulary(sentences, "descriptions")
    length = max(len(text.split(each)) for each in sentences)
    return np.stack([text.encode(known, each, length, np.uint8) for each in sentences]), known


def entity_games(
    family: Family = "a",
    games: Games = "many",
    described: Described = "right",
    size: int = 7,
    friends: int = 3,
    enemies: int = 2,
    walls: int = 5,
    time_limit: int = 40,
) -> Environment:
    """Moves in four directions; walls and edges are not passed. A friend that is reached is taken and pays 1.

    Where agent and enemy meet the episode ends and pays -1; it also ends when no friend is left.

    After every move of the agent one entity, drawn uniformly, moves in its way, unless something stands there.

    Args:
      family: of entities, "a" or "b".
      games: behaviours are dealt out anew in every episode ("many"), or once and for all ("one").
      described: every number has the description of its behaviour ("right"), descriptions are dealt out apart from
        behaviours ("shuffled"), or there are none.
      size: cells along a side, at least 3.
      friends: at least 1.
      enemies: at least 0.
      walls: at least 0.
      time_limit: steps, at least 1.

    Returns:
      Observation: `map`, uint8 `[size, size]`, the number of what stands there, 0 for nothing; `here`, uint8 `[2]`, row
      and column of the agent; `descriptions`, uint8 `[numbers, length]`, texts of the numbers of the family from 1 on,
      and zeros for those of the other.

    Raises:
      ValueError: an argument out of range.
    """
    numbers = {"size": (size, 3), "friends": (friends, 1), "enemies": (enemies, 0), "walls": (walls, 0)}
    for name, (value, least) in {**numbers, "time_limit": (time_limit, 1)}.items():
        if value < least:
            raise ValueError(f"entity_games: {name} must be at least {least}, got {value}")
    for name, word, words in (("family", family, Family), ("games", games, Games), ("described", described, Described)):
        if word not in get_args(words):
            raise ValueError(f"entity_games: {name} is {word!r}; allowed: {', '.join(get_args(words))}")
    entities, shape = friends + enemies + walls, (size, size)
    if entities >= size * size:
        raise ValueError(
            f"entity_games: walls is {walls}; {entities} entities and the agent do not fit {size} x {size}"
        )
    offset = len(FAMILIES["a"]) * (family == "b")
    of_role = {
        role: [offset + i for i, each in enumerate(FAMILIES[family]) if each.role == role]
        for role in (FRIEND, ENEMY, WALL)
    }
    roles = np.array([FRIEND] * friends + [ENEMY] * enemies + [WALL] * walls)
    choices = jnp.asarray([of_role[role] for role in roles], jnp.int32)  # [entities, 2]
    role_of, motion_of = (jnp.asarray([each[i] for each in BEHAVIOURS], jnp.int32) for i in (0, 1))
    own = jnp.arange(offset, offset + len(FAMILIES[family]), dtype=jnp.int32)
    told, known = descriptions()
    tokens = jnp.asarray(np.concatenate([told, np.zeros_like(told[:1])]))  # the last for what is not described
    nothing_said = jnp.full(len(BEHAVIOURS), len(BEHAVIOURS), jnp.int32)
    moves = jnp.asarray(grids.MOVES, jnp.int32)

    def at(places: Array, place: Array) -> Array:
        return jnp.all(places == place[None], axis=-1)

    def marked(places: Array, where: Array) -> Array:
        return jnp.zeros(shape, bool).at[places[:, 0], places[:, 1]].max(where)

    def initial(key: Key) -> State:
        k_place, k_kind, k_deal, k_text = jax.random.split(key, 4)
        cells = jnp.argsort(jax.random.uniform(k_place, (size * size,)))[: entities + 1]
        places = jnp.stack(jnp.divmod(cells, size), -1).astype(jnp.int32)
        picked = jax.random.randint(k_kind, (entities, 1), 0, choices.shape[1])
        kinds = jnp.take_along_axis(choices, picked, axis=1)[:, 0]
        dealt = own if games == "one" else jax.random.permutation(k_deal, own)  # behaviours, in the order of numbers
        seen_as, said = jnp.zeros(len(BEHAVIOURS), jnp.int32).at[dealt].set(own), nothing_said
        if described != "none":
            said = said.at[own].set(jax.random.permutation(k_text, own) if described == "shuffled" else dealt)
        return State(places[0], places[1:], kinds, jnp.ones(entities, bool), seen_as, said)

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        k_who, k_where = jax.random.split(key)
        role = role_of[state.kinds]
        solid = marked(state.places, role == WALL)
        here = jnp.stack(grids.moved(state.here[0], state.here[1], action, solid))
        met = at(state.places, here) & state.there
        taken = met & (role == FRIEND)
        there = state.there & ~taken
        dead = jnp.any(met & (role == ENEMY))

        who = jax.random.randint(k_who, (), 0, entities)
        place, motion = state.places[who], motion_of[state.kinds[who]]
        gap = here - place
        along = jnp.where(jnp.abs(gap[0]) >= jnp.abs(gap[1]), jnp.where(gap[0] < 0, 0, 1), jnp.where(gap[1] < 0, 2, 3))
        direction = jnp.where(motion == CHASES, along, jax.random.randint(k_where, (), 0, 4))
        to = jnp.clip(place + moves[direction], 0, size - 1)
        attacks = at(here[None], to)[0] & (role[who] == ENEMY)
        free = ~jnp.any(at(state.places, to) & there) & (~at(here[None], to)[0] | attacks)
        goes = (motion != STILL) & there[who] & free & ~dead
        places = state.places.at[who].set(jnp.where(goes, to, place))
        dead = dead | (goes & attacks)
        pays = jnp.sum(taken) - dead.astype(jnp.float32)
        left = jnp.any(there & (role == FRIEND))
        return state._replace(here=here, places=places, there=there), pays, dead | ~left

    def shown(state: State, numbers: Array) -> Array:
        numbers = jnp.where(state.there, numbers, 0)
        return jnp.zeros(shape, jnp.int32).at[state.places[:, 0], state.places[:, 1]].max(numbers)

    def observe(state: State) -> dict[str, Array]:
        return {
            "map": shown(state, 1 + state.seen_as[state.kinds]).astype(jnp.uint8),
            "here": state.here.astype(jnp.uint8),
            "descriptions": tokens[state.said],
        }

    def render(state: State) -> Array:
        board = shown(state, 1 + role_of[state.kinds]).at[state.here[0], state.here[1]].set(4)
        return drawing.grid(board, (drawing.WHITE, *COLOURS, drawing.ORANGE))

    spaces = {
        "map": Box(shape, 0, len(BEHAVIOURS), np.uint8),
        "here": Box((2,), 0, size - 1, np.uint8),
        "descriptions": Box(told.shape, 0, len(known.words) - 1, np.uint8),
    }
    return episodic(
        initial, transition, observe, Spec("entity_games", spaces, Discrete(4), time_limit, vocabulary=known), render
    )
