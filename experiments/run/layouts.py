"""Checkpoints on other devices: a run whose seeds were shared out over some goes on with them shared out otherwise.

The arrays of a checkpoint are `[G, r, ...]`, r runs on each of G devices (`drivers.devices`). Which G it was is seen
from the shapes; the runs are then read one after the other and laid out anew.
"""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax

from agents.base import Tree
from experiments.drivers import devices
from experiments.run import manifests
from experiments.run.checkpoint import Checkpointer


def restore(
    checkpoints: Checkpointer, lay: devices.Layout, template: Tree, meta: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[int, Tree] | None:
    """`Checkpointer.restore`, of a checkpoint that may have been laid out over another number of devices.

    Args:
      checkpoints: of the run.
      lay: how its runs are laid out now.
      template: what a checkpoint of this layout holds; its JAX arrays are `[G, r, ...]`.
      meta: as there.
      defaults: as there.

    Raises:
      ValueError: as there.
    """
    try:
        return checkpoints.restore(template, meta, defaults)
    except ValueError:
        if lay.shared:
            raise
        for groups, each in layouts(lay.runs):
            if (groups, each) != (len(lay.devices), lay.per_device):
                try:
                    found = checkpoints.restore(jax.tree.map(_as_laid_out(lay, groups, each), template), meta, defaults)
                except ValueError:
                    continue
                if found is not None:
                    return found[0], jax.tree.map(_laid_out_anew(lay), template, found[1])
        raise


AGENT = "0/agent/"
"""What the paths of the agent's state begin with in a checkpoint, which holds a `RunState` and results."""


def begun(folder: Path, seeds: int, shared: bool, lay: devices.Layout, agent: Tree) -> Tree:
    """The agents of a run that another one begins with. Schedules of step sizes begin anew.

    Args:
      folder: of the run to start from.
      seeds: how many it has; of one, all runs begin with its agent.
      shared: whether devices trained each of them together.
      lay: of the run that begins.
      agent: shapes of its agents' states, `[G, r, ...]`.

    Returns:
      Arrays `[R, ...]` like `agent`.

    Raises:
      ValueError: there is no readable checkpoint, the agents' states have other shapes, or there are other seeds.
    """
    found = Checkpointer(folder / "checkpoints").part(AGENT)
    if found is None:
        raise ValueError(f"--start-from {folder}: it has no checkpoint that can be read")
    leaves = manifests.leaves_of(agent)
    for name in [*leaves, *(set(found) - set(leaves))]:
        here, there = (
            f"{tree[name].dtype}[{','.join(map(str, tree[name].shape[2:]))}]" if name in tree else "absent"
            for tree in (leaves, found)
        )
        if here != there:
            raise ValueError(
                f"--start-from {folder}: its agent is another: {name} is {there} there and {here} here; start from a "
                f"run of the same agent and networks"
            )
    if seeds not in (1, lay.runs):
        raise ValueError(f"--start-from {folder}: it has {seeds} seeds, and this run {lay.runs}; must be 1 or as many")

    def of_runs(x: np.ndarray) -> np.ndarray:
        own = x[0] if shared else x.reshape(-1, *x.shape[2:])[:seeds]
        return np.broadcast_to(own, (lay.runs, *own.shape[1:])) if seeds == 1 else own

    agents = jax.tree.unflatten(jax.tree.structure(agent), [of_runs(found[name]) for name in leaves])
    scheduled = lambda x: isinstance(x, optax.ScaleByScheduleState)  # noqa: E731
    anew = lambda x: jax.tree.map(np.zeros_like, x) if scheduled(x) else x  # noqa: E731
    return jax.tree.map(anew, agents, is_leaf=scheduled)


def layouts(runs: int) -> list[tuple[int, int]]:
    """How so many runs can be shared out: `(devices, runs on each)`, as `devices.layout` does it."""
    per_device = [math.ceil(runs / groups) for groups in range(1, runs + 1)]
    return sorted({(math.ceil(runs / each), each) for each in per_device})


def _is_array(leaf: Tree) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _as_laid_out(lay: devices.Layout, groups: int, each: int) -> Callable[[Tree], Tree]:
    """What an array was, laid out like that; read onto one device."""
    alone = jax.sharding.SingleDeviceSharding(lay.devices[0])

    def shape(leaf: Tree) -> Tree:
        if not _is_array(leaf):
            return leaf
        return jax.ShapeDtypeStruct((groups, each, *leaf.shape[2:]), leaf.dtype, sharding=alone)

    return shape


def _laid_out_anew(lay: devices.Layout) -> Callable[[Tree, Tree], Tree]:
    """Moves an array `[G', r', ...]` to where the template's is."""
    index = devices.order(lay)

    def move(like: Tree, found: Tree) -> Tree:
        if not _is_array(like):
            return found
        return jax.device_put(found.reshape(-1, *found.shape[2:])[np.asarray(index)], like.sharding)

    return move
