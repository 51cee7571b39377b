"""One-shot imitation of sines: a demonstration is shown once, from another point of view and without its actions.

A task is y = A sin(x + φ). What is shown is its curve, whose points (x / 5, y / 2) are turned by a fixed angle that is
not told; the action is y at a given x.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing, keys
from envs.base import Array, Box, Environment, Key, Spec, episodic

REACH, HEIGHT = 5.0, 2.0


class State(NamedTuple):
    """A task, and what is asked."""

    amplitude: Array
    phase: Array
    x: Array


def one_shot(points: int = 20, queries: int = 1, angle: float = 1.0, tasks: int = 0, seed: int = 0) -> Environment:
    """A new task in each episode, of `queries` steps; the reward is minus the squared error of the action.

    Args:
      points: of the curve that is shown, at least 4.
      queries: numbers that are asked, one after the other.
      angle: by which what is shown is turned, in radians; the same for all tasks.
      tasks: how many there are in the set; 0 for a fresh one in every episode.
      seed: which they are.

    Returns:
      Observation: a dict of "stream" `[points, 2]`, what is shown in the order of time; "demo" `[points, 2]`, positions
      x / 5 and actions y of the task as they are, to learn from in training; and "x" `[1]`, x / 5 of what is asked. One
      action.

    Raises:
      ValueError: for fewer than 4 points or 1 query, or fewer tasks than 0.
    """
    for name, value, least in (("points", points, 4), ("queries", queries, 1), ("tasks", tasks, 0)):
        if value < least:
            raise ValueError(f"one_shot: {name} must be at least {least}, got {value}")
    shown = np.linspace(-REACH, REACH, points, dtype=np.float32)
    learned = (shown + REACH / points).astype(np.float32)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], np.float32)

    def action_of(state: State, x: Array) -> Array:
        return state.amplitude * jnp.sin(x + state.phase)

    def initial(key: Key) -> State:
        amplitude, phase, x = jax.random.uniform(key, (3,))
        if tasks:
            number = jax.random.randint(jax.random.fold_in(key, 1), (), 0, tasks)
            amplitude, phase = jax.random.uniform(jax.random.fold_in(keys.key(seed), number), (2,))
        return State(0.5 + 1.5 * amplitude, jnp.pi * phase, REACH * (2 * x - 1))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        reward = -jnp.square(action[0] - action_of(state, state.x))
        return state._replace(x=REACH * jax.random.uniform(key, (), minval=-1.0)), reward, jnp.bool_(False)

    def observe(state: State) -> dict[str, Array]:
        curve = jnp.stack([jnp.asarray(shown) / REACH, action_of(state, jnp.asarray(shown)) / HEIGHT], axis=-1)
        demo = jnp.stack([jnp.asarray(learned) / REACH, action_of(state, jnp.asarray(learned))], axis=-1)
        return {"stream": curve @ turn.T, "demo": demo, "x": state.x[None] / REACH}

    def render(state: State) -> Array:
        curve = action_of(state, jnp.asarray(shown))
        rows = jnp.round((HEIGHT - curve) / (2 * HEIGHT) * 12).astype(jnp.int32)
        kinds = jnp.where(jnp.arange(13)[:, None] == rows[None], 1, 0)
        asked = jnp.argmin(jnp.abs(jnp.asarray(shown) - state.x))
        return drawing.grid(jnp.where(jnp.arange(points)[None] == asked, kinds + 2, kinds), COLOURS)

    space = {"stream": Box((points, 2)), "demo": Box((points, 2)), "x": Box((1,), -1.0, 1.0)}
    return episodic(initial, transition, observe, Spec("one_shot", space, Box((1,), -3.0, 3.0), queries), render)


COLOURS = (drawing.GREY, drawing.BLUE, drawing.GREEN, drawing.ORANGE)
