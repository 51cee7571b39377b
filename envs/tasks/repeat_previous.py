"""Repeat previous: say of every card which suit was shown k cards ago.

Rules of POPGym's `RepeatPrevious` (Morad et al., "POPGym: benchmarking partially observable reinforcement learning",
ICLR 2023). Random play returns -0.5 on average, perfect play 1.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """The shuffled cards."""

    suits: Array  # int32 [n], in the order in which they are shown
    time: Array  # int32, cards answered


def repeat_previous(k: int = 4, decks: int = 1) -> Environment:
    """Terminates after all cards, its time limit.

    Args:
      k: how far back, at least 1 and below the number of cards.
      decks: of 52 cards, at least 1.

    Returns:
      Observation float32 [4]: the suit of a card, one-hot; zeros on the last row. Four actions, the suits. Reward
      ±1 / (n - k) for the answer to each card but the first k, of n.

    Raises:
      ValueError: for arguments out of range.
    """
    cards = 52 * decks
    if decks < 1:
        raise ValueError(f"repeat_previous: decks must be at least 1, got {decks}")
    if not 1 <= k < cards:
        raise ValueError(f"repeat_previous: k must be from 1 to {cards - 1}, got {k}")
    places = jnp.arange(cards)

    def suit(state: State, time: Array) -> Array:
        return jnp.sum(jnp.where(places == time, state.suits, 0))

    def observe(state: State) -> Array:
        return jax.nn.one_hot(suit(state, state.time), 4) * (state.time < cards)

    def initial(key: Key) -> State:
        return State((jnp.argsort(jax.random.bits(key, (cards,))) % 4).astype(jnp.int32), jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        right = jnp.where(action == suit(state, state.time - k), 1.0, -1.0) / (cards - k)
        reward = jnp.where(state.time >= k, right, 0.0)
        return state._replace(time=state.time + 1), reward, state.time + 1 >= cards

    def render(state: State) -> Array:
        ago = jnp.arange(k, -1, -1)
        shown = jax.vmap(lambda t: jnp.where(t >= 0, suit(state, t), 4))(state.time - ago)
        colours = (drawing.BLACK, drawing.RED, drawing.BLUE, drawing.GREEN, drawing.GREY)
        return drawing.grid(shown[None], colours, scale=32)

    spec = Spec("repeat_previous", Box((4,), 0.0, 1.0), Discrete(4), cards)
    return episodic(initial, transition, observe, spec, render)
