"""Two roads that cross: what is best is in no trajectory of the data, but in the first half of one and the second of
another.

Most trajectories go from west to east, which pays 0.1, and a few from south to north, which pays 1. Whoever starts in
the west does best to turn north at the crossing. Imitation goes east; the best tenth of the trajectories shows nothing
of the western road; values that are learned from both join them (Fu et al., "D4RL", arXiv:2004.07219, on stitching).
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.trajectory import Trajectory

NORTH_PAYS, EAST_PAYS = 1.0, 0.1
MOVES = ((1, 0), (-1, 0), (0, 1), (0, -1))
"""Of the four actions, (row up, column right): north, south, east, west."""


def cross(arm: int = 6, time_limit: int = 60) -> Environment:
    """A grid of which only the middle row and the middle column can be walked on; starts at the western end.

    Args:
      arm: cells from the crossing to each end, at least 2.
      time_limit: steps after which an episode is truncated.

    Returns:
      Observation float32 `[2 arm + 1, 2 arm + 1]`, the cell one-hot, its first row in the south. Four actions: north,
      south, east, west; who would leave the roads stays. Terminates in the north with reward 1, in the east with 0.1.

    Raises:
      ValueError: an argument out of range.
    """
    _check(arm=arm, time_limit=time_limit)
    size = 2 * arm + 1

    def initial(key: Key) -> Array:
        del key
        return jnp.array([arm, 0], jnp.int32)

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        there = jnp.clip(state + jnp.array(MOVES, jnp.int32)[action], 0, size - 1)
        state = jnp.where(jnp.any(there == arm), there, state)
        north, east = state[0] == size - 1, state[1] == size - 1
        return state, jnp.where(north, NORTH_PAYS, jnp.where(east, EAST_PAYS, 0.0)), north | east

    def observe(state: Array) -> Array:
        rows, columns = jnp.arange(size)[:, None], jnp.arange(size)[None]
        return ((rows == state[0]) & (columns == state[1])).astype(jnp.float32)

    def render(state: Array) -> Array:
        kinds = np.where((np.arange(size) == arm)[:, None] | (np.arange(size) == arm)[None], 0, 1)
        kinds[-1, arm], kinds[arm, -1] = 2, 3
        cells = jnp.where(observe(state) > 0, 4, kinds)
        colours = (drawing.WHITE, drawing.GREY, drawing.GREEN, drawing.BLUE, drawing.ORANGE)
        return drawing.grid(cells[::-1], colours)

    spec = Spec("cross", Box((size, size), 0.0, 1.0), Discrete(4), time_limit)
    return episodic(initial, transition, observe, spec, render)


def cross_trajectories(east: int = 90, north: int = 10, arm: int = 6) -> list[Trajectory]:
    """Straight ways through `cross`: `east` of them from west to east, then `north` of them from south to north.

    Raises:
      ValueError: an argument out of range.
    """
    _check(arm=arm)
    size, found = 2 * arm + 1, []
    for count, action, pays in ((east, 2, EAST_PAYS), (north, 0, NORTH_PAYS)):
        observation = np.zeros((size, size, size), np.float32)
        steps = np.arange(size)
        observation[steps, arm if action == 2 else steps, steps if action == 2 else arm] = 1.0
        reward = np.zeros(size - 1, np.float32)
        reward[-1] = pays
        found += [Trajectory(observation, np.full(size - 1, action, np.int32), reward)] * count
    return found


SPEED, WIDTH, END, JITTER = 0.1, 0.15, 0.95, 0.1
"""Of the continuous cross: what an action of 1 moves, half the width of a road, where the roads end, and how far from
their middle the start is at most."""


def continuous_cross(time_limit: int = 100) -> Environment:
    """The same of a point in the plane: roads of width 0.3 along both axes, from -1 to 1; starts in the west.

    Args:
      time_limit: steps after which an episode is truncated.

    Returns:
      Observation float32 [2] in [-1, 1], the position: x to the east, y to the north. Action float32 [2] in [-1, 1],
      clipped; 0.1 times it is the move, along each road as far as its edge. Terminates beyond 0.95 in the north with
      reward 1, in the east with 0.1.

    Raises:
      ValueError: a time limit below 1.
    """
    _check(time_limit=time_limit)

    def initial(key: Key) -> Array:
        return jnp.stack([-1.0, jax.random.uniform(key, minval=-JITTER, maxval=JITTER)])

    def transition(key: Key, state: Array, action: Array) -> tuple[Array, Array, Array]:
        del key
        state, reward, ended = _moved(state, action, jnp)
        return state, reward, ended

    def render(state: Array) -> Array:
        frame = drawing.canvas(160, 160, drawing.GREY)
        for size in ((2 * WIDTH / 2.2, 1.0), (1.0, 2 * WIDTH / 2.2)):
            frame = drawing.rectangle(frame, (0.0, 0.0), size, drawing.WHITE)
        for centre, colour in (((0.0, 1 / 2.2), drawing.GREEN), ((1 / 2.2, 0.0), drawing.BLUE)):
            frame = drawing.segment(frame, centre, centre, 0.06, colour)
        here = (state[0] / 2.2, state[1] / 2.2)
        return drawing.segment(frame, here, here, 0.05, drawing.ORANGE)

    spec = Spec("continuous_cross", Box((2,), -1.0, 1.0), Box((2,), -1.0, 1.0), time_limit)
    return episodic(initial, transition, lambda state: state, spec, render)


def continuous_cross_trajectories(
    east: int = 90, north: int = 10, noise: float = 0.1, seed: int = 0
) -> list[Trajectory]:
    """Ways through `continuous_cross`, straight but for normal noise in the actions, steering back to the middle.

    Args:
      east: how many go from west to east; they come first.
      north: how many go from south to north.
      noise: standard deviation in each dimension of the actions, which are clipped to [-1, 1].
      seed: of the noise.
    """
    rng = np.random.default_rng(seed)
    found = []
    for count, along in ((east, 0), (north, 1)):
        for _ in range(count):
            state = np.zeros(2, np.float32)
            state[along], state[1 - along] = -1.0, rng.uniform(-JITTER, JITTER)
            observations, actions, rewards, ended = [state], [], [], False
            while not ended:
                aim = np.zeros(2)
                aim[along], aim[1 - along] = 0.7, -2.0 * state[1 - along]
                action = np.clip(aim + noise * rng.normal(size=2), -1.0, 1.0).astype(np.float32)
                state, reward, ended = _moved(state, action, np)
                observations.append(state.astype(np.float32))
                actions.append(action)
                rewards.append(reward)
            found.append(Trajectory(np.stack(observations), np.stack(actions), np.asarray(rewards, np.float32)))
    return found


def _moved(state: Any, action: Any, xp: Any) -> tuple[Any, Any, Any]:
    """The point after an action, its reward and whether it has arrived, in numpy or in JAX."""
    dx, dy = SPEED * xp.clip(action, -1.0, 1.0)
    x, y = xp.clip(state[0] + dx, -1.0, 1.0), xp.clip(state[1] + dy, -1.0, 1.0)
    x = xp.where(xp.abs(state[1]) <= WIDTH, x, xp.clip(x, -WIDTH, WIDTH))  # along x first, then along y
    y = xp.where(xp.abs(x) <= WIDTH, y, xp.clip(y, -WIDTH, WIDTH))
    there = xp.stack([x, y])
    north, east = there[1] >= END, there[0] >= END
    return there, xp.where(north, NORTH_PAYS, xp.where(east, EAST_PAYS, 0.0)), north | east


def _check(**numbers: int) -> None:
    least = {"arm": 2, "time_limit": 1}
    for name, value in numbers.items():
        if value < least[name]:
            raise ValueError(f"cross: {name} is {value}; must be at least {least[name]}")
