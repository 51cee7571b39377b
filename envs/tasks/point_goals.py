"""A point in the plane and a goal that is not shown: it is told by rewards alone, and drawn anew for every trial.

Finn et al., "Model-agnostic meta-learning for fast adaptation of deep networks", ICML 2017, section 5.3, with goals in
a square and the distance as reward; Gupta et al., "Meta-reinforcement learning of structured exploration strategies",
NeurIPS 2018, and Rakelly et al., "Efficient off-policy meta-reinforcement learning via probabilistic context
variables", ICML 2019, with goals on a half circle and rewards close to the goal alone.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Environment, Key, Spec, episodic
from envs.families import Family, drawn, trials

Goals = Literal["square", "half-circle"]
SPEED = 0.1
"""What an action of 1 moves."""
CLOSE = 0.01
"""Distance in either coordinate at which a goal of the square is reached."""
RADIUS = 0.2
"""Distance within which sparse rewards are paid."""


class State(NamedTuple):
    """The point, and whether it has reached the goal, from where on it stays and nothing is paid."""

    place: Array  # [2]
    arrived: Array  # bool


def family(goals: Goals, sparse: bool, horizon: int) -> Family:
    """Goals of a kind, `[2]`; arguments as for `point_goals`."""

    def draw(key: Key) -> Array:
        if goals == "square":
            return jax.random.uniform(key, (2,), minval=-0.5, maxval=0.5)
        angle = jax.random.uniform(key, maxval=jnp.pi)
        return jnp.stack([jnp.cos(angle), jnp.sin(angle)])

    def make(goal: Array) -> Environment:
        def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
            del key
            moved = state.place + SPEED * jnp.clip(action, -1.0, 1.0)
            place = jnp.where(state.arrived, state.place, moved)
            distance = jnp.sqrt(jnp.sum(jnp.square(place - goal)))
            near = jnp.all(jnp.abs(place - goal) < CLOSE) & (goals == "square") & (not sparse)
            reward = jnp.where(distance < RADIUS, 1.0 - distance, 0.0) if sparse else -distance
            return State(place, state.arrived | near), jnp.where(state.arrived, 0.0, reward), jnp.bool_(False)

        def render(state: State) -> Array:
            frame = drawing.canvas(160, 160, drawing.GREY)
            for centre, colour in ((goal, drawing.GREEN), (state.place, drawing.ORANGE)):
                there = (centre[0] / 1.6, centre[1] / 1.6)
                frame = drawing.segment(frame, there, there, 0.05, colour)
            return frame

        start = State(jnp.zeros(2), jnp.bool_(False))
        spec = Spec("point_goals", Box((2,)), Box((2,), -1.0, 1.0), horizon)
        return episodic(lambda key: start, transition, lambda state: state.place, spec, render)

    return Family(draw, make)


def point_goals(
    goals: Goals = "square",
    sparse: bool = False,
    horizon: int = 100,
    episodes: int = 40,
    told: bool = False,
    tasks: int = 0,
    seed: int = 0,
) -> Environment:
    """A trial is several episodes with one goal that is drawn for it; each begins at the origin.

    Args:
      goals: drawn from the "square" [-0.5, 0.5]², or on the "half-circle" of radius 1 above the origin.
      sparse: pay 1 less the distance within 0.2 of the goal, and nothing elsewhere; if not, minus the distance.
      horizon: steps of an episode, at least 1. A point that comes within 0.01 of a goal of the square in both
        coordinates stays there, and nothing more is paid; so episodes are of one length.
      episodes: of a trial; 0 for a goal that stays for good.
      told: whether a trial is one episode, whose observations tell the last action, its reward and where an episode
        begins (`envs.wrappers.trial`).
      tasks: how many goals there are; 0 for a fresh one in every trial.
      seed: which they are.

    Returns:
      Observation float32 [2], the place. Action float32 [2] in [-1, 1], clipped; 0.1 times it is the move.

    Raises:
      ValueError: an argument out of range.
    """
    if goals not in get_args(Goals):
        raise ValueError(f"point_goals: goals is {goals!r}; allowed: {', '.join(get_args(Goals))}")
    if horizon < 1:
        raise ValueError(f"point_goals: horizon must be at least 1, got {horizon}")
    return (trials if told else drawn)(family(goals, sparse, horizon), episodes, tasks, seed)
