"""Checkpoints on other devices: a run whose seeds were shared out over some goes on with them shared out otherwise.

The arrays of a checkpoint are `[G, r, ...]`, r runs on each of G devices (`drivers.devices`). Which G it was is seen
from the shapes; the runs are then read one after the other and laid out anew.
"""

import math
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from experiments.drivers import devices
from experiments.run.checkpoint import Checkpointer


def restore(
    checkpoints: Checkpointer, lay: devices.Layout, template: Any, meta: Mapping[str, Any], defaults: Mapping[str, Any]
) -> tuple[int, Any] | None:
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


def layouts(runs: int) -> list[tuple[int, int]]:
    """How so many runs can be shared out: `(devices, runs on each)`, as `devices.layout` does it."""
    per_device = [math.ceil(runs / groups) for groups in range(1, runs + 1)]
    return sorted({(math.ceil(runs / each), each) for each in per_device})


def _is_array(leaf: Any) -> bool:
    return isinstance(leaf, jax.Array | jax.ShapeDtypeStruct)


def _as_laid_out(lay: devices.Layout, groups: int, each: int) -> Any:
    """What an array was, laid out like that; read onto one device."""
    alone = jax.sharding.SingleDeviceSharding(lay.devices[0])

    def shape(leaf: Any) -> Any:
        if not _is_array(leaf):
            return leaf
        return jax.ShapeDtypeStruct((groups, each, *leaf.shape[2:]), leaf.dtype, sharding=alone)

    return shape


def _laid_out_anew(lay: devices.Layout) -> Any:
    """Moves an array `[G', r', ...]` to where the template's is."""
    index = devices.order(lay)

    def move(like: Any, found: Any) -> Any:
        if not _is_array(like):
            return found
        return jax.device_put(found.reshape(-1, *found.shape[2:])[np.asarray(index)], like.sharding)

    return move
