"""Which bonuses tell what is new from what is noise: an 8 x 8 grid with a block of white noise beside the position.

An observation is the one-hot cell and 43 numbers of white noise, 40 % of all. Modules learn from random transitions in
the left half; the bonus of transitions in the right half, which are new, is set against that of those in the left.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from agents.base import MID, Step, TimeStep
from agents.common import bonuses, optimisers
from agents.common.curiosity import Module
from envs import keys
from envs.base import Array, Box, Discrete, Key, Spec

SIDE, NOISE, ACTIONS = 8, 43, 4
CELLS = SIDE * SIDE
SPEC = Spec("noise_grid", Box((CELLS + NOISE,)), Discrete(ACTIONS))
BATCH = 128


def moves() -> np.ndarray:
    """The cell after each cell and action, `[CELLS, ACTIONS]`; moves off the board or into the other half stay."""
    after = np.tile(np.arange(CELLS)[:, None], (1, ACTIONS))
    for cell in range(CELLS):
        for action, (down, right) in enumerate(((-1, 0), (1, 0), (0, -1), (0, 1))):
            y, x = cell // SIDE + down, cell % SIDE + right
            if 0 <= y < SIDE and 0 <= x < SIDE and (x < SIDE // 2) == (cell % SIDE < SIDE // 2):
                after[cell, action] = y * SIDE + x
    return after


AFTER = moves()
LEFT = np.array([cell for cell in range(CELLS) if cell % SIDE < SIDE // 2])
RIGHT = np.setdiff1d(np.arange(CELLS), LEFT)


def transitions(key: Key, cells: np.ndarray, count: int, noise: bool = True) -> Step:
    """Random transitions from some cells, as a window `[2, count]`."""
    k_cell, k_action, k_noise = jax.random.split(key, 3)
    s = jax.random.choice(k_cell, jnp.asarray(cells), (count,))
    a = jax.random.randint(k_action, (count,), 0, ACTIONS)
    where = jax.nn.one_hot(jnp.stack([s, jnp.asarray(AFTER)[s, a]]), CELLS)
    blur = jax.random.normal(k_noise, (2, count, NOISE)) * noise
    zeros = jnp.zeros((2, count))
    timestep = TimeStep(zeros.astype(jnp.int8) + MID, zeros, zeros + 1, jnp.concatenate([where, blur], -1))
    return Step(timestep, jnp.stack([a, a]))


def module_of(kind: str) -> Module:
    """What pays.

    Args:
      kind: ICM ("inverse"; "stopped" keeps the forward loss out of its features), "random" and "raw" features, or
        "rnd"; of the large-scale study, whose forward model is told the action at every layer and trains no features,
        "large" (inverse), "large-random", "large-raw" and "large-vae".
    """
    optimiser = optimisers.adam(1e-3)
    if kind == "rnd":
        return bonuses.distillation(SPEC, optimiser, hidden=(128,), whiten=False)
    if kind.startswith("large"):
        of: Any = kind.removeprefix("large").lstrip("-") or "inverse"
        return bonuses.dynamics(SPEC, optimiser, kind=of, hidden=(128,), beta=0.5, through=False, blocks=4)
    features: bonuses.Features = "random" if kind == "random" else "raw" if kind == "raw" else "inverse"
    return bonuses.dynamics(SPEC, optimiser, kind=features, hidden=(128,), through=kind != "stopped")


def trained(seed: int, kind: str, updates: int, noise: bool) -> tuple[Array, Array]:
    """Bonuses of 2,000 new and of 2,000 known transitions, after learning in the left half."""
    module = module_of(kind)

    def run(key: Key) -> tuple[Array, Array]:
        k_init, k_train, k_new, k_known = jax.random.split(key, 4)
        first = transitions(k_init, LEFT, BATCH, noise)
        state = module.init(k_init, jax.tree.map(lambda x: x[0], first.timestep))

        def learn(state: object, key: Key) -> tuple[object, None]:
            return module.update(state, key, transitions(key, LEFT, BATCH, noise))[0], None

        state, _ = jax.lax.scan(learn, state, jax.random.split(k_train, updates))

        def judged(key: Key, cells: np.ndarray) -> Array:
            steps = transitions(key, cells, 2000, noise)
            before, after = (jax.tree.map(lambda x, i=i: x[i], steps) for i in (0, 1))
            actor = module.actor(state)
            return module.bonus(actor, (), before.timestep.observation, before.action, after.timestep)[0]

        return judged(k_new, RIGHT), judged(k_known, LEFT)

    return jax.jit(run)(keys.key(seed))


def ratio(seeds: Sequence[int], kind: str = "inverse", updates: int = 3000, noise: bool = True) -> np.ndarray:
    """The mean bonus of what is new over that of what is known.

    Args:
      seeds: of networks and transitions.
      kind: of `module_of`.
      updates: of batches of 128.
      noise: whether there is any.

    Returns:
      `[seeds]`.
    """
    return np.array(
        [float(new.mean() / known.mean()) for new, known in (trained(s, kind, updates, noise) for s in seeds)]
    )


def separation(seeds: Sequence[int], kind: str = "inverse", updates: int = 3000, noise: bool = True) -> np.ndarray:
    """The probability that a new transition has a higher bonus than a known one (the area under the ROC curve).

    Args:
      seeds: of networks and transitions.
      kind: of `module_of`.
      updates: of batches of 128.
      noise: whether there is any.

    Returns:
      `[seeds]`.
    """
    found = []
    for seed in seeds:
        new, known = map(np.asarray, trained(seed, kind, updates, noise))
        found.append(np.searchsorted(np.sort(known), new).mean() / known.size)
    return np.array(found)
