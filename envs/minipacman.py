"""MiniPacman: one maze, five tasks that pay for different things.

Racanière et al., "Imagination-augmented agents for deep reinforcement learning" (2017), section 5.1 and appendix C;
rules of the authors' `PillEater`. Where that code ends an episode at its frame cap as if it had terminated, here the
cap truncates; a death pays once however many ghosts are met.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import Array, Key, select
from envs.base import Box, Discrete, Environment, Spec, episodic

MAZE = np.array([[c == "#" for c in row] for row in (
    "###################",
    "#...#.........#...#",
    "#.#.#.#######.#.#.#",
    "#.................#",
    "#.#.#.#######.#.#.#",
    "#.#.............#.#",
    "#.####.#####.####.#",
    "#......#####......#",
    "#.####.#####.####.#",
    "#.#.............#.#",
    "#.#.#.#######.#.#.#",
    "#.................#",
    "#.#.#.#######.#.#.#",
    "#...#.........#...#",
    "###################",
)])  # fmt: skip
CELLS = np.argwhere(~MAZE).astype(np.int32)
"""Rows and columns of the free cells, by which everything is placed; int32 [C, 2]."""
NUM = len(CELLS)
INDEX = np.full(MAZE.shape, NUM, np.int32)
INDEX[tuple(CELLS.T)] = np.arange(NUM)
WAYS = np.array([[0, 1], [-1, 0], [0, -1], [1, 0]], np.int32)
"""Right, up, left, down."""
NEXT = INDEX[tuple((CELLS[:, None] + WAYS).transpose(2, 0, 1))]
EXITS = NEXT < NUM
"""Which ways are open, bool [C, 4]."""
NEXT = np.where(EXITS, NEXT, np.arange(NUM, dtype=np.int32)[:, None])
PILLS, DURATION, SAFE, CONFUSED = 2, 20, 5, 0.05

WALL, FOOD, MAN, GHOST, EDIBLE, PILL = range(6)
"""Planes of a symbolic observation."""
PALETTE = np.array(
    [[0, 0, 0], [255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0]]
    + [[255, round(255 * power / DURATION), 0] for power in range(DURATION + 1)],
    np.uint8,
)
"""All colours of an RGB observation: nothing, wall, food, pill, man, and ghosts by how long they can be eaten."""


class Task(NamedTuple):
    """What pays, and what ends a level."""

    step: float
    food: float
    pill: float
    ghost: float
    death: float
    ends: tuple[bool, bool, bool]  # with the food, with the pills, with the ghosts
    timer: int = 0  # or after so many steps


TASKS = {
    "regular": Task(0.0, 1.0, 2.0, 5.0, 0.0, (True, False, False)),
    "avoid": Task(0.1, -0.1, -5.0, -10.0, -20.0, (True, False, False), 128),
    "hunt": Task(0.0, 0.0, 1.0, 10.0, -20.0, (False, False, True)),
    "ambush": Task(0.0, -0.1, 0.0, 10.0, -20.0, (False, False, True)),
    "rush": Task(0.0, -0.1, 10.0, 0.0, 0.0, (False, True, False)),
}


class State(NamedTuple):
    """A level in play; places are rows of `CELLS`."""

    man: Array  # int32
    food: Array  # bool [C]
    pills: Array  # int32 [2], C where eaten
    ghosts: Array  # int32 [G], C where there is none
    ways: Array  # int32 [G], 0 to 3
    power: Array  # int32, steps for which ghosts can still be eaten
    level: Array  # int32, from 1
    timer: Array  # int32, steps in this level


def _far() -> tuple[np.ndarray, np.ndarray]:
    """For each cell of the man, where a ghost may begin, allowed ones first, [C, C]; and how many these are, [C]."""
    offset = CELLS[None] - CELLS[:, None]
    near = ((offset >= -SAFE) & (offset < SAFE)).all(-1)  # as the authors' half-open box
    return np.argsort(near, axis=1, kind="stable").astype(np.int32), (~near).sum(1).astype(np.int32)


FAR, FAR_COUNT = _far()


def minipacman(
    task: str = "regular",
    observation: Literal["symbolic", "rgb"] = "rgb",
    frame_cap: int = 3_000,
    most_ghosts: int = 12,
) -> Environment:
    """One man, two pills, food everywhere, and 1 + ⌊(level - 1) / 2⌋ ghosts; a level that is done is followed by one.

    Ghosts move with probability 0.5 + 0.1 (level - 1) a step, half of that while they can be eaten, which a pill
    allows for 20 steps. They turn at junctions only: towards the man, in 1 of 20 at random, or away when edible.

    Args:
      task: "regular", "avoid", "hunt", "ambush" or "rush"; see `TASKS`.
      observation: "rgb" or "symbolic".
      frame_cap: steps after which an episode is truncated.
      most_ghosts: at high levels; with 12 the number is as above up to level 24.

    Returns:
      RGB observations are uint8 [15, 19, 3] in colours of `PALETTE`; symbolic ones float32 [15, 19, 6]: wall, food,
      man, ghost, edible ghost, pill, where an edible ghost is power / 20 of that and the rest a ghost. Actions: stay,
      right, up, left, down. Being caught terminates.

    Raises:
      ValueError: an argument out of range.
    """
    if task not in TASKS:
        raise ValueError(f"minipacman: task is {task!r}; allowed: {', '.join(TASKS)}")
    if observation not in ("symbolic", "rgb"):
        raise ValueError(f"minipacman: observation is {observation!r}; allowed: rgb, symbolic")
    for name, value in (("frame_cap", frame_cap), ("most_ghosts", most_ghosts)):
        if value < 1:
            raise ValueError(f"minipacman: {name} must be at least 1, got {value}")
    pays = TASKS[task]
    ghosts = np.arange(most_ghosts)

    def fresh(word: Array, level: Array) -> State:
        man = (word[0] % NUM).astype(jnp.int32)
        pills = (word[1 : 1 + PILLS] % NUM).astype(jnp.int32)
        drawn = word[1 + PILLS :]
        where = jnp.asarray(FAR)[man, (drawn % jnp.asarray(FAR_COUNT)[man].astype(jnp.uint32)).astype(jnp.int32)]
        where = jnp.where(ghosts < 1 + (level - 1) // 2, where, NUM)
        nothing = jnp.int32(0)
        food = jnp.ones(NUM, bool)
        return State(man, food, pills, where, (drawn >> 30).astype(jnp.int32), nothing, level, nothing)

    words = 1 + PILLS + most_ghosts

    def draw(key: Key) -> Array:
        return jax.random.bits(key, (words + most_ghosts,))  # as many to begin with as in a step: drawn once, for both

    def initial(key: Key) -> State:
        return fresh(draw(key)[:words], jnp.int32(1))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        word = draw(key)
        onwards = fresh(word[:words], state.level + 1)
        steps = jnp.concatenate([jnp.asarray(NEXT)[state.man], state.man[None]])
        man = steps[(action - 1) % 5]  # the last entry stays
        eaten = state.food[man]
        food = state.food & (jnp.arange(NUM) != man)
        met = state.pills == man
        taken = met & (jnp.cumsum(met) == 1)  # one a step
        pills = jnp.where(taken, NUM, state.pills)
        swallowed = jnp.any(taken)
        power = jnp.where(swallowed, DURATION, jnp.maximum(state.power - 1, 0))
        reward = pays.step + pays.food * eaten + pays.pill * swallowed
        by_food, by_pills, by_ghosts = pays.ends
        done = (eaten & ~jnp.any(food) & by_food) | (swallowed & jnp.all(pills == NUM) & by_pills)
        state = State(man, food, pills, state.ghosts, state.ways, power, state.level, state.timer + 1)
        state = select(done, onwards, state)
        state, killed, caught = _haunted(state, word[words:])
        reward = reward + pays.ghost * killed + pays.death * caught
        done = killed & jnp.all(state.ghosts == NUM) & by_ghosts
        if pays.timer:
            done = done | (state.timer == pays.timer)
        return select(done, onwards, state), reward, caught

    def rgb(state: State) -> Array:
        return jnp.asarray(PALETTE)[_colours(state)]

    def render(state: State) -> Array:
        return jnp.repeat(jnp.repeat(rgb(state), 16, axis=0), 16, axis=1)

    space = Box((*MAZE.shape, 3), 0, 255, np.uint8) if observation == "rgb" else Box((*MAZE.shape, 6), 0.0, 1.0)
    spec = Spec("minipacman", space, Discrete(5), frame_cap)
    return episodic(initial, transition, rgb if observation == "rgb" else _planes, spec, render)


def _haunted(state: State, word: Array) -> tuple[State, Array, Array]:
    """The ghosts' turn: the state after it, whether one was eaten, and whether one caught the man.

    One after the other a ghost is met where it stands, or else moves and is met there. Whoever eats one is done for
    the step, so those after it do not get their turn.
    """
    turning, moving = ((half.astype(jnp.float32) + 0.5) / 2.0**16 for half in (word & 0xFFFF, word >> 16))
    alive, edible = state.ghosts < NUM, state.power > 0
    speed = (0.5 + 0.1 * (state.level - 1)) * jnp.where(edible, 0.5, 1.0)
    ways, moved = _moved(state, turning)
    standing = alive & (state.ghosts == state.man)
    moves = alive & (moving < speed) & ~(standing & edible)
    after = jnp.where(moves, moved, state.ghosts)
    met = standing | (alive & (after == state.man))
    kills = met & edible
    turn = jnp.cumsum(kills) - kills == 0
    eaten = kills & turn
    where = jnp.where(eaten, NUM, jnp.where(turn, after, state.ghosts))
    state = state._replace(ghosts=where, ways=jnp.where(moves & turn, ways, state.ways))
    return state, jnp.any(eaten), jnp.any(met) & ~edible


def _moved(state: State, uniform: Array) -> tuple[Array, Array]:
    """Ways and cells of all ghosts, if they move: int32 [G] each."""
    here, ways = jnp.minimum(state.ghosts, NUM - 1), state.ways
    four, exits = jnp.arange(4)[None], jnp.asarray(EXITS)[here]
    number = jnp.sum(exits, -1)
    onwards = exits & (four != (ways[:, None] + 2) % 4)
    blocked = ~jnp.any(exits & (four == ways[:, None]), -1)
    corridor = jnp.where(blocked, jnp.argmax(onwards, -1), ways)
    towards = (jnp.asarray(CELLS)[state.man][None] - jnp.asarray(CELLS)[here]).astype(jnp.float32)
    gain = towards @ jnp.asarray(WAYS, jnp.float32).T
    flee = state.power > 0
    wish = jnp.argmax(jnp.where(onwards, jnp.where(flee, -gain, gain), -jnp.inf), -1)
    nth = jnp.floor(uniform / CONFUSED * jnp.sum(onwards, -1))
    chance = jnp.argmax(onwards & (jnp.cumsum(onwards, -1) == 1 + nth[:, None]), -1)
    wish = jnp.where((uniform < CONFUSED) & ~flee, chance, wish)
    junction = jnp.where(jnp.any(towards != 0, -1), wish, ways)
    way = jnp.where(number == 1, jnp.argmax(exits, -1), jnp.where(number == 2, corridor, junction)).astype(jnp.int32)
    return way, jnp.asarray(NEXT)[here, way]


def _board(cells: Array) -> Array:
    """What is in each cell, `[C + 1, ...]` with that of walls last, as it lies on the board, `[15, 19, ...]`."""
    return cells[INDEX]


def _in(places: Array) -> Array:
    """In which cells any of `places[K]` is, bool [C + 1]."""
    return jnp.any(places[:, None] == jnp.arange(NUM + 1)[None], 0)


def _planes(state: State) -> Array:
    ghost, share = _in(state.ghosts), state.power.astype(jnp.float32) / DURATION
    food = jnp.append(state.food, False)
    planes = [jnp.zeros_like(food), food, _in(state.man[None]), ghost * (1 - share), ghost * share, _in(state.pills)]
    cells = jnp.stack([plane.astype(jnp.float32) for plane in planes], -1)
    return _board(cells.at[NUM].set(jax.nn.one_hot(WALL, 6)))


def _colours(state: State) -> Array:
    cells = jnp.append(jnp.where(state.food, 2, 0), 0)
    cells = jnp.where(_in(state.pills), 3, cells)
    cells = jnp.where(_in(state.ghosts), 5 + state.power, cells)
    return _board(jnp.where(_in(state.man[None]), 4, cells).at[NUM].set(1))
