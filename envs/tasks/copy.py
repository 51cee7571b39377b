"""Copy: see a sequence of random bits, then write it down.

The task of Graves et al., "Neural Turing machines", arXiv:1410.5401, section 4.1, as an environment; `sequences` makes
its inputs and targets for supervised learning.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

MOST_BITS = 16  # of a word in the task, which has an action for every word


def inputs(words: Array, length: Array) -> Array:
    """What is shown, float32 `[2 n + 1, bits + 1]`: `length` words, a row with the last channel set, then blanks.

    Args:
      words: 0 or 1, `[n, bits]`.
      length: int32, at most n; the words beyond it are not shown.
    """
    num, bits = words.shape
    time = jnp.arange(2 * num + 1)[:, None]
    shown = jnp.concatenate([words, jnp.zeros((num + 1, bits))]) * (time < length)
    return jnp.concatenate([shown, (time == length).astype(jnp.float32)], -1)


def sequences(key: Key, batch: int, shortest: int, longest: int, bits: int = 4) -> tuple[Array, Array, Array]:
    """A batch of the supervised task.

    Args:
      key: of lengths and bits.
      batch: B sequences, each of its own length, uniform between:
      shortest: and
      longest: n.
      bits: in a word.

    Returns:
      Inputs `[2 n + 1, B, bits + 1]`, targets `[2 n + 1, B, bits]` and the rows that count, bool `[2 n + 1, B]`: the
      `length` rows after the one that ends the sequence.
    """
    k_words, k_length = jax.random.split(key)
    words = (jax.random.bits(k_words, (batch, longest, bits)) >> 31).astype(jnp.float32)
    length = jax.random.randint(k_length, (batch,), shortest, longest + 1)

    def one(words: Array, length: Array) -> tuple[Array, Array, Array]:
        time = jnp.arange(2 * longest + 1)
        counts = (time > length) & (time <= 2 * length)
        target = words[jnp.clip(time - length - 1, 0, longest - 1)] * counts[:, None]
        return inputs(words, length), target, counts

    return jax.vmap(one, out_axes=1)(words, length)


class State(NamedTuple):
    """The sequence and how far the episode is."""

    words: Array  # float32 [n, bits]
    length: Array  # int32
    time: Array  # int32


def copy(bits: int = 4, shortest: int = 1, longest: int = 8) -> Environment:
    """An episode of `2 * length + 1` rows and as many actions, those after the sequence being its copy; terminates.

    Args:
      bits: in a word, from 1 to 16.
      shortest: words, at least 1.
      longest: words.

    Returns:
      Observation float32 [bits + 1]: a word, or in the last channel the sign that the sequence is over. An action is a
      word as a number, its first bit the lowest. Reward 1 / length for each word copied without a fault.

    Raises:
      ValueError: for arguments out of range.
    """
    if not 1 <= bits <= MOST_BITS:
        raise ValueError(f"copy: bits must be from 1 to {MOST_BITS}, got {bits}")
    if not 1 <= shortest <= longest:
        raise ValueError(f"copy: 1 <= shortest ({shortest}) <= longest ({longest}) must hold")
    rows = 2 * longest + 1
    values = 2 ** jnp.arange(bits)

    def observe(state: State) -> Array:
        # The row after the last is blank too.
        shown = inputs(state.words, state.length)
        return jnp.sum(jnp.where((jnp.arange(rows) == state.time)[:, None], shown, 0.0), 0)

    def initial(key: Key) -> State:
        k_words, k_length = jax.random.split(key)
        words = (jax.random.bits(k_words, (longest, bits)) >> 31).astype(jnp.float32)
        return State(words, jax.random.randint(k_length, (), shortest, longest + 1), jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        asked = state.time - state.length - 1
        word = jnp.sum(jnp.where((jnp.arange(longest) == asked)[:, None], state.words, 0.0), 0).astype(jnp.int32)
        right = (asked >= 0) & (action == jnp.sum(word * values))
        state = state._replace(time=state.time + 1)
        reward = jnp.where(right, 1 / state.length.astype(jnp.float32), 0.0)
        return state, reward, state.time > 2 * state.length

    def render(state: State) -> Array:
        shown = inputs(state.words, state.length).astype(jnp.int32)
        now = (jnp.arange(rows) == state.time)[:, None]
        return drawing.grid((shown + 2 * now).T, (drawing.GREY, drawing.BLACK, drawing.ORANGE, drawing.BLUE), scale=16)

    spec = Spec("copy", Box((bits + 1,), 0.0, 1.0), Discrete(2**bits), rows)
    return episodic(initial, transition, observe, spec, render)
