"""A box with a lid: bring the object there, open the lid, let go. What pays comes at the very end.

After the tasks of Riedmiller et al., "Learning by playing: solving sparse reward tasks from scratch", ICML 2018. The
task itself pays once, when the object is let go over the open box. Five auxiliary rewards (`Spec.auxiliaries`) are as
sparse and tell of steps on the way: to be where the object is, to hold it, the open lid, the object held over the box,
and the object held while the lid is open.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs import drawing
from envs.base import Array, Auxiliaries, Box, Discrete, Environment, Key, Spec, episodic

NAMES = ("reach", "hold", "open", "hold_at_box", "hold_and_open")
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # up, down, left, right
GRIP, PRESS = 4, 5
SPEED, CLOSE = 0.1, 0.2
"""Of the continuous task: what an action of 1 moves, and the distance within which hands, box and switch work."""


class State(NamedTuple):
    """Places are rows and columns int32 [2], or coordinates float32 [2]."""

    place: Array
    thing: Array
    lid: Array  # bool: open
    held: Array  # bool


def auxiliary(reach: Any, held: Any, lid: Any, at_box: Any) -> Array:
    """The five rewards `[..., 5]` of booleans `[...]`."""
    told = (reach, held, lid, held & at_box, held & lid)
    return jnp.stack([jnp.asarray(x, jnp.float32) for x in told], axis=-1)


def lid_box(size: int = 8, time_limit: int = 200) -> Environment:
    """The grid: four moves, an action that grips and lets go, and one that presses the switch of the lid.

    The box is in the lower right corner, the switch in the upper left one; whoever presses there opens the lid, or
    closes it. The object is gripped where it lies, and moves along until it is let go. To let go over the open box pays
    1 and ends the episode. Object and hand begin anywhere, apart, and the lid is shut.

    Args:
      size: cells G along a side.
      time_limit: steps.

    Returns:
      Observation float32 [4 G + 4]: row and column of the hand and of the object, one-hot each; rows and columns from
      the hand to the object, over G; lid open; object held. Actions: up, down, left, right, grip or let go, press.

    Raises:
      ValueError: an argument out of range.
    """
    if size < 2:
        raise ValueError(f"lid_box: size must be at least 2, got {size}")
    if time_limit < 1:
        raise ValueError(f"lid_box: time_limit must be at least 1, got {time_limit}")
    box, switch = jnp.full(2, size - 1), jnp.zeros(2, jnp.int32)
    moves = jnp.array([*MOVES, (0, 0), (0, 0)])

    def initial(key: Key) -> State:
        k_place, k_apart = jax.random.split(key)
        place = jax.random.randint(k_place, (), 0, size * size)
        thing = (place + jax.random.randint(k_apart, (), 1, size * size)) % (size * size)
        split = lambda cell: jnp.stack([cell // size, cell % size])  # noqa: E731
        return State(split(place), split(thing), jnp.bool_(False), jnp.bool_(False))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        place = jnp.clip(state.place + moves[action], 0, size - 1)
        thing = jnp.where(state.held, place, state.thing)
        grips = (action == GRIP) & jnp.all(place == thing)
        lid = state.lid ^ ((action == PRESS) & jnp.all(place == switch))
        done = grips & state.held & lid & jnp.all(place == box)
        return State(place, thing, lid, state.held ^ grips), done.astype(jnp.float32), done

    def observe(state: State) -> Array:
        ones = [jax.nn.one_hot(x, size) for x in (*state.place, *state.thing)]
        flags = jnp.stack([state.lid, state.held]).astype(jnp.float32)
        return jnp.concatenate([*ones, (state.thing - state.place) / size, flags])

    def rewards(observation: Array) -> Array:
        at_box = (observation[..., size - 1] > 0.5) & (observation[..., 2 * size - 1] > 0.5)
        reach = jnp.all(observation[..., 4 * size : 4 * size + 2] == 0, axis=-1)
        lid, held = observation[..., -2] > 0.5, observation[..., -1] > 0.5
        return auxiliary(reach, held, lid, at_box)

    def render(state: State) -> Array:
        board = jnp.zeros((size, size), jnp.int32)
        board = board.at[tuple(switch)].set(1).at[tuple(box)].set(jnp.where(state.lid, 3, 2))
        board = board.at[tuple(state.place)].set(4).at[tuple(state.thing)].set(jnp.where(state.held, 6, 5))
        colours = (drawing.WHITE, drawing.GREY, drawing.BLACK, drawing.GREEN, drawing.ORANGE, drawing.BLUE, drawing.RED)
        return drawing.grid(board, colours, scale=20)

    extra = Auxiliaries(NAMES, rewards)
    spec = Spec("lid_box", Box((4 * size + 4,), -1.0, 1.0), Discrete(6), time_limit, auxiliaries=extra)
    return episodic(initial, transition, observe, spec, render)


def continuous_lid_box(time_limit: int = 200) -> Environment:
    """The same in a square: a hand that moves, and closes where its third action is above 0.

    Closed within 0.2 of the object, it holds it for as long as it stays closed; closed within 0.2 of the switch (empty,
    at the upper left), it opens the lid for good. To open it over the open box (lower right) pays 1 and ends the
    episode.

    Args:
      time_limit: steps.

    Returns:
      Observation float32 [8]: place of the hand and of the object, from the hand to the object, lid open, object held.
      Action float32 [3] in [-1, 1], clipped: two moves, of 0.1 each, and the grip.

    Raises:
      ValueError: an argument out of range.
    """
    if time_limit < 1:
        raise ValueError(f"continuous_lid_box: time_limit must be at least 1, got {time_limit}")
    box, switch = jnp.array([0.8, -0.8]), jnp.array([-0.8, 0.8])
    near = lambda a, b: jnp.sqrt(jnp.sum(jnp.square(a - b), axis=-1)) < CLOSE  # noqa: E731

    def initial(key: Key) -> State:
        place, thing = jax.random.uniform(key, (2, 2), minval=-0.8, maxval=0.8)
        return State(place, thing, jnp.bool_(False), jnp.bool_(False))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        place = jnp.clip(state.place + SPEED * jnp.clip(action[:2], -1.0, 1.0), -1.0, 1.0)
        closed = action[2] > 0
        held = closed & (state.held | near(place, state.thing))
        thing = jnp.where(held, place, state.thing)
        lid = state.lid | (closed & ~held & near(place, switch))
        done = state.held & ~closed & lid & near(thing, box)
        return State(place, thing, lid, held), done.astype(jnp.float32), done

    def observe(state: State) -> Array:
        flags = jnp.stack([state.lid, state.held]).astype(jnp.float32)
        return jnp.concatenate([state.place, state.thing, state.thing - state.place, flags])

    def rewards(observation: Array) -> Array:
        place, apart = observation[..., :2], observation[..., 4:6]
        lid, held = observation[..., -2] > 0.5, observation[..., -1] > 0.5
        at_box = near(place, box.reshape((1,) * (place.ndim - 1) + (2,)))
        return auxiliary(near(apart, jnp.zeros_like(apart)), held, lid, at_box)

    def render(state: State) -> Array:
        frame = drawing.canvas(160, 160, drawing.WHITE)

        def disc(frame: Array, at: Array, colour: drawing.Colour, size: float) -> Array:
            centre = (at[0] / 2.4, at[1] / 2.4)
            return drawing.segment(frame, centre, centre, size, colour)

        frame = disc(frame, switch, drawing.GREY, 0.1)
        lid = jnp.where(state.lid, disc(frame, box, drawing.GREEN, 0.1), disc(frame, box, drawing.BLACK, 0.1))
        return disc(disc(lid, state.place, drawing.ORANGE, 0.06), state.thing, drawing.BLUE, 0.04)

    extra = Auxiliaries(NAMES, rewards)
    spec = Spec("continuous_lid_box", Box((8,), -2.0, 2.0), Box((3,), -1.0, 1.0), time_limit, auxiliaries=extra)
    return episodic(initial, transition, observe, spec, render)
