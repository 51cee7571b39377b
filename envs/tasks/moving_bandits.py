"""Two targets in the plane, one of which pays, and nothing shows which: that is the task, and stays for a trial.

Frans, Ho, Chen, Abbeel and Schulman, "Meta learning shared hierarchies", ICLR 2018, section 6.1. The numbers are those
of their code.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.families import Family, announced

SIDE = 400.0
"""Of the square that targets are drawn from."""
MOVES = np.array([[0, 0], [20, 0], [-20, 0], [0, 20], [0, -20]], np.float32)
CLOSE = 50.0
"""Distance within which a target is reached."""


class State(NamedTuple):
    """Where one is, and the targets."""

    place: Array  # [2]
    targets: Array  # [2, 2]


def family(horizon: int = 50) -> Family:
    """The two tasks; a task is the number of the target that pays, int32 []."""

    def make(right: Array) -> Environment:
        def initial(key: Key) -> State:
            return State(jnp.full(2, SIDE / 2, jnp.float32), jax.random.uniform(key, (2, 2), maxval=SIDE))

        def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
            del key
            place = state.place + jnp.asarray(MOVES)[action]
            near = jnp.sum(jnp.square(place - state.targets[right])) < CLOSE**2
            return State(place, state.targets), near.astype(jnp.float32), jnp.bool_(False)

        def observe(state: State) -> Array:
            return math.sqrt(12) * (jnp.concatenate([state.place, state.targets.ravel()]) / SIDE - 0.5)

        def render(state: State) -> Array:
            frame = drawing.canvas(160, 160, drawing.GREY)
            pays = jnp.arange(2) == right
            good, bad = state.targets[jnp.argmax(pays)], state.targets[jnp.argmin(pays)]
            shown = ((good, 0.25, drawing.GREEN), (bad, 0.25, drawing.RED), (state.place, 0.06, drawing.BLACK))
            for place, width, colour in shown:
                there = ((place[0] / SIDE - 0.5), (place[1] / SIDE - 0.5))
                frame = drawing.segment(frame, there, there, width, colour)
            return frame

        spec = Spec("moving_bandits", Box((6,)), Discrete(len(MOVES)), horizon)
        return episodic(initial, transition, observe, spec, render)

    return Family(lambda key: jax.random.randint(key, (), 0, 2), make)


def moving_bandits(horizon: int = 50, blocks: int = 62, block: int = 40) -> Environment:
    """A trial is many episodes in which the same target pays; targets are drawn anew for each episode.

    Args:
      horizon: steps of an episode, at least 1.
      blocks: of episodes in a trial, at least 1; a lane begins somewhere within a trial, at the start of a block.
      block: episodes of a block, at least 1.

    Returns:
      Observations `observation` [6], the place and both targets from the middle of the square in standard deviations
      of a target's place, and `new_task` [1], 1 in the row that opens a trial and 0 elsewhere. Actions are to stay and
      to move by a twentieth of the side in one of four directions; the reward is 1 within an eighth of the side of the
      target that pays, after the move.

    Raises:
      ValueError: an argument out of range.
    """
    for name, number in (("horizon", horizon), ("blocks", blocks), ("block", block)):
        if number < 1:
            raise ValueError(f"moving_bandits: {name} must be at least 1, got {number}")
    return announced(family(horizon), blocks, block)
