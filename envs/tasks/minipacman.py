"""MiniPacman: one maze, five tasks that pay for different things.

Racanière et al., "Imagination-augmented agents for deep reinforcement learning" (2017), section 5.1 and appendix C;
rules of the authors' `PillEater`. Where that code ends an episode at its frame cap as if it had terminated, here the
cap truncates; a death pays once however many ghosts are met.
"""

from functools import reduce
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import keys
from envs.base import Array, Box, Discrete, Environment, Key, Rules, Spec, episodic, select

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
STEPS = np.column_stack([np.arange(NUM, dtype=np.int32), NEXT])
"""Where each action leads: stay, right, up, left, down; int32 [C, 5]."""
COLUMNS = np.arange(MAZE.shape[1], dtype=np.uint32)
BITS = ((np.arange(NUM)[:, None, None] == INDEX).astype(np.uint32) << COLUMNS).sum(-1, dtype=np.uint32)
"""A board of nothing but each cell, as food is held; uint32 [C, 15]."""
FULL = BITS.sum(0, dtype=np.uint32)
PILLS, DURATION, SAFE, CONFUSED = 2, 20, 5, 0.05

WALL, FOOD, MAN, GHOST, EDIBLE, PILL = range(6)
"""Planes of a symbolic observation."""
PALETTE = np.array(
    [[0, 0, 0], [255, 255, 255], [0, 0, 255], [0, 255, 255], [0, 255, 0]]
    + [[255, round(255 * power / DURATION), 0] for power in range(DURATION + 1)],
    np.uint8,
)
"""All colours of an RGB observation: nothing, wall, food, pill, man, and ghosts by how long they can be eaten."""


def _turns() -> tuple[np.ndarray, np.ndarray]:
    """The ways that ghosts take, int8 [edible, way, cell, the man's cell]; and at random, [way, cell, sixth].

    A sixth of the chances because there are 1, 2 or 3 ways to choose from. Back is not one of them.
    """
    way, four = np.arange(4)[:, None, None], np.arange(4)
    onwards = EXITS[None] & (four != (way + 2) % 4)  # [way, cell, 4]
    kept = np.broadcast_to(way[..., 0], onwards.shape[:2])
    corridor = np.where(EXITS.T, kept, onwards.argmax(-1))
    exits = EXITS.sum(-1)

    def at(junction: np.ndarray) -> np.ndarray:  # [..., way, cell, any]
        back, bend = EXITS.argmax(-1)[:, None], corridor[..., None]
        return np.where(exits[:, None] == 1, back, np.where(exits[:, None] == 2, bend, junction)).astype(np.int8)

    gain = (CELLS[None] - CELLS[:, None]) @ WAYS.T  # [cell, man, 4]
    wish = np.stack([np.where(onwards[:, :, None], sign * gain, -99).argmax(-1) for sign in (1, -1)])
    wish = np.where(np.eye(NUM, dtype=bool), kept[..., None], wish)
    nth = np.arange(6) * onwards.sum(-1)[..., None] // 6
    chance = (onwards[:, :, None] & (onwards.cumsum(-1)[:, :, None] == 1 + nth[..., None])).argmax(-1)
    return at(wish), at(chance)


WISHES, CHANCES = _turns()


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
    food: Array  # uint32 [15], a bit for each column of a row of the maze
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
        return State(man, jnp.asarray(FULL), pills, where, (drawn >> 30).astype(jnp.int32), nothing, level, nothing)

    words = 1 + PILLS + most_ghosts

    def draw(key: Key) -> Array:
        return keys.bits(key, words + most_ghosts)

    def initial(word: Array) -> State:
        return fresh(word[:words], jnp.int32(1))

    def transition(word: Array, state: State, action: Array) -> tuple[State, Array, Array]:
        onwards = fresh(word[:words], state.level + 1)
        man = _take(STEPS, state.man, action % 5)
        here = jnp.asarray(BITS)[man]
        eaten = jnp.any(state.food & here != 0)
        food = state.food & ~here
        taken = _first(state.pills == man)  # one a step
        pills = jnp.where(taken, NUM, state.pills)
        swallowed = jnp.any(taken)
        power = jnp.where(swallowed, DURATION, jnp.maximum(state.power - 1, 0))
        reward = pays.step + pays.food * eaten + pays.pill * swallowed
        by_food, by_pills, by_ghosts = pays.ends
        done = (eaten & ~jnp.any(food != 0) & by_food) | (swallowed & jnp.all(pills == NUM) & by_pills)
        state = State(man, food, pills, state.ghosts, state.ways, power, state.level, state.timer + 1)
        state = select(done, onwards, state)
        state, killed, caught = _haunted(state, word[words:])
        reward = reward + pays.ghost * killed + pays.death * caught
        done = killed & jnp.all(state.ghosts == NUM) & by_ghosts
        if pays.timer:
            done = done | (state.timer == pays.timer)
        return select(done, onwards, state), reward, caught

    def render(state: State) -> Array:
        return jnp.repeat(jnp.repeat(_colours(state), 16, axis=0), 16, axis=1)

    space, rules = Box((*MAZE.shape, 6), 0.0, 1.0), None
    if observation == "rgb":
        space = Box((*MAZE.shape, 3), 0, 255, np.uint8)
        rules = Rules(
            lambda frame: restore(frame, most_ghosts),
            lambda key, state, action: transition(draw(key), state, action),
            _colours,
        )
    spec = Spec("minipacman", space, Discrete(5), frame_cap, rules=rules)
    return episodic(initial, transition, _colours if observation == "rgb" else _planes, spec, render, draw)


