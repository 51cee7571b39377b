"""Key to door: what is done in the first step decides whether the right choice in the last one pays.

A small form of the task of Hung et al., "Optimizing agent behavior over long time scales by transporting value", Nature
Communications 2019, as Mesnard et al. and Chen et al. use it: a room with a key, a corridor, a room with a door.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.trajectory import Trajectory

SIGNS = 4


class State(NamedTuple):
    """Signs and what was done; int32."""

    signs: Array  # [corridor + 3], one for each row; the last is seen after the door
    time: Array
    key: Array  # 1 if it was taken, else 0


def key_to_door(corridor: int = 18) -> Environment:
    """Terminates at the door; which of four boxes has the key, and which of four handles opens, is shown by a sign.

    Whether the key was taken is not shown. In the corridor signs are random and actions do nothing.

    Args:
      corridor: steps between the two rooms, at least 0.

    Returns:
      Observation float32 [6]: the sign one-hot, whether this is the key's room, whether it is the door's. Four actions.
      Reward 1 for the right handle with the key, which a random policy gets once in 16 episodes.

    Raises:
      ValueError: for a negative corridor.
    """
    if corridor < 0:
        raise ValueError(f"key_to_door: corridor is {corridor}; must be at least 0")
    rows = corridor + 3

    def sign(state: State) -> Array:
        return jnp.sum(jnp.where(jnp.arange(rows) == state.time, state.signs, 0))

    def observe(state: State) -> Array:
        place = jnp.stack([state.time == 0, state.time == corridor + 1]).astype(jnp.float32)
        return jnp.concatenate([jax.nn.one_hot(sign(state), SIGNS), place])

    def initial(key: Key) -> State:
        signs = (jax.random.bits(key, (rows,)) % SIGNS).astype(jnp.int32)
        return State(signs, jnp.int32(0), jnp.int32(0))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        right = action == sign(state)
        taken = jnp.where(state.time == 0, right.astype(jnp.int32), state.key)
        at_door = state.time == corridor + 1
        reward = (at_door & right & (taken == 1)).astype(jnp.float32)
        return State(state.signs, state.time + 1, taken), reward, at_door

    def render(state: State) -> Array:
        at = jnp.arange(rows)
        kinds = jnp.where(at == state.time, 4 + sign(state), jnp.where(at == 0, 1, jnp.where(at == corridor + 1, 2, 0)))
        colours = (drawing.GREY, drawing.WHITE, drawing.BLACK, drawing.WHITE, *drawing.COLOURS[:SIGNS])
        return drawing.grid(kinds[None], colours)

    spec = Spec("key_to_door", Box((6,), 0.0, 1.0), Discrete(SIGNS), rows - 1)
    return episodic(initial, transition, observe, spec, render)


def key_to_door_trajectories(episodes: int = 2_000, corridor: int = 18, seed: int = 0) -> list[Trajectory]:
    """Episodes of random actions, about one in 16 of which succeeds.

    Args:
      episodes: how many.
      corridor: as above.
      seed: of signs and actions.
    """
    rng = np.random.default_rng(seed)
    signs = rng.integers(SIGNS, size=(episodes, corridor + 3))
    actions = rng.integers(SIGNS, size=(episodes, corridor + 2), dtype=np.int32)
    place = np.zeros((corridor + 3, 2), np.float32)
    place[0, 0] = place[corridor + 1, 1] = 1.0
    reward = np.zeros((episodes, corridor + 2), np.float32)
    reward[:, -1] = (actions[:, 0] == signs[:, 0]) & (actions[:, -1] == signs[:, corridor + 1])
    return [
        Trajectory(np.concatenate([np.eye(SIGNS, dtype=np.float32)[seen], place], -1), done, paid)
        for seen, done, paid in zip(signs, actions, reward, strict=True)
    ]
