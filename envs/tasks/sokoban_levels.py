"""Levels of Sokoban: read from text files as Boxoban's are, or made by playing in reverse.

A level is uint8 [H, W], bits of `WALL`, `TARGET`, `BOX` and `PLAYER`. Boxoban (Guez et al., "An investigation of
model-free planning", 2018) has 900,000 levels of 10x10 with 4 boxes, in files of 1,000:

    ; 0
    ##########
    ###    . #
    ...

with # for a wall, @ for the player, $ for a box, . for a target, * and + for box and player on a target.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

WALL, TARGET, BOX, PLAYER = 1, 2, 4, 8
SYMBOLS = {"#": WALL, " ": 0, ".": TARGET, "$": BOX, "*": BOX | TARGET, "@": PLAYER, "+": PLAYER | TARGET}
MOVES = np.array([[-1, 0], [1, 0], [0, -1], [0, 1]])
"""Row and column of the actions up, down, left and right."""


def parse(text: str) -> list[np.ndarray]:
    """The levels of a text, each uint8 [H, W] of its own size; what lies right of a short line is wall.

    Raises:
      ValueError: a symbol that Sokoban does not know.
    """
    blocks: list[list[str]] = [[]]
    for line in text.splitlines():
        if line.startswith(";") or not line.strip():
            blocks.append([])
        else:
            blocks[-1].append(line)
    found = []
    for lines in filter(None, blocks):
        unknown = set("".join(lines)) - SYMBOLS.keys()
        if unknown:
            raise ValueError(f"symbol {min(unknown)!r} in a level; allowed: {' '.join(SYMBOLS)} and the space")
        width = max(map(len, lines))
        found.append(np.array([[SYMBOLS[c] for c in line.ljust(width, "#")] for line in lines], np.uint8))
    return found


@lru_cache(maxsize=4)
def read(folder: str, most: int | None = None) -> np.ndarray:
    """The levels of all text files below a folder, in the order of their names, uint8 [N, H, W].

    Smaller levels are surrounded by wall.

    Args:
      folder: holds `*.txt` at any depth; or one such file.
      most: levels to read; None for all.

    Raises:
      ValueError: there is no level, or one that cannot be played, with its file.
    """
    path = Path(folder)
    found: list[np.ndarray] = []
    for file in [path] if path.is_file() else sorted(path.rglob("*.txt")):
        try:
            levels = parse(file.read_text())
            for i, level in enumerate(levels):
                check(level, f"level {i}")
        except ValueError as error:
            raise ValueError(f"levels {file}: {error}") from None
        found += levels
        if most is not None and len(found) >= most:
            break
    if not found:
        raise ValueError(f"levels {folder}: no level in it; give a folder with *.txt files, or one such file")
    found = found[:most]
    height, width = (max(level.shape[axis] for level in found) for axis in (0, 1))
    board = np.full((len(found), height, width), WALL, np.uint8)
    for whole, level in zip(board, found, strict=True):
        whole[: level.shape[0], : level.shape[1]] = level
    return board


def check(level: np.ndarray, name: str) -> None:
    """Refuses a level that cannot be played.

    Raises:
      ValueError: not one player, not as many boxes as targets, no box off its target, or a gap in the outer wall.
    """
    players, boxes, targets = (np.count_nonzero(level & bit) for bit in (PLAYER, BOX, TARGET))
    if players != 1 or boxes != targets:
        raise ValueError(f"{name} has {players} players, {boxes} boxes and {targets} targets; allowed: 1, n and n")
    if not np.any((level & (BOX | TARGET)) == BOX):
        raise ValueError(f"{name} is solved at the start; a box must be off the targets")
    edge = np.concatenate([level[0], level[-1], level[:, 0], level[:, -1]])
    if not np.all(edge & WALL):
        raise ValueError(f"{name} has a gap in its outer wall")


AMONG = 8
"""Rooms that are tried for each level that is made."""


@lru_cache(maxsize=16)
def generate(num: int, size: int, boxes: int, fewest: int | None = None, seed: int = 0) -> np.ndarray:
    """Solvable levels, uint8 [num, size, size]: rooms dug by a random walk, boxes pulled off their targets.

    After Racanière et al., "Imagination-augmented agents" (2017), appendix D: play starts with every box on a target
    and goes backwards, the player pulling; every state that it passes can be solved by going forwards. Kept is the one
    with the largest (changes of the pulled box) × (distance of the boxes from where they stood), of `AMONG` rooms with
    as many boxes.

    Args:
      num: of levels.
      size: of a side, with the outer wall; at least 5.
      boxes: the most in a level.
      fewest: the least in a level; by default `boxes`.
      seed: of the random numbers.

    Raises:
      ValueError: a number out of range, or so many boxes that no level is found.
    """
    fewest = boxes if fewest is None else fewest
    if size < 5 or not 1 <= fewest <= boxes or num < 1:
        raise ValueError(f"levels: size {size} (from 5), boxes {fewest} to {boxes} (from 1), {num} levels (from 1)")
    rng, left = np.random.default_rng(seed), num
    found: list[np.ndarray] = []
    for _ in range(50):
        found.append(_pulled(rng, left + left // 4 + 4, size, boxes, fewest)[:left])
        left -= len(found[-1])
        if not left:
            return np.concatenate(found)
    raise ValueError(f"levels: no room for {boxes} boxes on a board of size {size}")


def _pulled(rng: np.random.Generator, num: int, size: int, boxes: int, fewest: int) -> np.ndarray:
    """Those of `num` attempts that gave a level; all rooms of all of them are played at once, along the first axis.

    Cells are numbers, row * size + column. Boxes that are not used lie in cell 0, a corner of the wall.
    """
    walls = _dug(rng, num * AMONG, size).reshape(-1, size * size)
    count, roomy = len(walls), (~walls).sum(1) > boxes + 1
    each = np.arange(count)
    cells = np.argsort(walls + rng.random(walls.shape), axis=1)[:, : boxes + 1]  # of floor, in random order
    used = np.repeat(np.arange(boxes) < rng.integers(fewest, boxes + 1, size=(num, 1)), AMONG, 0)
    origin, player = np.where(used, cells[:, :boxes], 0), np.where(roomy, cells[:, boxes], size + 1)
    rows, columns = np.divmod(np.arange(size * size), size)
    distance = abs(rows[:, None] - rows) + abs(columns[:, None] - columns)
    place, last, changes = origin.copy(), np.full(count, -1), np.zeros(count, int)
    best, best_place, best_player = np.zeros(count, int), place, player
    step = np.ones(count, int)
    for _ in range(25 * boxes + 4 * size * size):
        turned = (MOVES @ [size, 1])[rng.integers(4, size=count)]
        step = np.where(rng.random(count) < 0.5, turned, step)
        ahead, behind = player + step, player - step
        free = ~walls[each, ahead] & ~(place == ahead[:, None]).any(1)
        pulls = (place == behind[:, None]) & (free & (rng.random(count) < 0.8))[:, None]
        place = np.where(pulls, player[:, None], place)
        player = np.where(free, ahead, player)
        pulled = np.where(pulls.any(1), pulls.argmax(1), last)
        changes, last = changes + (pulled != last), pulled
        score = changes * distance[place, origin].sum(1)
        better = score > best
        best, best_player = np.where(better, score, best), np.where(better, player, best_player)
        best_place = np.where(better[:, None], place, best_place)
    board = walls.astype(np.uint8) * WALL
    for bit, where in ((TARGET, origin), (BOX, best_place)):
        board[np.repeat(each[:, None], boxes, 1)[used], where[used]] |= bit
    board[each, best_player] |= PLAYER
    unsolved = roomy & ((board & (TARGET | BOX)) == BOX).any(1)
    hardest = np.where(unsolved, best, -1).reshape(num, AMONG).argmax(1) + AMONG * np.arange(num)
    return board[hardest[unsolved[hardest]]].reshape(-1, size, size)


def _dug(rng: np.random.Generator, num: int, size: int) -> np.ndarray:
    """Boards of wall, bool [num, size, size], with floor where a random walk and some cells beside it went."""
    walls, each = np.ones((num, size, size), bool), np.arange(num)
    at, way = rng.integers(1, size - 1, size=(num, 2)), rng.integers(4, size=num)
    for _ in range(2 * (size - 2) ** 2):
        way = np.where(rng.random(num) < 0.35, rng.integers(4, size=num), way)
        at = np.clip(at + MOVES[way], 1, size - 2)
        beside = np.clip(at + MOVES[rng.integers(4, size=num)] * (rng.random((num, 1)) < 0.4), 1, size - 2)
        for cell in (at, beside):
            walls[each, cell[:, 0], cell[:, 1]] = False
    return walls
