"""Sokoban: push every box onto a target; what is pushed wrongly cannot be undone.

Rewards and limit of Racanière et al., "Imagination-augmented agents for deep reinforcement learning" (2017),
section 4.1 and appendix D.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Box, Discrete, Environment, Key, Rules, Spec, episodic
from envs.tasks import sokoban_levels as makers
from envs.tasks.sokoban_levels import BOX, PLAYER, TARGET, WALL

FLOOR, WALLS, GOAL, CRATE, STORED, MAN, MAN_ON_GOAL = range(7)
"""Kinds of a cell, the classes of a symbolic observation."""
KINDS = 7
SIDE = 8
"""Pixels of a cell's side."""


class State(NamedTuple):
    """A board in play."""

    board: Array  # uint8 [H, W], bits of WALL, TARGET and BOX
    player: Array  # int32, row * W + column
    loose: Array  # int32, boxes off a target, counted along: to look at the whole board took most of a step


def sokoban(
    size: int = 10,
    boxes: int = 4,
    fewest: int | None = None,
    levels: str | None = None,
    num_levels: int | None = None,
    level_seed: int = 0,
    observation: Literal["symbolic", "pixels"] = "symbolic",
    noop: bool = False,
    time_limit: int = 120,
) -> Environment:
    """Each step costs 0.1; a box pushed onto a target pays 1, off it -1, the last one 10 more, and it terminates.

    Args:
      size: side of a level that is made here, with its outer wall.
      boxes: in such a level, at most.
      fewest: at least; by default as many.
      levels: a folder of Boxoban's text files, or one of them, to read levels from instead of making them.
      num_levels: how many to make, by default 1,000, or to read, by default all. An episode draws one of them.
      level_seed: of the levels that are made.
      observation: "symbolic" or "pixels".
      noop: a fifth action that does nothing, as in the paper.
      time_limit: steps after which an episode is truncated.

    Returns:
      Symbolic observations are float32 [H, W, 7], the kind of each cell one-hot; pixels are uint8 [8 H, 8 W, 3].
      Actions: up, down, left, right (and stay). A move into a wall, or of two boxes, changes nothing.

    Raises:
      ValueError: an argument out of range, or levels that cannot be read.
    """
    if observation not in ("symbolic", "pixels"):
        raise ValueError(f"sokoban: observation is {observation!r}; allowed: symbolic, pixels")
    if time_limit < 1:
        raise ValueError(f"sokoban: time_limit must be at least 1, got {time_limit}")
    if levels is None:
        table = makers.generate(num_levels or 1_000, size, boxes, fewest, level_seed)
    else:
        table = makers.read(str(levels), num_levels)
    num, height, width = table.shape
    players = (table & PLAYER).reshape(num, -1).argmax(1).astype(np.int32)
    boards = table & np.uint8(WALL | TARGET | BOX)
    loose = ((table & (BOX | TARGET)) == BOX).reshape(num, -1).sum(1).astype(np.int32)

    def initial(key: Key) -> State:
        # The key is new and used for nothing else: its own bits will do, and drawing others would double the cost.
        level = (jax.random.key_data(key)[-1] % num).astype(jnp.int32)
        return State(*(jnp.asarray(column)[level] for column in (boards, players, loose)))

    spaces = {"symbolic": Box((height, width, KINDS), 0.0, 1.0)}
    spaces["pixels"] = Box((height * SIDE, width * SIDE, 3), 0, 255, np.uint8)
    rules = Rules(restore, transition, symbols) if observation == "symbolic" else None
    spec = Spec("sokoban", spaces[observation], Discrete(5 if noop else 4), time_limit, rules=rules)
    return episodic(initial, transition, symbols if observation == "symbolic" else pixels, spec, render)


def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
    """The rules, on a board of any size: `(key, state, action) -> (state, reward, solved)`; the key is not used."""
    del key
    board, index = state.board, _index(state.board)
    offset = jnp.array([-board.shape[1], board.shape[1], -1, 1, 0], jnp.int32)[action]
    ahead, beyond = state.player + offset, state.player + 2 * offset
    at_ahead, at_beyond = _at(board, ahead), _at(board, beyond)
    boxed = (at_ahead & BOX) != 0
    pushed = boxed & ((at_beyond & (WALL | BOX)) == 0)
    moved = ((at_ahead & WALL) == 0) & (pushed | ~boxed)
    board = jnp.where(pushed & ((index == ahead) | (index == beyond)), board ^ np.uint8(BOX), board)
    stored = jnp.where(pushed, (at_beyond & TARGET).astype(jnp.float32) - (at_ahead & TARGET), 0.0) / TARGET
    lost = pushed & ((beyond < 0) | (beyond >= board.size))  # off a board that was imagined without its wall
    loose = state.loose - stored.astype(jnp.int32) - lost
    done = loose == 0
    player = jnp.where(moved, ahead, state.player)
    return State(board, player, loose), stored - 0.1 + jnp.where(done, 10.0, 0.0), done


