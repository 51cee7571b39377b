"""Bit flipping: turn one word into another, a bit at a time; without hindsight nothing is ever paid.

Section 3.1 of Andrychowicz et al., "Hindsight Experience Replay", NeurIPS 2017.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing, goals
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic


class State(NamedTuple):
    """Two words, float32 [bits] of 0 and 1."""

    word: Array
    goal: Array


def bit_flip(bits: int = 20, terminates: bool = True) -> Environment:
    """A random word and a random goal; action i flips bit i. At most `bits` steps, which suffice.

    Args:
      bits: length of the words, at least 1.
      terminates: whether the episode ends where the goal is reached.

    Returns:
      Observation: `observation`, `achieved_goal` (the same) and `desired_goal`, float32 [bits]. Reward -1, and 0 once
      the word is the goal.

    Raises:
      ValueError: for fewer than one bit.
    """
    if bits < 1:
        raise ValueError(f"bit_flip: bits must be at least 1, got {bits}")
    rules = goals.near(0.5, "cost", terminates)  # words that differ are at least 1 apart

    def observe(state: State) -> dict[str, Array]:
        return goals.observed(state.word, state.word, state.goal)

    def initial(key: Key) -> State:
        return State(*jax.random.bernoulli(key, 0.5, (2, bits)).astype(jnp.float32))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        word = jnp.where(jnp.arange(bits) == action, 1 - state.word, state.word)
        done = rules.reached(word, state.goal) if terminates else jnp.bool_(False)
        return State(word, state.goal), rules.reward(word, state.goal), done

    def render(state: State) -> Array:
        return drawing.grid(jnp.stack([state.word, state.goal]).astype(jnp.int32), (drawing.GREY, drawing.BLUE))

    word = Box((bits,), 0.0, 1.0)
    spec = Spec("bit_flip", goals.spaces(word, word), Discrete(bits), bits, rules)
    return episodic(initial, transition, observe, spec, render)