def restore(observation: Array, most_ghosts: int) -> State:
    """The state that an RGB observation [15, 19, 3] shows.

    What it does not show is guessed: ghosts go towards the man, or away from him when edible, food lies beneath
    them, no two of them are in one cell, the level is the first with so many, and its time has not run yet.
    """
    cells = jnp.asarray(observation, jnp.int32)[tuple(CELLS.T)]
    food, pill, man = (jnp.all(cells == PALETTE[kind][None], -1) for kind in (2, 3, 4))
    ghost = (cells[:, 0] == 255) & (cells[:, 2] == 0)
    at, ghosts = jnp.argmax(man).astype(jnp.int32), _places(ghost, most_ghosts)
    green = jnp.max(jnp.where(ghost, cells[:, 1], 0))
    power = jnp.round(green * DURATION / 255).astype(jnp.int32)
    here = jnp.minimum(ghosts, NUM - 1)
    gain = (jnp.asarray(CELLS)[at][None] - jnp.asarray(CELLS)[here]) @ jnp.asarray(WAYS).T
    gain = jnp.where(power > 0, -gain, gain)
    ways = jnp.argmax(jnp.where(jnp.asarray(EXITS)[here], gain, -99), -1).astype(jnp.int32)
    left = jnp.sum(jnp.where((food | ghost)[:, None], BITS, 0), 0, dtype=jnp.uint32)
    level = jnp.maximum(2 * jnp.sum(ghost) - 1, 1).astype(jnp.int32)
    return State(at, left, _places(pill, PILLS), ghosts, ways, power, level, jnp.int32(0))


def _places(where: Array, most: int) -> Array:
    """The first cells of those that are true, int32 [most], and `NUM` after the last of them."""
    return -jax.lax.top_k(-jnp.where(where, np.arange(NUM, dtype=np.int32), NUM), most)[0]


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
    number = np.arange(len(kills))
    last = jnp.min(jnp.where(kills, number, len(kills)))
    turn = number <= last
    where = jnp.where(number == last, NUM, jnp.where(turn, after, state.ghosts))
    state = state._replace(ghosts=where, ways=jnp.where(moves & turn, ways, state.ways))
    return state, last < len(kills), jnp.any(met) & ~edible


def _moved(state: State, uniform: Array) -> tuple[Array, Array]:
    """Ways and cells of all ghosts, if they move: int32 [G] each."""
    here, flee = jnp.minimum(state.ghosts, NUM - 1), state.power > 0
    wished = _take(WISHES, flee.astype(jnp.int32), state.ways, here, state.man)
    confused = (uniform < CONFUSED) & ~flee & (here != state.man)
    sixth = jnp.minimum((uniform * (6 / CONFUSED)).astype(jnp.int32), 5)
    chance = _take(CHANCES, state.ways, here, sixth)
    way = jnp.where(confused, chance, wished).astype(jnp.int32)
    return way, _take(NEXT, here, way)


def _take(table: np.ndarray, *index: Array) -> Array:
    """`table[index]` of an index within bounds, as one number: several would be written side by side first."""
    place: Any = 0
    for size, part in zip(table.shape, index, strict=True):
        place = place * size + part
    return jnp.asarray(table.ravel()).at[place].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _first(where: Array) -> Array:
    """`where[K]` with none but the first that is true."""
    number = np.arange(len(where))
    return number == jnp.min(jnp.where(where, number, len(where)))


def _in(places: Array) -> Array:
    """Where on the board any of `places[K]` is, bool [15, 19]."""
    small = INDEX.astype(np.uint8)  # a byte each: four times as many compared at once
    return reduce(jnp.logical_or, [small == places[k].astype(jnp.uint8) for k in range(len(places))]) & ~MAZE


def _food(state: State) -> Array:
    return (state.food[:, None] >> COLUMNS[None]) & 1 != 0


def _planes(state: State) -> Array:
    # Looked up: XLA rounds 1 - power / 20 in one way or another, depending on what it fuses it with.
    share = np.arange(DURATION + 1) * np.float64(np.float32(1 / DURATION))
    edible, other = (_take(part.astype(np.float32), state.power) for part in (share, 1 - share))
    ghost = _in(state.ghosts)
    planes = [MAZE, _food(state), _in(state.man[None]), ghost * other, ghost * edible, _in(state.pills)]
    return jnp.stack([jnp.asarray(plane, jnp.float32) for plane in planes], -1)


def _colours(state: State) -> Array:
    """An RGB observation. A colour is one number until the end: look-ups would take most of the time."""
    packed = PALETTE.astype(np.uint32) @ np.array([1, 1 << 8, 1 << 16], np.uint32)
    nothing, wall, food, pill, man = packed[:5]
    board = jnp.where(_food(state), food, nothing)
    board = jnp.where(_in(state.pills), pill, board)
    board = jnp.where(_in(state.ghosts), _take(packed[5:], state.power), board)
    board = jnp.where(MAZE, wall, jnp.where(_in(state.man[None]), man, board))
    return (board[..., None] >> np.array([[[0, 8, 16]]], np.uint32)).astype(jnp.uint8)
