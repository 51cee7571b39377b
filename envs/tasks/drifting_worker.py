"""A worker on a line who learns while he is led: the test bed of off-policy correction for goals.

The leader's action is a goal, a displacement; the worker then walks for c steps towards it as well as he can. His skill
changes after so many episodes, so that what a goal led to before says nothing of where it leads now; only the walk
itself can tell which goal would make the worker of today walk that way (Nachum et al., NeurIPS 2018, section 3.3).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import goals
from envs.base import Array, Box, Environment, Key, Spec, episodic

REACH, STRIDE, NOISE = 5.0, 0.5, 0.02  # largest goal; distance of a full step; of the worker's actions


class State(NamedTuple):
    """The last walk, float32: every place of it [c + 1], and every step [c]."""

    places: Array
    steps: Array


def worker(gain: float | Array, goal: Array) -> Array:
    """The mean of what the worker does for a goal that far away, both `[...]`: clip(gain goal, -1, 1)."""
    return jnp.clip(gain * goal, -1.0, 1.0)


def drifting_worker(
    gain: float = 0.1, later: float = 0.5, switch: int | None = 10, target: float = 2.0, steps: int = 10
) -> Environment:
    """One goal, one walk from 0, one reward: episodes of a single step.

    Args:
      gain: the worker's at first.
      later: the worker's once the lane has played `switch` episodes.
      switch: how many; None for never.
      target: where the leader should get him to.
      steps: c, of a walk.

    Returns:
      Observation: `observation` [1], the place; `achieved_goal` (the same) and `desired_goal`; of the walk that led
      there `places` [c + 1] and `steps` [c]. Action float32 [1] in [-5, 5], clipped. Reward: minus the distance to the
      target where the walk ends.

    Raises:
      ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"drifting_worker: steps must be at least 1, got {steps}")
    if switch is not None:
        first, then = (drifting_worker(skill, later, None, target, steps) for skill in (gain, later))
        return goals.switching(first, then, switch)
    rules = goals.near(0.3, "distance", terminates=False)

    def observe(state: State) -> dict[str, Array]:
        place = state.places[-1:]
        seen = goals.observed(place, place, jnp.full((1,), target, jnp.float32))
        return {**seen, "places": state.places, "steps": state.steps}

    def initial(key: Key) -> State:
        del key
        return State(jnp.zeros(steps + 1), jnp.zeros(steps))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        aim = state.places[-1] + jnp.clip(action[0], -REACH, REACH)

        def walk(place: Array, noise: Array) -> tuple[Array, tuple[Array, Array]]:
            step = worker(gain, aim - place) + noise
            return place + STRIDE * step, (place + STRIDE * step, step)

        _, (places, walked) = jax.lax.scan(walk, state.places[-1], NOISE * jax.random.normal(key, (steps,)))
        state = State(jnp.concatenate([state.places[-1:], places]), walked)
        return state, rules.reward(places[-1:], jnp.full((1,), target)), jnp.bool_(True)

    place = Box((1,))
    observation = {**goals.spaces(place, place), "places": Box((steps + 1,)), "steps": Box((steps,))}
    bound = np.float32(REACH)
    spec = Spec("drifting_worker", observation, Box((1,), -bound, bound), 1, rules)
    return episodic(initial, transition, observe, spec)
