"""Revaluation on a grid: what an agent that has learned one task is worth at once, when the reward or a way changes.

A 5 x 5 grid is parted by a wall with a door at its top and one at its bottom. A goal ends the episode and pays 1; every
policy is judged by its value from all cells of the left room, divided by that of the optimal policy.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING

import jax
import jax.numpy as jnp
import numpy as np

from agents import losses
from agents.base import LAST, MID, Agent, Sample, Step, TimeStep
from agents.dyna_q import dyna_q
from agents.successor import State, successor
from envs import keys

if TYPE_CHECKING:
    from agents.base import Tree

SIDE, ACTIONS, GAMMA = 5, 4, 0.9
CELLS = SIDE * SIDE
WALL = SIDE // 2
LEFT = np.array([cell for cell in range(CELLS) if cell % SIDE < WALL])
TOP, BOTTOM = WALL, (SIDE - 1) * SIDE + WALL
"""The cells of the two doors."""


def moves(*blocked: int, walls: bool = True) -> np.ndarray:
    """The cell after each cell and action (up, down, left, right), `[CELLS, ACTIONS]`; doors may be blocked."""
    shut = {cell for cell in range(CELLS) if walls and cell % SIDE == WALL} - {TOP, BOTTOM} | set(blocked)
    after = np.tile(np.arange(CELLS)[:, None], (1, ACTIONS))
    for cell in range(CELLS):
        for action, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            y, x = cell // SIDE + down, cell % SIDE + right
            if 0 <= y < SIDE and 0 <= x < SIDE and y * SIDE + x not in shut:
                after[cell, action] = y * SIDE + x
    return after


def optimal(after: np.ndarray, pay: np.ndarray) -> np.ndarray:
    """Optimal action values `[CELLS, ACTIONS]`; cells that pay end the episode."""
    q = np.zeros((CELLS, ACTIONS))
    for _ in range(200):
        q = pay[after] + GAMMA * (pay[after] == 0) * q.max(1)[after]
    return q


def worth(q: np.ndarray, after: np.ndarray, pay: np.ndarray, starts: np.ndarray = LEFT) -> float:
    """The value of acting greedily by `q`, over that of acting optimally, mean over `starts`."""
    chosen = q.argmax(1)
    reached, reward = after[np.arange(CELLS), chosen], pay[after[np.arange(CELLS), chosen]]
    value = np.zeros(CELLS)
    for _ in range(200):
        value = reward + GAMMA * (reward == 0) * value[reached]
    return float(value[starts].mean() / optimal(after, pay).max(1)[starts].mean())


def transitions(seed: int, count: int, after: np.ndarray, pay: np.ndarray, cells: np.ndarray | None = None) -> Sample:
    """Single transitions from random cells by random actions, as a window `[2, count]`."""
    rng = np.random.default_rng(seed)
    pool = np.flatnonzero(pay == 0) if cells is None else cells
    s, a = rng.choice(pool, count), rng.integers(ACTIONS, size=count)
    reached = after[s, a]
    ends = pay[reached] > 0
    rows = lambda *x: jnp.asarray(np.stack(x))  # noqa: E731
    timestep = TimeStep(
        step_type=rows(np.full(count, MID, np.int8), np.where(ends, LAST, MID).astype(np.int8)),
        reward=rows(np.zeros(count, np.float32), pay[reached].astype(np.float32)),
        discount=rows(np.ones(count, np.float32), (~ends).astype(np.float32)),
        observation=rows(s.astype(np.int32), reached.astype(np.int32)),
    )
    return Sample(Step(timestep, rows(a.astype(np.int32), np.zeros(count, np.int32))))


@cache
def _learner(kind: str) -> tuple[Agent, Callable]:
    agents = {
        "successor": lambda: successor(CELLS, ACTIONS, discount=GAMMA, policy="random", reward_rate=1.0),
        "q": lambda: dyna_q(CELLS, ACTIONS, n=0, discount=GAMMA, learning_rate=0.5),
        "model": lambda: dyna_q(CELLS, ACTIONS, n=200, discount=GAMMA, learning_rate=0.5),
    }
    agent = agents[kind]()
    return agent, jax.jit(agent.update)


def _trained(kind: str, seed: int, after: np.ndarray, pay: np.ndarray, count: int) -> "tuple[Tree, Callable]":
    agent, update = _learner(kind)
    sample = transitions(seed, count, after, pay)
    state = agent.init(keys.key(seed), jax.tree.map(lambda x: x[0], sample.steps.timestep))
    return update(state, keys.key(seed), sample)[0], update


def _values(kind: str, state: "Tree") -> np.ndarray:
    agent, _ = _learner(kind)
    return np.asarray(agent.actor(state))


def error(seeds: Sequence[int], rate: float = 0.02, count: int = 400_000) -> np.ndarray:
    """The largest error of a learned representation of the random policy against (I - γ P)⁻¹ on an open grid.

    Args:
      seeds: of the transitions.
      rate: step size.
      count: transitions.

    Returns:
      `[seeds]`.
    """
    after, nothing = moves(walls=False), np.zeros(CELLS)
    chance = np.zeros((CELLS, CELLS))
    for action in range(ACTIONS):
        chance[np.arange(CELLS), after[:, action]] += 1 / ACTIONS
    exact = np.linalg.inv(np.eye(CELLS) - GAMMA * chance)
    agent = successor(CELLS, ACTIONS, discount=GAMMA, policy="random", learning_rate=rate)
    update = jax.jit(agent.update)
    found = []
    for seed in seeds:
        sample = transitions(seed, count, after, nothing)
        state = agent.init(keys.key(seed), jax.tree.map(lambda x: x[0], sample.steps.timestep))
        state, _ = update(state, keys.key(seed), sample)
        found.append(np.abs(np.eye(CELLS) + GAMMA * np.asarray(state.psi).mean(1) - exact).max())
    return np.array(found)


def reward(seeds: Sequence[int], kind: str = "successor", count: int = 20_000) -> np.ndarray:
    """What an agent is worth right after the goal has moved, having seen 40 transitions around the new and old goal.

    Args:
      seeds: of the transitions.
      kind: "successor", "q" (Q-learning) or "model" (Dyna-Q with 200 planning steps).
      count: transitions of the first task.

    Returns:
      `[seeds]`.
    """
    after = moves()
    before, now = np.zeros(CELLS), np.zeros(CELLS)
    old, new = SIDE - 1, CELLS - 1
    before[old], now[new] = 1.0, 1.0
    near = np.flatnonzero(np.isin(after, (old, new)).any(1) & (now == 0))
    found = []
    for seed in seeds:
        state, update = _trained(kind, seed, after, before, count)
        state, _ = update(state, keys.key(seed + 1), transitions(seed + 1, 40, after, now, near))
        found.append(worth(_values(kind, state), after, now))
    return np.array(found)


def transition(seeds: Sequence[int], kind: str = "successor", count: int = 20_000) -> np.ndarray:
    """What an agent is worth right after the door on its way was blocked, having seen 40 transitions around that door.

    Args:
      seeds: of the transitions.
      kind: "successor", "q" (Q-learning) or "model" (Dyna-Q with 200 planning steps).
      count: transitions before.

    Returns:
      `[seeds]`.
    """
    after, blocked = moves(), moves(TOP)
    pay = np.zeros(CELLS)
    pay[SIDE - 1] = 1.0
    near = np.array([TOP - 1, TOP + 1])
    found = []
    for seed in seeds:
        state, update = _trained(kind, seed, after, pay, count)
        state, _ = update(state, keys.key(seed + 1), transitions(seed + 1, 40, blocked, pay, near))
        found.append(worth(_values(kind, state), blocked, pay))
    return np.array(found)


def transfer(seeds: Sequence[int], policies: int = 4, tasks: int = 20, count: int = 60_000) -> np.ndarray:
    """What generalised policy improvement is worth on new tasks, without learning.

    Each of four corners is the only one that pays in one task, of which the greedy policy's representation is learned.
    A new task pays at every corner a random amount between 0 and 1, each time that it is entered. Nothing ends.

    Args:
      seeds: of the transitions and the new tasks.
      policies: how many of the four are known.
      tasks: new tasks, of whose ratios to the optimum the mean is taken.
      count: transitions in each task.

    Returns:
      `[seeds]`.
    """
    after = moves(walls=False)
    corners = np.array([0, SIDE - 1, CELLS - SIDE, CELLS - 1])
    agent = successor(CELLS, ACTIONS, discount=GAMMA, reward_rate=1.0)
    update = jax.jit(agent.update)
    found = []
    for seed in seeds:
        known = []
        for corner in corners[:policies]:
            sample = transitions(seed, count, after, np.zeros(CELLS))
            paid = (sample.steps.timestep.observation[1] == corner).astype(jnp.float32)
            timestep = sample.steps.timestep._replace(reward=jnp.stack([jnp.zeros_like(paid), paid]))
            first = jax.tree.map(lambda x: x[0], timestep)
            state = agent.init(keys.key(seed), first)
            known.append(update(state, keys.key(seed), Sample(sample.steps._replace(timestep=timestep)))[0])
        rng, ratios = np.random.default_rng(seed), []
        for _ in range(tasks):
            weights = np.zeros(CELLS)
            weights[corners] = rng.random(len(corners))
            ratios.append(_ratio(known, weights, after))
        found.append(np.mean(ratios))
    return np.array(found)


def _ratio(known: list[State], weights: np.ndarray, after: np.ndarray) -> float:
    """The value of improving on the known policies over the optimum, of a task that does not end."""
    psi = jnp.stack([state.psi for state in known], axis=1)
    q = np.asarray(losses.improved_values(psi, jnp.asarray(weights, jnp.float32)))
    reached, best = after[np.arange(CELLS), q.argmax(1)], np.zeros(CELLS)
    value = np.zeros(CELLS)
    for _ in range(400):
        value = weights[reached] + GAMMA * value[reached]
        best = (weights[after] + GAMMA * best[after]).max(1)
    return float(value.mean() / best.mean())
