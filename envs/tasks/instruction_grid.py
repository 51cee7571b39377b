"""A grid with eight things, and a list of instructions about them, such as "pick up the ball".

After Oh, Singh, Lee and Kohli, "Zero-shot task generalization with multi-task deep reinforcement learning", ICML 2017,
whose rooms are seen in three dimensions. Some pairs of verb and thing are held out of training.
"""

from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, text
from envs.base import Array, Box, Discrete, Environment, Key, Spec, Subtasks, episodic

VERBS = ("visit", "pick up", "transform")
THINGS = ("apple", "ball", "coin", "drum", "fish", "key", "lamp", "star")
TEMPLATE = text.Template("{verb} the {thing}", {"verb": VERBS, "thing": THINGS})
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
PICK, TRANSFORM = 4, 5
STAR = len(THINGS) - 1
ABOUT = 5
"""Numbers that an observation has about each thing: whether it is there, was transformed, is underfoot, and where."""
STAYS, PAYS = 15, 0.5
"""For how many steps a random event is there, and what it pays to pick it up."""
PER_LINE = 40
"""Steps of the time limit for each instruction."""

Pairs = Literal["seen", "unseen", "all"]
Pay = Literal["each", "whole"]


class State(NamedTuple):
    """The grid, and how much of the list is done."""

    cell: Array  # int32, the agent's, row by row
    place: Array  # int32 [8], the cell of each thing, -1 where it is gone
    changed: Array  # bool [8], it was transformed
    lines: Array  # int32 [longest], the instructions, -1 where there is none
    done: Array  # int32, how many of them are
    left: Array  # int32, steps until the random event is over


