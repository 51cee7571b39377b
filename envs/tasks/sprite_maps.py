"""Maps with sprites and an instruction that says where to go: beside a sprite, or to the outermost one of a kind.

After the domain of Janner, Narasimhan and Barzilay, "Representation learning for grounded spatial reasoning", TACL 2018
(arXiv:1707.03938). Local instructions say how the goal lies to a sprite of which the map has one, global ones which of
several alike is meant by its place on the whole map. Maps are new in every episode.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, grids, text
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

SPRITES = ("star", "circle", "triangle", "heart", "spade", "diamond")
"""Of which a map has one each."""
ALIKE = ("tree", "rock")
"""Of which a map has `copies` each."""
CELLS = ("grass", "puddle", *SPRITES, *ALIKE)
"""What the numbers of a map stand for."""
LOCAL = text.Template(
    "reach the cell {where} the {sprite}", {"where": ("above", "below", "left of", "right of"), "sprite": SPRITES}
)
GLOBAL = text.Template(
    "reach the {end} {sprite}",
    {"end": ("northernmost", "southernmost", "westernmost", "easternmost"), "sprite": ALIKE},
)
"""Directions are in the order of `grids.MOVES`; north is up."""
COLOURS = ((196, 226, 172), (150, 190, 230), *drawing.COLOURS[:6], (0, 100, 0), (110, 110, 110))
"""Of the kinds of cells."""
Instructions = Literal["both", "local", "global"]
Pairs = Literal["all", "seen", "unseen"]


class State(NamedTuple):
    """The map, what is asked, and where the agent is."""

    cells: Array  # int32 [size, size], of `CELLS`
    goal: Array  # bool [size, size]
    sentence: Array  # int32, of local ones and then global ones
    here: Array  # int32 [2], row and column


def outermost(found: Array) -> Array:
    """The cells that lie farthest in each direction of those that are marked, bool `[H, W]` to `[4, H, W]`."""
    rows, columns = (jnp.arange(n) for n in found.shape)
    places = (-rows[:, None], rows[:, None], -columns[None], columns[None])
    far = [jnp.where(found, jnp.broadcast_to(place, found.shape), -found.size) for place in places]
    return jnp.stack([found & (each == jnp.max(each)) for each in far])


def goals(cells: Array) -> Array:
    """Where every sentence leads on a map, int32 `[H, W]` to bool `[sentences, H, W]`; nowhere if that is off it."""
    first = CELLS.index(SPRITES[0])
    local = []
    for direction in range(4):
        back = direction ^ 1  # a cell is above the sprite that lies below it
        local += [grids.beside(cells == first + i, False)[..., back] for i in range(len(SPRITES))]
    ends = [outermost(cells == first + len(SPRITES) + i) for i in range(len(ALIKE))]
    return jnp.concatenate([jnp.stack(local), jnp.stack(ends, 1).reshape((-1, *cells.shape))])


def sprite_maps(
    size: int = 8,
    copies: int = 3,
    density: float = 0.1,
    puddle: float = 0.25,
    instructions: Instructions = "both",
    pairs: Pairs = "all",
    held_out: int = 6,
    time_limit: int | None = None,
) -> Environment:
    """Moves in four directions over everything; edges are not passed. Ends at the goal, which pays 1.

    A local and a global instruction are equally likely where there are both, and all of a kind whose goal is on the
    map. The agent starts in any cell that is no goal.

    Args:
      size: cells along a side, at least 5.
      copies: of each of the sprites that are alike, at least 2.
      density: of puddles, 0 or more and below 1.
      puddle: what entering a puddle costs, 0 or more; a goal has no puddle.
      instructions: local ones, global ones, or both.
      pairs: of a direction and a sprite in local instructions: all, those that are not held out, or those that are.
      held_out: how many of the 24 are held out.
      time_limit: steps, by default four times `size`.

    Returns:
      Observation: `map`, uint8 `[size, size]` of `CELLS`; `here`, uint8 `[2]`, the agent's row and column; and
      `instruction`, uint8 `[length]`, the numbers of words.

    Raises:
      ValueError: an argument out of range.
    """
    limit = 4 * size if time_limit is None else time_limit
    for name, value, least in (
        ("size", size, 5),
        ("copies", copies, 2),
        ("puddle", puddle, 0),
        ("time_limit", limit, 1),
    ):
        if value < least:
            raise ValueError(f"sprite_maps: {name} must be at least {least}, got {value}")
    if not 0 <= density < 1:
        raise ValueError(f"sprite_maps: density must be at least 0 and below 1, got {density}")
    for name, word, words in (("instructions", instructions, Instructions), ("pairs", pairs, Pairs)):
        if word not in get_args(words):
            raise ValueError(f"sprite_maps: {name} is {word!r}; allowed: {', '.join(get_args(words))}")
    placed = np.array([2 + i for i in range(len(SPRITES))] + [8 + i for i in range(len(ALIKE)) for _ in range(copies)])
    if placed.size > size * size // 2:
        raise ValueError(f"sprite_maps: copies is {copies}; allowed: as many as fill half of {size} x {size} cells")
    known = text.vocabulary([*text.sentences(LOCAL)[0].texts, *text.sentences(GLOBAL)[0].texts], "instruction")
    length = max(len(text.split(each)) for each in (*text.sentences(LOCAL)[0].texts, *text.sentences(GLOBAL)[0].texts))
    local, ends = (
        text.sentences(template, known, length, unseen)[0] for template, unseen in ((LOCAL, held_out), (GLOBAL, 0))
    )
    said = {"all": np.ones(len(local.texts), bool), "seen": ~local.held_out, "unseen": local.held_out}[pairs]
    if not said.any():
        raise ValueError(f"sprite_maps: held_out is {held_out}; with pairs {pairs!r} some must be left to say")
    tokens = jnp.asarray(np.concatenate([local.tokens, ends.tokens]), jnp.uint8)
    # A kind of instructions is as likely as the other, whatever number of sentences it has.
    weights = np.concatenate(
        [said / said.sum() * (instructions != "global"), np.full(len(ends.texts), 1 / len(ends.texts))]
    )
    weights[len(said) :] *= instructions != "local"
    shape = (size, size)

    def initial(key: Key) -> State:
        k_map, k_sentence = jax.random.split(key)
        drawn = jax.random.uniform(k_map, (3, *shape))
        order = jnp.argsort(drawn[0].reshape(-1))
        cells = jnp.where(drawn[1] < density, 1, 0).reshape(-1).at[order[: placed.size]].set(jnp.asarray(placed))
        cells = cells.reshape(shape).astype(jnp.int32)
        leads = goals(cells)
        likely = jnp.asarray(weights, jnp.float32) * jnp.any(leads, (1, 2))
        sentence = jax.random.categorical(k_sentence, jnp.log(likely)).astype(jnp.int32)
        goal = leads[sentence]
        cells = jnp.where(goal & (cells == 1), 0, cells)
        return State(cells, goal, sentence, grids.one_of(drawn[2], ~goal))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        row, column = grids.moved(state.here[0], state.here[1], action, jnp.zeros(shape, bool))
        there = state.goal[row, column]
        pays = jnp.where(there, 1.0, jnp.where(state.cells[row, column] == 1, -puddle, 0.0))
        return state._replace(here=jnp.stack([row, column])), pays, there

    def observe(state: State) -> dict[str, Array]:
        return {
            "map": state.cells.astype(jnp.uint8),
            "here": state.here.astype(jnp.uint8),
            "instruction": tokens[state.sentence],
        }

    def render(state: State) -> Array:
        frame, side = drawing.grid(state.cells, COLOURS), 16
        wide = lambda mask: jnp.repeat(jnp.repeat(mask, side, 0), side, 1)  # noqa: E731
        inner = (jnp.arange(size * side) % side >= 4) & (jnp.arange(size * side) % side < 11)
        inside = inner[:, None] & inner[None]
        here = jnp.zeros(shape, bool).at[state.here[0], state.here[1]].set(True)
        return drawing.paint(
            drawing.paint(frame, wide(state.goal) & inside, drawing.WHITE), wide(here) & inside, drawing.BLACK
        )

    seen = {
        "map": Box(shape, 0, len(CELLS) - 1, np.uint8),
        "here": Box((2,), 0, size - 1, np.uint8),
        "instruction": text.space(known, length, np.uint8),
    }
    spec = Spec("sprite_maps", seen, Discrete(4), limit, vocabulary=known)
    return episodic(initial, transition, observe, spec, render)