def symbols(state: State) -> Array:
    """The symbolic observation, float32 [H, W, 7]."""
    return jax.nn.one_hot(_kinds(state), KINDS)


def pixels(state: State) -> Array:
    """The observation in pixels, uint8 [8 H, 8 W, 3]."""
    kind = _kinds(state)
    height, width = kind.shape
    picture = jnp.asarray(SPRITES)[kind].transpose((0, 2, 1, 3, 4))
    return picture.reshape((height * SIDE, width * SIDE, 3))


def render(state: State) -> Array:
    """A frame to film, four times as large."""
    return jnp.repeat(jnp.repeat(pixels(state), 4, axis=0), 4, axis=1)


def restore(observation: Array) -> State:
    """The state that a symbolic observation [H, W, 7] shows; all of it is visible."""
    kind = jnp.argmax(observation, -1)
    player = jnp.argmax(jnp.ravel((kind == MAN) | (kind == MAN_ON_GOAL)))
    bits = jnp.array([0, WALL, TARGET, BOX, BOX | TARGET, 0, TARGET], jnp.uint8)
    return State(bits[kind], player.astype(jnp.int32), jnp.sum(kind == CRATE, dtype=jnp.int32))


def solved(observation: Array) -> Array:
    """Whether symbolic observations [..., H, W, 7] show no box off a target."""
    return ~jnp.any(jnp.argmax(observation, -1) == CRATE, (-2, -1))


def _at(board: Array, place: Array) -> Array:
    """The cell at `place`, row * W + column, and nothing off the board."""
    return jnp.ravel(board).at[place].get(mode="fill", fill_value=0, wrap_negative_indices=False)


def _index(board: Array) -> np.ndarray:
    return np.arange(board.size, dtype=np.int32).reshape(board.shape)


def _kinds(state: State) -> Array:
    on_target = (state.board & TARGET) != 0
    kind = jnp.where(on_target, GOAL, FLOOR)
    kind = jnp.where(_index(state.board) == state.player, jnp.where(on_target, MAN_ON_GOAL, MAN), kind)
    kind = jnp.where((state.board & BOX) != 0, jnp.where(on_target, STORED, CRATE), kind)
    return jnp.where((state.board & WALL) != 0, WALLS, kind)


def _sprites() -> np.ndarray:
    """uint8 [7, 8, 8, 3]."""
    row, column = np.mgrid[:SIDE, :SIDE]
    from_centre = np.hypot(row - 3.5, column - 3.5)
    black, brick, mortar = (0, 0, 0), (142, 68, 40), (95, 40, 20)
    red, wood, dark, green, blue = (214, 39, 40), (222, 184, 120), (120, 84, 40), (44, 160, 44), (60, 120, 220)

    def painted(*layers: tuple[np.ndarray, tuple[int, int, int]]) -> np.ndarray:
        sprite = np.zeros((SIDE, SIDE, 3), np.uint8)
        for mask, colour in layers:
            sprite[mask] = colour
        return sprite

    every, joints = row >= 0, (row % 4 == 3) | ((column + row // 4 * 4) % 8 == 3)
    rim, crossed = (np.maximum(abs(row - 3.5), abs(column - 3.5)) > 3), (row == column) | (row + column == 7)
    goal: Any = (abs(row - 3.5) + abs(column - 3.5) < 3, red)
    man: Any = [(from_centre < 3.3, blue), (from_centre < 1.2, (255, 255, 255))]
    return np.stack([
        painted((every, black)),
        painted((every, brick), (joints, mortar)),
        painted(goal),
        painted((every, wood), (rim | crossed, dark)),
        painted((every, green), (rim | crossed, dark)),
        painted(*man),
        painted((every, (70, 12, 12)), *man),
    ])  # fmt: skip


SPRITES = _sprites()
