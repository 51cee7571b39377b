"""A line with an object in the middle of it whose ways can be learned: where does an agent spend its time?

After the arenas with objects of Haber et al., "Learning to play with intrinsically-motivated, self-aware agents",
NeurIPS 2018, on one dimension: everywhere else what an action does is simple.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic

ACTIONS = 4  # left, right, and two ways to act on the object
Ways = Literal["lawful", "random"]


class State(NamedTuple):
    """Where the agent is, and how the object stands; int32."""

    place: Array
    shape: Array


def arena(
    length: int = 20, objects: int = 2, shapes: int = 16, ways: Ways = "lawful", seed: int = 0, time_limit: int = 200
) -> Environment:
    """The `objects` middle places touch an object, which every action taken there turns into another of its shapes.

    Args:
      length: places, of which the agent starts at any.
      objects: places that touch the object; fewer than `length`.
      shapes: that the object has.
      ways: "lawful", where an action takes each shape to another, fixed one; "random", where it becomes any.
      seed: of what leads to what.
      time_limit: steps.

    Returns:
      Observation float32: the place, one-hot; the shape, one-hot, and 0 where the object is out of touch.

    Raises:
      ValueError: an argument out of range.
    """
    for name, value, least in (("objects", objects, 1), ("shapes", shapes, 2), ("time_limit", time_limit, 1)):
        if value < least:
            raise ValueError(f"arena: {name} must be at least {least}, got {value}")
    if length <= objects:
        raise ValueError(f"arena: length must be above objects, {objects}, got {length}")
    if ways not in get_args(Ways):
        raise ValueError(f"arena: ways is {ways!r}; allowed: {', '.join(get_args(Ways))}")
    rng = np.random.default_rng(seed)
    after = jnp.asarray(np.stack([rng.permutation(shapes) for _ in range(ACTIONS)]), jnp.int32)
    first = (length - objects) // 2

    def touching(place: Array) -> Array:
        return (place >= first) & (place < first + objects)

    def observe(state: State) -> Array:
        seen = jax.nn.one_hot(state.shape, shapes) * touching(state.place)
        return jnp.concatenate([jax.nn.one_hot(state.place, length), seen])

    def initial(key: Key) -> State:
        k_place, k_shape = jax.random.split(key)
        place = jax.random.randint(k_place, (), 0, length)
        return State(place, jax.random.randint(k_shape, (), 0, shapes))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        turned = after[action, state.shape] if ways == "lawful" else jax.random.randint(key, (), 0, shapes)
        shape = jnp.where(touching(state.place), turned, state.shape)
        step = jnp.where(action == 0, -1, jnp.where(action == 1, 1, 0))
        return State(jnp.clip(state.place + step, 0, length - 1), shape), jnp.float32(0), jnp.bool_(False)

    def render(state: State) -> Array:
        places = jnp.where(touching(jnp.arange(length)), 1, 0).at[state.place].set(2)
        shown = jnp.where(jnp.arange(length) == state.shape * length // shapes, 3, 0)
        colours = (drawing.GREY, drawing.BLUE, drawing.ORANGE, drawing.GREEN)
        return drawing.grid(jnp.stack([shown, places]), colours)

    spec = Spec("arena", Box((length + shapes,), 0.0, 1.0), Discrete(ACTIONS), time_limit)
    return episodic(initial, transition, observe, spec, render)
