"""A grid whose goal is told in another domain than its states are shown in: two digits on a sign, for row and column.

A small form of the tasks of Edwards, Sood and Isbell, "Cross-domain perceptual reward functions", 2017, in which goals
are given by images, speech or gestures that look like no state. What signs mean is to be learned from examples, of
which some goals can be kept away.
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from envs import drawing
from envs.base import Array, Box, Discrete, Environment, Key, Spec, episodic
from envs.goals import near

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1), (0, 0))  # up, down, left, right, stay
DIGITS = (
    ("###", "#.#", "#.#", "#.#", "###"),
    (".#.", "##.", ".#.", ".#.", "###"),
    ("###", "..#", "###", "#..", "###"),
    ("###", "..#", "###", "..#", "###"),
    ("#.#", "#.#", "###", "..#", "..#"),
    ("###", "#..", "###", "..#", "###"),
    ("###", "#..", "###", "#.#", "###"),
    ("###", "..#", ".#.", ".#.", ".#."),
    ("###", "#.#", "###", "#.#", "###"),
    ("###", "#.#", "###", "..#", "###"),
)
HEIGHT, WIDTH = 7, 10
"""Of a sign: each digit is 5 x 3, in a half of 7 x 5 in which it is moved."""
Which = Literal["seen", "held", "all"]


class State(NamedTuple):
    """Cells as int32 `[2]`, row and column."""

    place: Array
    goal: Array
    sign: Array  # float32 [HEIGHT, WIDTH]


def cells(size: int, which: Which = "all") -> np.ndarray:
    """Rows and columns of goals, int `[goals, 2]`; about a fifth of them is held out."""
    found = np.argwhere(np.ones((size, size), bool))
    held = (2 * found[:, 0] + found[:, 1]) % 5 == 0
    return {"all": found, "held": found[held], "seen": found[~held]}[which]


def signed(key: Key, goal: Array, noise: float) -> Array:
    """A sign of a goal: both digits moved by up to a pixel or two, of some contrast, under noise; `[HEIGHT, WIDTH]`."""
    digits = jnp.asarray(np.array([[[c == "#" for c in row] for row in digit] for digit in DIGITS]), jnp.float32)
    k_move, k_contrast, k_noise = jax.random.split(key, 3)
    moved = jax.random.randint(k_move, (2, 2), 0, 3)
    blank = jnp.zeros((HEIGHT, WIDTH // 2))
    halves = [jax.lax.dynamic_update_slice(blank, digits[goal[i]], tuple(moved[i])) for i in range(2)]
    contrast = jax.random.uniform(k_contrast, minval=0.6, maxval=1.0)
    drawn = contrast * jnp.concatenate(halves, axis=1)
    return jnp.clip(drawn + noise * jax.random.normal(k_noise, drawn.shape), 0.0, 1.0)


def sign_grid(size: int = 6, goals: Which = "seen", noise: float = 0.1, time_limit: int = 20) -> Environment:
    """Moves in four directions, or stays, from any cell; pays 1 for each step on the goal, and never ends early.

    Args:
      size: cells along a side, 3 to 10.
      goals: "all" cells, those whose signs examples show ("seen"), or the others ("held").
      noise: standard deviation of the sign's pixels.
      time_limit: steps.

    Returns:
      Observation, a dict of float32: `observation`, the grid with 1 where one is; `sign`, the goal in the other domain;
      and row and column of both, `achieved_goal` and `desired_goal`, which a learner from perception does not see.

    Raises:
      ValueError: an argument out of range.
    """
    if not 3 <= size <= len(DIGITS):
        raise ValueError(f"sign_grid: size must be from 3 to {len(DIGITS)}, got {size}")
    if goals not in get_args(Which):
        raise ValueError(f"sign_grid: goals is {goals!r}; allowed: {', '.join(get_args(Which))}")
    if noise < 0:
        raise ValueError(f"sign_grid: noise must not be negative, got {noise}")
    if time_limit < 1:
        raise ValueError(f"sign_grid: time_limit must be at least 1, got {time_limit}")
    moves, targets = jnp.asarray(MOVES, jnp.int32), jnp.asarray(cells(size, goals), jnp.int32)
    rules = near(0.5, "bonus")

    def picture(place: Array) -> Array:
        return jax.nn.one_hot(place[0], size)[:, None] * jax.nn.one_hot(place[1], size)[None]

    def observe(state: State) -> dict[str, Array]:
        where = {"achieved_goal": state.place, "desired_goal": state.goal}
        told = {name: place.astype(jnp.float32) for name, place in where.items()}
        return {"observation": picture(state.place), "sign": state.sign, **told}

    def initial(key: Key) -> State:
        k_place, k_goal, k_sign = jax.random.split(key, 3)
        goal = targets[jax.random.randint(k_goal, (), 0, len(targets))]
        return State(jax.random.randint(k_place, (2,), 0, size), goal, signed(k_sign, goal, noise))

    def transition(key: Key, state: State, action: Array) -> tuple[State, Array, Array]:
        del key
        place = jnp.clip(state.place + moves[action], 0, size - 1)
        paid = rules.reward(place.astype(jnp.float32), state.goal.astype(jnp.float32))
        return state._replace(place=place), paid, jnp.bool_(False)

    def render(state: State) -> Array:
        board = jnp.zeros((size, size), jnp.int32).at[tuple(state.goal)].set(1).at[tuple(state.place)].set(2)
        grid = drawing.grid(board, (drawing.WHITE, drawing.GREEN, drawing.ORANGE))
        scale = max(1, grid.shape[0] // HEIGHT)
        shade = (255 * (1 - state.sign)).astype(jnp.uint8)
        shade = jnp.repeat(jnp.repeat(shade, scale, axis=0), scale, axis=1)
        shade = jnp.pad(shade, ((0, grid.shape[0] - shade.shape[0]), (scale, 0)), constant_values=200)
        return jnp.concatenate([grid, jnp.repeat(shade[..., None], 3, axis=-1)], axis=1)

    place = Box((2,), 0.0, size - 1.0)
    space = {"observation": Box((size, size), 0.0, 1.0), "sign": Box((HEIGHT, WIDTH), 0.0, 1.0)}
    space |= {"achieved_goal": place, "desired_goal": place}
    return episodic(initial, transition, observe, Spec("sign_grid", space, Discrete(5), time_limit, rules), render)