def instruction_grid(
    pairs: Pairs = "all",
    count: int = 1,
    longest: int = 4,
    held_out: int = 8,
    size: int = 8,
    events: float = 0.0,
    pays: Pay = "each",
    time_limit: int | None = None,
) -> Environment:
    """Moves in four directions, picking up and transforming what is underfoot; ends when the list is done.

    To visit a thing is to stand on it. What was picked up is gone; what was transformed stays, and looks otherwise. An
    episode also ends, with nothing more to gain, when the instruction at hand is about a thing that is gone.

    Args:
      pairs: of verb and thing that are asked for: those for training, those held out, or all.
      count: instructions of a list, each about another thing.
      longest: lines of the text, which are empty beyond the list; at least `count`.
      held_out: pairs that are held out of training, of 24.
      size: cells along a side.
      events: probability, in each step, that the star shows up for 15 steps, which pays 0.5 to pick up. It is then not
        there from the start, and in no instruction. 0 for none.
      pays: for "each" instruction its share of 1, or 1 for the "whole" list.
      time_limit: steps; None for 40 for each instruction.

    Returns:
      Observation: `things` float32 [8, 5], numbers of each thing: it is there; it was transformed; it is underfoot;
      rows and columns from the agent to it, over 4; and `instruction` int32 [longest, 4], see `spec.vocabulary`.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, least in (("count", count, 1), ("size", size, 3), ("time_limit", time_limit or 1, 1)):
        if value < least:
            raise ValueError(f"instruction_grid: {name} must be at least {least}, got {value}")
    for name, word, kind in (("pairs", pairs, Pairs), ("pays", pays, Pay)):
        if word not in get_args(kind):
            raise ValueError(f"instruction_grid: {name} is {word!r}; allowed: {', '.join(get_args(kind))}")
    if not 0 <= events <= 1:
        raise ValueError(f"instruction_grid: events must be in [0, 1], got {events}")
    if longest < count:
        raise ValueError(f"instruction_grid: longest must be at least the count of {count}, got {longest}")
    told, known = text.sentences(TEMPLATE, unseen=held_out)
    asked = {"seen": ~told.held_out, "unseen": told.held_out, "all": told.held_out | True}[pairs]
    asked = asked.reshape(len(VERBS), len(THINGS))
    if events:
        asked[:, STAR] = False
    if asked.any(axis=0).sum() < count:
        raise ValueError(
            f"instruction_grid: count must be at most {asked.any(axis=0).sum()} with these pairs, got {count}"
        )
    allowed, kinds = jnp.asarray(asked), len(THINGS)
    moves, sentences = jnp.asarray(MOVES, jnp.int32), jnp.asarray(told.tokens)

    def begun(key: Key, subtask: Any = None) -> State:
        k_cells, k_things, k_verbs = jax.random.split(key, 3)
        cells = jax.lax.top_k(jax.random.uniform(k_cells, (size * size,)), kinds + 1)[1].astype(jnp.int32)
        order = jnp.where(jnp.any(allowed, axis=0), jax.random.uniform(k_things, (kinds,)), -1.0)
        things = jax.lax.top_k(order, count)[1]
        chance = jax.random.uniform(k_verbs, (len(VERBS), count))
        verbs = jnp.argmax(jnp.where(allowed[:, things], chance, -1.0), axis=0)
        chosen = verbs * kinds + things if subtask is None else jnp.full(1, subtask)
        lines = jnp.full(longest, -1, jnp.int32).at[: chosen.shape[0]].set(chosen.astype(jnp.int32))
        place = cells[1:].at[STAR].set(-1) if events else cells[1:]
        return State(cells[0], place, jnp.zeros(kinds, bool), lines, jnp.int32(0), jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        at = jnp.stack([state.cell // size, state.cell % size]) + moves[jnp.minimum(action, 3)]
        inside = (action < PICK) & jnp.all((at >= 0) & (at < size))
        cell = jnp.where(inside, at[0] * size + at[1], state.cell)
        here = state.place == cell
        place = jnp.where(here & (action == PICK), -1, state.place)
        changed = state.changed | (here & (action == TRANSFORM))
        reward, left = jnp.float32(0), state.left
        if events:
            k_chance, k_cell = jax.random.split(key)
            reward += PAYS * (here[STAR] & (action == PICK))
            gone = place[STAR] < 0
            shows = gone & (jax.random.uniform(k_chance) < events)
            left = jnp.where(shows, STAYS, jnp.maximum(left - 1, 0))
            where = jax.random.randint(k_cell, (), 0, size * size)
            star = jnp.where(shows, where, jnp.where(left > 0, place[STAR], -1))
            place, changed = place.at[STAR].set(star), changed.at[STAR].set(changed[STAR] & ~shows)
        line = state.lines[jnp.minimum(state.done, longest - 1)]
        verb, thing = line // kinds, line % kinds
        there = place[thing]
        reached = jnp.stack([there == cell, there < 0, changed[thing]])[verb]
        lost = ~reached & (verb != 1) & (there < 0)
        done = state.done + reached
        total = jnp.sum(state.lines >= 0)
        share = 1 / total if pays == "each" else (done == total)
        after = State(cell, place, changed, state.lines, done.astype(jnp.int32), left)
        return after, reward + jnp.where(reached, share, 0.0), (done == total) | lost

    def observe(state: State) -> dict[str, Array]:
        there = state.place >= 0
        rows, columns = ((f(state.place) - f(state.cell)) / 4.0 for f in (lambda x: x // size, lambda x: x % size))
        about = jnp.stack([there, state.changed, state.place == state.cell, rows, columns]).astype(jnp.float32)
        lines = jnp.where((state.lines >= 0)[:, None], sentences[jnp.maximum(state.lines, 0)], text.PADDING)
        return {"things": jnp.where(there[None], about, 0.0).T, "instruction": lines}

    def render(state: State) -> Array:
        board = jnp.zeros((size + 1) * size + kinds, jnp.int32)
        shown = jnp.where(state.changed, kinds + 1, jnp.arange(1, kinds + 1))
        board = board.at[jnp.where(state.place >= 0, state.place, board.size)].set(shown, mode="drop")
        board = board.at[state.cell].set(kinds + 2)
        ahead = (state.lines >= 0) & (jnp.arange(longest) >= state.done)
        strip = size * size + jnp.minimum(jnp.arange(longest), size - 1)
        board = board.at[strip].set(jnp.where(ahead, state.lines % kinds + 1, 0))
        colours = (drawing.WHITE, *drawing.COLOURS[:kinds], drawing.GREY, drawing.BLACK)
        return drawing.grid(board[: (size + 1) * size].reshape(size + 1, size), colours)

    def single(subtask: Any) -> Environment:
        """The task of one instruction."""
        plain = instruction_grid("seen", 1, longest, held_out, size)
        if subtask is None or events:
            return plain if plain.spec.subtasks is None or subtask is None else plain.spec.subtasks.single(subtask)
        alone = spec._replace(time_limit=PER_LINE)
        return episodic(lambda key: begun(key, subtask), transition, observe, alone, render)

    bound = max(1.0, size / 4)
    observation = {
        "things": Box((kinds, ABOUT), -bound, bound),
        "instruction": Box((longest, told.tokens.shape[1]), 0, len(known.words) - 1, np.int32),
    }
    spec = Spec(
        "instruction_grid", observation, Discrete(TRANSFORM + 1), time_limit or PER_LINE * count, vocabulary=known,
        subtasks=Subtasks((len(VERBS), kinds), told.tokens, ~told.held_out, single),
    )  # fmt: skip
    return episodic(begun, transition, observe, spec, render)
