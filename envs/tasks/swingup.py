"""Cart-pole swing-up: from hanging to upright, by pushing the cart.

Physics and reward of Deisenroth and Rasmussen, "PILCO" (ICML 2011): a uniform rod on a cart with friction, and a reward
that is felt near the goal only, so that plans must reach it. (PETS, of 2018, has one that is felt from farther away.)
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Environment, Key, Rules, Spec, episodic

GRAVITY, CART_MASS, POLE_MASS, LENGTH, FRICTION, FORCE, TIME = 9.82, 0.5, 0.5, 0.6, 0.1, 10.0, 0.05  # SI units
WIDTH = 0.25  # of the reward, metres


class State(NamedTuple):
    """Float32 scalars: metres, radians clockwise from upright, and their rates per second."""

    x: Array
    speed: Array
    theta: Array
    turning: Array


def swingup(time_limit: int = 200) -> Environment:
    """Never terminates; the reward of a step is exp(-½ d² / 0.25²), d the distance of the tip from upright at x = 0.

    Args:
      time_limit: steps of 0.05 s after which an episode is truncated.

    Returns:
      Observation float32 [5]: sin θ, cos θ, x, dx/dt, dθ/dt; θ is 0 upright. One action in [-1, 1], times 10 N.

    Raises:
      ValueError: for a time limit below 1.
    """
    if time_limit < 1:
        raise ValueError(f"swingup: time_limit must be at least 1, got {time_limit}")

    def initial(key: Key) -> State:
        noise = 0.05 * jax.random.normal(key, (4,))
        return State(noise[0], noise[1], math.pi + noise[2], noise[3])

    high = np.array([1, 1, np.inf, np.inf, np.inf], np.float32)
    rules = Rules(restore, transition, observe, paid)
    spec = Spec("swingup", Box((5,), -high, high), Box((1,), -1.0, 1.0), time_limit, rules=rules, fps=1 / TIME)
    return episodic(initial, transition, observe, spec, render)


def _rates(state: State, force: Array) -> State:
    sin, cos = jnp.sin(state.theta), jnp.cos(state.theta)
    force, total = force - FRICTION * state.speed, CART_MASS + POLE_MASS
    whirl, share = POLE_MASS * LENGTH * state.turning**2 * sin, 4 * total - 3 * POLE_MASS * cos**2
    push = (2 * whirl - 3 * POLE_MASS * GRAVITY * sin * cos + 4 * force) / share
    turn = (-3 * whirl * cos + 6 * total * GRAVITY * sin - 6 * force * cos) / (LENGTH * share)
    return State(state.speed, push, state.turning, turn)


def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
    """The physics of one step: `(key, state, action [1]) -> (state, reward, False)`; the key is not used."""
    del key
    force = FORCE * jnp.clip(action[0], -1.0, 1.0)

    def moved(rate: State, share: float) -> State:
        return jax.tree.map(lambda x, y: x + share * TIME * y, state, rate)

    one = _rates(state, force)  # Runge and Kutta's fourth order
    two = _rates(moved(one, 0.5), force)
    three = _rates(moved(two, 0.5), force)
    four = _rates(moved(three, 1.0), force)
    state = moved(jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, one, two, three, four), 1.0)
    return state, paid(observe(state)), jnp.bool_(False)


def paid(observation: Array) -> Array:
    """The reward of arriving at an observation [5]."""
    sin, cos, x, *_ = observation
    sideways, below = x + LENGTH * sin, LENGTH * (cos - 1)
    return jnp.exp(-0.5 * (sideways**2 + below**2) / WIDTH**2)


def observe(state: State) -> Array:
    """The observation, float32 [5]."""
    return jnp.stack([jnp.sin(state.theta), jnp.cos(state.theta), state.x, state.speed, state.turning])


def render(state: State) -> Array:
    """A frame to film."""
    x = state.x / 4
    frame = drawing.rectangle(drawing.canvas(160, 240), (0, 0.0), (2, 0.01), drawing.GREY)
    frame = drawing.rectangle(frame, (x, 0.0), (0.2, 0.08), drawing.BLACK)
    tip = x + 0.3 * jnp.sin(state.theta), 0.3 * jnp.cos(state.theta)
    return drawing.segment(frame, (x, 0.0), tip, 0.04, drawing.ORANGE)


def restore(observation: Array) -> State:
    """The state that an observation [5] shows, its angle within (-π, π]."""
    sin, cos, x, speed, turning = observation
    return State(x, speed, jnp.arctan2(sin, cos), turning)
