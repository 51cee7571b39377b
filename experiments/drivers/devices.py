"""The one place where a driver meets devices.

Runs (seeds, and the points of a sweep) are stacked along an axis R. A `Layout` lays them out over devices in one of two
ways, as arrays `[G, r, ...]`:

  spread  the R runs are shared out over G devices, r each. Runs know nothing of each other.
  shared  each of the G devices holds a part of the lanes of every run (r = R) and gradients are averaged over the axis
          `envs.parallel.AXIS`: data-parallel training.

`mapped` runs a function of one run over a layout, with `pmap` or with `shard_map`; both give the same parameters.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from agents.base import Array, Tree
from envs.parallel import AXIS


class Layout(NamedTuple):
    """How R runs lie on devices."""

    runs: int
    devices: tuple[Any, ...]  # G of them
    per_device: int  # r
    shared: bool

    @property
    def sharding(self) -> NamedSharding:
        """Of an array `[G, ...]`."""
        return NamedSharding(Mesh(np.array(self.devices), (AXIS,)), PartitionSpec(AXIS))


def layout(runs: int, share: int = 1, devices: Sequence[jax.Device] | None = None) -> Layout:
    """Chooses a layout.

    Args:
      runs: R.
      share: devices that train each run together; 1 to share out the runs instead.
      devices: which to use; by default all that there are.

    Raises:
      ValueError: there are fewer than `share` devices.
    """
    available = tuple(jax.devices() if devices is None else devices)
    if share > len(available):
        raise ValueError(f"--devices {share}: this machine has {len(available)} ({available[0].platform})")
    if share > 1:
        return Layout(runs, available[:share], runs, True)
    per_device = math.ceil(runs / min(runs, len(available)))
    return Layout(runs, available[: math.ceil(runs / per_device)], per_device, False)


def spans(lay: Layout) -> bool:
    """Whether its devices are of several processes."""
    return any(device.process_index != jax.process_index() for device in lay.devices)


def order(lay: Layout) -> np.ndarray:
    """Which run is at which place, `[G, r]`. Spare places repeat the first run."""
    groups = len(lay.devices)
    if lay.shared:
        return np.tile(np.arange(lay.runs), (groups, 1))
    index = np.arange(groups * lay.per_device)
    return np.where(index < lay.runs, index, 0).reshape(groups, lay.per_device)


def place(lay: Layout, tree: Tree) -> Tree:
    """Arrays `[R, ...]` to `[G, r, ...]` on the devices."""
    index = order(lay)

    def put(x: Array) -> Array:
        if spans(lay):
            own = [i for i, device in enumerate(lay.devices) if device.process_index == jax.process_index()]
            return x[index[own]]  # `pmap` takes what is for this process's devices, and puts it there
        return jax.device_put(x[index], lay.sharding)

    return jax.tree.map(put, tree)


def common(lay: Layout, tree: Tree) -> Tree:
    """Arrays that all runs have in common: whole, on every device, so that `mapped` takes them without a copy."""
    if len(lay.devices) == 1:
        return jax.device_put(tree, lay.devices[0])
    return jax.device_put(tree, NamedSharding(lay.sharding.mesh, PartitionSpec()))


def copy_on(device: jax.Device, tree: Tree) -> Tree:
    """What a device has of arrays that are `common`, for a function that runs there alone; nothing is copied."""
    return jax.tree.map(lambda x: {shard.device: shard.data for shard in x.addressable_shards}[device], tree)


def collect(lay: Layout, tree: Tree) -> Tree:
    """Arrays `[G, r, ...]` to numpy `[R, ...]`; where a run is shared, what its first device has."""

    def get(x: Any) -> np.ndarray:
        x = np.asarray(x.addressable_data(0) if lay.shared else x)
        return x[0] if lay.shared else x.reshape(-1, *x.shape[2:])[: lay.runs]

    return jax.tree.map(get, tree)


def groups(lay: Layout) -> list[Layout]:
    """A spread layout as one layout of r runs for each device, spare places included."""
    return [Layout(lay.per_device, (device,), lay.per_device, False) for device in lay.devices]


def apart(lay: Layout, tree: Tree) -> list[Tree]:
    """Arrays `[G, r, ...]` as G trees of arrays `[1, r, ...]`, each on its device; nothing is copied."""
    leaves, structure = jax.tree.flatten(tree)
    shards = [{shard.device: shard.data for shard in x.addressable_shards} for x in leaves]
    return [jax.tree.unflatten(structure, [by_device[device] for by_device in shards]) for device in lay.devices]


def together(lay: Layout, parts: Sequence[Tree]) -> Tree:
    """The inverse of `apart`."""

    def join(*shards: Array) -> Array:
        return jax.make_array_from_single_device_arrays((len(shards), *shards[0].shape[1:]), lay.sharding, shards)

    return jax.tree.map(join, *parts)


def lanes_in(lay: Layout, tree: Tree) -> Tree:
    """A pool's arrays `[R' * B, ...]`, run by run, to `[G, r, B, ...]` (B is per device where runs are shared)."""

    def fold(x: np.ndarray) -> np.ndarray:
        groups, rest = len(lay.devices), x.shape[1:]
        if lay.shared:
            return x.reshape(lay.runs, groups, -1, *rest).swapaxes(0, 1)
        return x.reshape(groups, lay.per_device, -1, *rest)

    return jax.tree.map(fold, tree)


def lanes_out(lay: Layout, tree: Tree) -> Tree:
    """The inverse of `lanes_in`, as numpy."""

    def unfold(x: Array | np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        x = x.swapaxes(0, 1) if lay.shared else x
        return x.reshape(-1, *x.shape[3:])

    return jax.tree.map(unfold, tree)


def places(lay: Layout) -> int:
    """How many runs are computed, spare places included."""
    return lay.runs if lay.shared else len(lay.devices) * lay.per_device


def mapped(
    lay: Layout,
    fn: Callable[..., Tree],
    *,
    in_axes: Sequence[int | None] | None = None,
    donate: tuple[int, ...] = (),
    backend: str = "pmap",
) -> Callable[..., Tree]:
    """Runs a function of one run over a layout, compiled.

    Args:
      lay: where the runs are.
      fn: positional arguments and results are trees of arrays.
      in_axes: None for arguments that all runs have in common; others are `[G, r, ...]`.
      donate: arguments whose buffers the result may reuse.
      backend: "pmap" or "shard_map".
    """

    def first_axis_off(run: Callable[..., Tree]) -> Callable[..., Tree]:
        def inner(*args: Tree) -> Tree:
            bare = [
                a if ax is None else jax.tree.map(lambda x: x[0], a) for a, ax in zip(args, axes(args), strict=True)
            ]
            return jax.tree.map(lambda x: x[None], run(*bare))

        return inner

    def axes(args: tuple) -> Sequence[int | None]:
        return in_axes or (0,) * len(args)

    # One run a device goes without the batch axis: its scatters and gathers stay plain slices.
    over_runs = first_axis_off(fn) if lay.per_device == 1 else lambda *args: jax.vmap(fn, axes(args))(*args)
    if len(lay.devices) == 1:
        return jax.jit(first_axis_off(over_runs), donate_argnums=donate)
    name = AXIS if lay.shared else "runs"
    if backend == "pmap":
        spread = 0 if in_axes is None else tuple(in_axes)
        return jax.pmap(over_runs, name, in_axes=spread, devices=lay.devices, donate_argnums=donate)

    def sharded(*args: Tree) -> Tree:
        specs = tuple(PartitionSpec() if axis is None else PartitionSpec(name) for axis in axes(args))
        mesh = Mesh(np.array(lay.devices), (name,))
        # Without the replication check, gradients of replicated parameters stay local, as under pmap.
        block = first_axis_off(over_runs)
        return jax.shard_map(block, mesh=mesh, in_specs=specs, out_specs=PartitionSpec(name), check_vma=False)(*args)

    return jax.jit(sharded, donate_argnums=donate)


def laid_out(lay: Layout, shapes: Tree) -> Tree:
    """Shapes with the layout's sharding, as a template to restore into."""
    sharding = lay.sharding if len(lay.devices) > 1 else jax.sharding.SingleDeviceSharding(lay.devices[0])
    return jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), shapes)
