"""A unicycle with inertia, and a goal that is near and tells how far it is, or far and tells nothing.

After the transfer tasks of Heess et al., "Learning and transfer of modulated locomotor controllers", arXiv:1610.05182:
what it feels (`proprioception`, its own speeds) is apart from what it sees (`target`), so that a low level can be given
the one without the other.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Box, Environment, Key, Spec, episodic

THRUST, TORQUE = 0.1, 0.2
"""What actions of 1 add to the speed and to the rate of turning; the rest of each is kept but for as large a part."""
STRIDE, TURN = 0.1, 0.3
"""Distance and angle of a step at speed 1 and at rate 1."""
RADIUS = 0.5
"""Distance within which the goal is reached."""


class State(NamedTuple):
    """The body in the plane, and the goal; float32."""

    place: Array  # [2]
    heading: Array
    speed: Array
    rate: Array
    goal: Array  # [2]


def unicycle(distance: float = 1.0, sparse: bool = False, time_limit: int = 50) -> Environment:
    """A unicycle that starts at rest, heading anywhere, with a goal in a direction that is drawn for every episode.

    At full speed it covers 0.1 in a step, which it comes to after some 20 steps of full thrust.

    Args:
      distance: of the goal, drawn from half of it to 1.5 times it.
      sparse: pay 1 within 0.5 of the goal, which ends the episode, and nothing elsewhere; if not, minus the distance
        over `distance` in every step, and nothing ends it.
      time_limit: steps.

    Returns:
      Observation: `proprioception` float32 [2], speed and rate of turning; `target` float32 [2], the goal ahead and to
      the left as the body sees it, over `distance`. Action float32 [2] in [-1, 1], clipped: thrust and torque.

    Raises:
      ValueError: an argument out of range.
    """
    if not distance > 0:
        raise ValueError(f"unicycle: distance must be above 0, got {distance}")
    if time_limit < 1:
        raise ValueError(f"unicycle: time_limit must be at least 1, got {time_limit}")

    def initial(key: Key) -> State:
        k_heading, k_angle, k_far = jax.random.split(key, 3)
        angle = jax.random.uniform(k_angle, maxval=2 * jnp.pi)
        far = distance * jax.random.uniform(k_far, minval=0.5, maxval=1.5)
        still = jnp.zeros(())
        heading = jax.random.uniform(k_heading, maxval=2 * jnp.pi)
        return State(jnp.zeros(2), heading, still, still, far * jnp.stack([jnp.cos(angle), jnp.sin(angle)]))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        thrust, torque = jnp.clip(action, -1.0, 1.0)
        speed = (1 - THRUST) * state.speed + THRUST * thrust
        rate = (1 - TORQUE) * state.rate + TORQUE * torque
        heading = state.heading + TURN * rate
        place = state.place + STRIDE * speed * jnp.stack([jnp.cos(heading), jnp.sin(heading)])
        away = jnp.sqrt(jnp.sum(jnp.square(place - state.goal)))
        near = away < RADIUS
        reward = near.astype(jnp.float32) if sparse else -away / distance
        return State(place, heading, speed, rate, state.goal), reward, near & sparse

    def observe(state: State) -> dict[str, Array]:
        east, north = (state.goal - state.place) / distance
        cos, sin = jnp.cos(state.heading), jnp.sin(state.heading)
        target = jnp.stack([cos * east + sin * north, cos * north - sin * east])
        return {"proprioception": jnp.stack([state.speed, state.rate]), "target": target}

    def render(state: State) -> Array:
        frame, unit = drawing.canvas(160, 160, drawing.WHITE), 4 * distance
        nose = state.place + 0.1 * distance * jnp.stack([jnp.cos(state.heading), jnp.sin(state.heading)])
        at = lambda x: (x[0] / unit, x[1] / unit)  # noqa: E731
        frame = drawing.segment(frame, at(state.goal), at(state.goal), 2 * RADIUS / unit, drawing.GREEN)
        return drawing.segment(frame, at(state.place), at(nose), 0.03, drawing.ORANGE)

    seen = {"proprioception": Box((2,), -1.0, 1.0), "target": Box((2,))}
    return episodic(initial, transition, observe, Spec("unicycle", seen, Box((2,), -1.0, 1.0), time_limit), render)
