"""Memory chain: see bits at the start, be asked for one of them at the end.

Rules of bsuite's `memory_len` and `memory_size` (Osband et al., 2020, "Behaviour Suite for Reinforcement Learning"),
which show the opening observation twice: on the FIRST row and on the one after it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """What is to be remembered."""

    context: Array  # int32 [bits], 0 or 1
    query: Array  # int32, which bit
    time: Array  # int32, steps taken


def memory_chain(length: int = 10, bits: int = 1) -> Environment:
    """Terminates after `length + 1` steps, its time limit. Without memory the expected return is 0, at best 1.

    Args:
      length: steps over which to remember, at least 1. (With 1 nothing needs to be remembered.)
      bits: how many bits are shown, at least 1.

    Returns:
      Observation float32 [2 + bits]: the share of time left; the index of the bit asked for, shown on the row before
      the last one only; the bits as ±1, shown at the start only. Two actions. Reward 0, and in the end +1 if the last
      action was the bit asked for, -1 if not.

    Raises:
      ValueError: for a length or a number of bits below 1.
    """
    for name, value in (("length", length), ("bits", bits)):
        if value < 1:
            raise ValueError(f"memory_chain: {name} must be at least 1, got {value}")

    def observe(state: State) -> Array:
        time = jnp.maximum(state.time - 1, 0)  # the row after the first step shows the opening again
        left = 1 - time.astype(jnp.float32) / length
        query = jnp.where(time == length - 1, state.query, 0).astype(jnp.float32)
        context = jnp.where(time == 0, 2.0 * state.context - 1.0, 0.0)
        return jnp.concatenate([jnp.stack([left, query]), context])

    def initial(key: Key) -> State:
        word = jax.random.bits(key, (bits + 1,))
        return State((word[1:] >> 31).astype(jnp.int32), (word[0] % bits).astype(jnp.int32), jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        answered = state.time == length
        asked = jnp.sum(jnp.where(jnp.arange(bits) == state.query, state.context, 0))
        reward = jnp.where(answered, jnp.where(action == asked, 1.0, -1.0), 0.0)
        return state._replace(time=state.time + 1), reward, answered

    def render(state: State) -> Array:
        shown = observe(state)
        bit = jnp.where(shown[2:] > 0, 2, jnp.where(shown[2:] < 0, 1, 0))
        asked = jnp.where((jnp.arange(bits) == state.query) & (state.time == length), 3, 0)
        colours = (drawing.GREY, drawing.BLUE, drawing.ORANGE, drawing.BLACK)
        return drawing.grid(jnp.stack([bit, asked]), colours, scale=32)

    low, high = np.full(bits + 2, -1, np.float32), np.ones(bits + 2, np.float32)
    low[:2], high[1] = 0, max(1, bits - 1)
    spec = Spec("memory_chain", Box((bits + 2,), low, high), Discrete(2), length + 1)
    return episodic(initial, transition, observe, spec, render)
