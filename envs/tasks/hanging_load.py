"""A cart with a load on a cable of unknown length, which is to follow a path: a planar multirotor with its payload.

A rig like that of Belkhale et al., "Model-based meta-reinforcement learning for flight with suspended payloads", RA-L
2021: the velocity of the carrier is commanded at 4 Hz and follows with a lag, and how the load swings tells the cable.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Environment, Key, Spec, episodic

GRAVITY, LAG, DAMPING, TIME, PARTS = 9.81, 0.25, 0.05, 0.25, 25  # SI units; sub-steps of a step
SPEED, STEPS, SETTLE, AHEAD = 0.8, 48, 20, 6
"""The fastest command; steps of an episode; steps before the path counts; points of the path that are shown."""
LENGTHS = (0.2, 0.3, 0.45, 0.67, 1.0)


class State(NamedTuple):
    """Cart and load."""

    x: Array
    v: Array
    angle: Array
    rate: Array
    load: Array  # which of the lengths
    t: Array


def path(t: Array) -> Array:
    """Where the load is to be after step t, in m."""
    return 0.6 * jnp.sin(2 * jnp.pi * 0.35 * TIME * t)


def hanging_load(lengths: Sequence[float] = LENGTHS) -> Environment:
    """A cable is drawn for each episode of 48 steps.

    Args:
      lengths: of the cables, in m.

    Returns:
      Observation: a dict of "state" `[4]`, the cart's position and velocity, the load's offset from it and that one's
      rate; "goals" `[6]`, where the load is to be after each of the next steps; and "load" `[1]`, the number of the
      cable, whose upper bound is that of the last one, and which is for training alone. The action `[1]` is the
      velocity commanded, up to 0.8 m/s. The reward is minus the distance of load and path, over the 28 steps after the
      first 5 s, so that the return is minus its mean.

    Raises:
      ValueError: for no length, or one that is not positive.
    """
    lengths = tuple(lengths) if isinstance(lengths, Sequence) else (lengths,)
    if not lengths or min(lengths) <= 0:
        raise ValueError(f"hanging_load: lengths must be positive, got {lengths}")
    cables = np.asarray(lengths, np.float32)

    def initial(key: Key) -> State:
        nothing = jnp.float32(0)
        which = jax.random.randint(key, (), 0, len(cables))
        return State(nothing, nothing, nothing, nothing, which, jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        cable, command = jnp.asarray(cables)[state.load], jnp.clip(action[0], -SPEED, SPEED)

        def part(now: State, _: None) -> tuple[State, None]:
            push = (command - now.v) / LAG
            swing = -(GRAVITY * jnp.sin(now.angle) + push * jnp.cos(now.angle)) / cable - DAMPING * now.rate
            h = TIME / PARTS
            v, rate = now.v + h * push, now.rate + h * swing
            return now._replace(x=now.x + h * v, v=v, angle=now.angle + h * rate, rate=rate), None

        state = jax.lax.scan(part, state, None, length=PARTS)[0]._replace(t=state.t + 1)
        error = jnp.abs(state.x + cable * jnp.sin(state.angle) - path(state.t))
        return state, -jnp.where(state.t > SETTLE, error, 0.0) / (STEPS - SETTLE), jnp.bool_(False)

    def observe(state: State) -> dict[str, Array]:
        cable = jnp.asarray(cables)[state.load]
        offset, rate = cable * jnp.sin(state.angle), cable * jnp.cos(state.angle) * state.rate
        goals = path(state.t + 1 + jnp.arange(AHEAD))
        return {
            "state": jnp.stack([state.x, state.v, offset, rate]),
            "goals": goals.astype(jnp.float32),
            "load": state.load[None].astype(jnp.float32),
        }

    def render(state: State) -> Array:
        cable = jnp.asarray(cables)[state.load]
        x, y = state.x / 2, 0.5
        tip = x + cable * jnp.sin(state.angle) / 2, y - cable * jnp.cos(state.angle) / 2
        frame = drawing.rectangle(drawing.canvas(160, 240), (path(state.t) / 2, -0.4), (0.03, 0.1), drawing.GREEN)
        frame = drawing.segment(frame, (x, y), tip, 0.03, drawing.ORANGE)
        return drawing.rectangle(frame, (x, y), (0.15, 0.05), drawing.BLACK)

    space = {"state": Box((4,)), "goals": Box((AHEAD,), -1.0, 1.0), "load": Box((1,), 0.0, len(cables) - 1.0)}
    spec = Spec("hanging_load", space, Box((1,), -SPEED, SPEED), STEPS, fps=1 / TIME)
    return episodic(initial, transition, observe, spec, render)
