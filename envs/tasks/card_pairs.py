"""The memory game: cards lie face down, and two equal ones turned over one after the other are a pair.

Rules of the task of Wayne et al., arXiv:1803.10760, as its figures show them, with symbols for glyphs: N cards of N/2
symbols, 3 N / 2 flips per episode; a card turned over shows its symbol for one step; +1 where two *consecutive* flips
show the same symbol at different places. Pairs vanish. A player of perfect memory finds all N/2 pairs; a random one
finds 0.91 with 4 cards, 1.02 with 6, 1.11 with 8 and 1.30 with 16.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """The table."""

    symbols: Array  # int32 [N], of each place
    gone: Array  # bool [N], found already
    last: Array  # int32, place turned over last, -1 before the first
    paid: Array  # float32, the last reward
    time: Array  # int32, flips so far


def card_pairs(cards: int = 6, clock: bool = True) -> Environment:
    """An episode is a new deal and terminates after `3 * cards // 2` flips, its time limit.

    Args:
      cards: N, even and at least 4.
      clock: whether the observation ends with the share of flips made.

    Returns:
      Observation float32 [N / 2 + N + 1 (+ 1)]: the symbol of the card just turned over, one-hot (zeros where a pair
      had been taken away, and before the first flip); its place, one-hot; the last reward; the clock. An action is the
      place of a card.

    Raises:
      ValueError: for a number of cards that is odd or below 4.
    """
    if cards < 4 or cards % 2:
        raise ValueError(f"card_pairs: cards must be even and at least 4, got {cards}")
    flips, places = 3 * cards // 2, jnp.arange(cards)

    def observe(state: State) -> Array:
        at = places == state.last
        # A pair is shown once more as it is found: only what was gone before has nothing to show.
        shown = jnp.any(at & (~state.gone | (state.paid > 0)))
        symbol = jnp.sum(jnp.where(at, state.symbols, 0))
        parts = [
            jax.nn.one_hot(symbol, cards // 2) * shown,
            at.astype(jnp.float32),
            state.paid[None],
            (state.time.astype(jnp.float32) / flips)[None],
        ]
        return jnp.concatenate(parts if clock else parts[:-1])

    def initial(key: Key) -> State:
        order = jnp.argsort(jax.random.bits(key, (cards,)))
        return State(
            (order // 2).astype(jnp.int32), jnp.zeros(cards, bool), jnp.int32(-1), jnp.float32(0), jnp.int32(0)
        )

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        place = action.astype(jnp.int32)
        now, before = places == place, places == state.last
        symbol = jnp.sum(jnp.where(now, state.symbols, 0))
        # Both lie there still, show the same symbol, and are two.
        pair = jnp.any(before & ~state.gone & (state.symbols == symbol)) & jnp.any(now & ~before & ~state.gone)
        gone = state.gone | (pair & (now | before))
        paid = pair.astype(jnp.float32)
        time = state.time + 1
        return State(state.symbols, gone, place, paid, time), paid, time >= flips

    def render(state: State) -> Array:
        shown = places == state.last
        colours = (drawing.GREY, drawing.WHITE, drawing.BLUE, drawing.ORANGE, drawing.GREEN, drawing.RED, drawing.BLACK)
        face = 2 + state.symbols % 5
        return drawing.grid(jnp.where(shown, face, jnp.where(state.gone, 1, 0))[None], colours, scale=32)

    size = cards // 2 + cards + 1 + clock
    return episodic(
        initial, transition, observe, Spec("card_pairs", Box((size,), 0.0, 1.0), Discrete(cards), flips), render
    )
