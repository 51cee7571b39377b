"""Checkpoints: asynchronous, atomic, checked for damage, refused when they are of another run.

A folder holds one sub-folder per step. It is written under another name and renamed once it is complete, so a save
killed at any moment leaves the steps before it as they were::

    20000/manifest.json   flags, paths, shapes and dtypes, the Python numbers of the state, a CRC-32 of every file
    20000/arrays/7/...    the seventh array (zarr, zstd)
    25000.tmp             a save under way, or what a killed one left; never read, removed by the next save
    20000.old             a step being replaced; read only if 20000 is not there

Of an array and of the flags `manifests` and `arrays` know how they are written and read.
"""

import math
import shutil
import time
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import reports
from experiments.run import arrays, manifests

if TYPE_CHECKING:
    from collections.abc import Hashable

    from agents.base import Array, Tree

ASYNC_LIMIT = 128 * 2**20
"""Bytes; larger states are saved while the caller waits, because saving behind its back takes a copy of them."""
OTHER_CODE = "; another version of bellmax or of the task made it, or its config.json was edited"
"""Why a checkpoint whose flags are the same has other shapes."""
TRIES, PAUSE = 50, 0.1
"""How often, and seconds apart, a step is looked for again that was replaced by a newer one while it was read."""


class Checkpointer:
    """Saves and restores whole states in `folder`. One process writes to a folder; any number may read.

    `save` returns once the state has been copied, so donating its buffers afterwards is safe. At most one save is
    under way: the next one waits for it, and raises what it raised. Use as a context manager, or `close()` it.
    """

    def __init__(self, folder: str | Path, keep: int = 3, async_limit: int = ASYNC_LIMIT, marks: Sequence[Path] = ()):
        """Opens `folder`, which need not exist yet.

        Args:
          folder: where the steps are.
          keep: how many steps to keep, the newest.
          async_limit: bytes; states above it are saved in the foreground, without a copy of their arrays.
          marks: files that are made, empty, once a step is complete; they stay when all steps are gone.

        Raises:
          ValueError: `keep` is not positive, or a file or a link is in the place of the folder.
        """
        if keep < 1:
            raise ValueError(f"keep={keep}: must be at least 1")
        self._folder, self._keep, self._async_limit = Path(folder), keep, async_limit
        if reports.files.kind(self._folder) not in ("nothing", "a folder"):
            raise ValueError(
                f"{self._folder}: {reports.files.kind(self._folder)} is in the place of a folder of checkpoints"
            )
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._marks = marks
        self._pending: Future | None = None

    def save(self, step: int, state: "Tree", meta: Mapping[str, Any], wait: bool = False) -> None:
        """Saves `state` as `step`, replacing that step if it exists, and removes what is no longer kept.

        Higher steps are removed too: they can only be damaged ones that `restore` passed over, and what is saved now
        continues from an earlier one.

        Args:
          step: env steps, or any other non-negative count.
          state: a pytree of JAX arrays (PRNG keys among them), NumPy arrays, and Python bool, int, float and str.
          meta: flags that a run must share with this one in order to continue from it; JSON values.
          wait: return only when it is on disk.

        Raises:
          ValueError: a leaf of another type.
          reports.files.UnwritableError: this save, or the one before in the background, met a full disk or the like.
        """
        self.wait()
        leaves = manifests.leaves_of(state)
        raw = {str(i): _raw(x) for i, x in enumerate(leaves.values()) if manifests.is_stored(x)}
        if wait or sum(x.nbytes for x in raw.values()) > self._async_limit:
            self._commit(step, raw, leaves, meta)
        else:
            copies = {name: np.array(x) for name, x in raw.items()}
            self._pending = self._executor.submit(self._commit, step, copies, _without_arrays(leaves), dict(meta))

    def restore(
        self, template: "Tree", meta: Mapping[str, Any], defaults: Mapping[str, Any] = MappingProxyType({})
    ) -> "tuple[int, Tree] | None":
        """The newest readable step. One that a writer replaces meanwhile is looked for again.

        Args:
          template: a pytree like the one saved. Its leaves say where arrays go: NumPy arrays stay on the host, JAX
            arrays and `jax.ShapeDtypeStruct`s take the leaf's sharding (default: the first device). Give shapes
            rather than arrays for large states: arrays stay allocated next to what is read.
          meta: flags, compared with those saved.
          defaults: what flags that the checkpoint does not know, since they are newer than it, count as.

        Returns:
          `(step, state)`; None if there is no readable step. Damaged ones are passed over with a warning.

        Raises:
          ValueError: flags, shapes or dtypes differ; names each.
        """
        self.wait()
        leaves = manifests.leaves_of(template)
        for attempt in range(TRIES):
            damages = []
            for step, path in self._steps():
                before = _identity(path)
                try:
                    manifest = manifests.read(path)
                    manifests.compare(
                        path, "flags", manifests.as_json(defaults) | manifest.meta, manifests.as_json(meta)
                    )
                    manifests.compare(path, "shapes", manifest.fields, manifests.described(leaves), OTHER_CODE)
                    manifests.verify(path, manifest.files)
                    if manifest.step != step:
                        raise manifests.DamagedError(f"it is of step {manifest.step}")
                    found = _read(path / "arrays", manifest, leaves, template)
                except (manifests.DamagedError, arrays.StoreError, OSError) as damage:
                    if before is None or _identity(path) != before:
                        break  # replaced by another, which is complete
                    damages.append(f"checkpoint {path} is damaged ({damage}); taking the one before")
                    continue
                if _identity(path) != before:
                    break  # a piece that was removed meanwhile reads as zeros
                _warn(damages)
                return step, found
            else:
                _warn(damages)
                return None
            if attempt < TRIES - 1:
                time.sleep(PAUSE)
        raise ValueError(f"{self._folder}: its checkpoints are replaced faster than they can be read")

    def part(self, prefix: str) -> dict[str, np.ndarray] | None:
        """The arrays of a part of the newest readable state, whatever else is in it.

        Args:
          prefix: what the paths of the part begin with.

        Returns:
          NumPy arrays by the rest of their path; random keys and Python values are left out. None if no step is
          readable.
        """
        for _, path in self._steps():
            try:
                manifest = manifests.read(path)
                manifests.verify(path, manifest.files)
                found = {}
                for number, (name, kind) in enumerate(manifest.fields.items()):
                    dtype, bracket, sizes = kind.partition("[")
                    if not name.startswith(prefix) or not bracket or dtype.startswith("key<"):
                        continue
                    shape = tuple(int(size) for size in sizes.rstrip("]").split(",") if size)
                    store = arrays.Store(path / "arrays" / str(number), shape, dtype) if math.prod(shape) else None
                    found[name.removeprefix(prefix)] = store.to_host() if store else np.zeros(shape, dtype)
            except (manifests.DamagedError, arrays.StoreError, OSError, ValueError, TypeError) as damage:
                _warn([f"checkpoint {path} is damaged ({damage}); taking the one before"])
                continue
            return found
        return None

    def latest_step(self) -> int | None:
        """The newest step on disk, damaged or not; None if there is none."""
        return next((step for step, _ in self._steps()), None)

    def kept(self, counted: str = "steps") -> str:
        """What is there, in words; `counted` is what a step is one of."""
        saved = self.latest_step()
        return "no checkpoint yet" if saved is None else f"the checkpoint of {saved:,} {counted} is kept"

    def wait(self) -> None:
        """Waits for the save under way, if any, and raises what it raised."""
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()

    def check(self) -> None:
        """Raises what the save in the background raised, if it has ended by now."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def close(self) -> None:
        """Waits for the save under way and ends the thread."""
        try:
            self.wait()
        finally:
            self._executor.shutdown()

    def __enter__(self) -> "Checkpointer":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _steps(self) -> list[tuple[int, Path]]:
        """Complete steps, newest first."""
        try:
            there = list(self._folder.iterdir())
        except OSError:
            return []
        found = {int(p.stem): p for p in there if p.suffix == ".old" and p.stem.isdecimal()}
        found |= {int(p.name): p for p in there if p.name.isdecimal()}
        return sorted(found.items(), reverse=True)

    def _commit(
        self, step: int, raw: "Mapping[str, Array | np.ndarray]", leaves: "Mapping[str, Tree]", meta: Mapping[str, Any]
    ) -> None:
        """Writes a step and prunes the others; in the background or not."""
        final, tmp, old = (self._folder / f"{step}{suffix}" for suffix in ("", ".tmp", ".old"))
        reports.files.make_folder(self._folder)
        with reports.files.writing(tmp):
            for leftover in self._folder.glob("*.tmp"):
                _discard(leftover)
            tmp.mkdir()
        try:
            arrays.write(tmp / "arrays", raw)
            with reports.files.writing(tmp):
                manifests.write(tmp, step, meta, leaves)
        except reports.files.UnwritableError:
            gone = 0  # a full disk has room again; but threads of the save may still be writing, and make it anew
            for _ in range(4 * TRIES):
                shutil.rmtree(tmp, ignore_errors=True)
                gone = 0 if tmp.exists() else gone + 1
                if gone == 3:
                    break
                time.sleep(PAUSE)
            raise
        with reports.files.writing(final):
            if reports.files.kind(final) != "nothing":
                _remove(old)
                final.rename(old)
            tmp.rename(final)
            for mark in self._marks:
                reports.files.touch(mark)
            kept = [path for s, path in self._steps() if s <= step][: self._keep]
            for path in [*self._folder.glob("*.old"), *(path for _, path in self._steps() if path not in kept)]:
                _remove(path)


def _warn(damages: Sequence[str]) -> None:
    for damage in damages:
        warnings.warn(damage, stacklevel=3)


def _identity(path: Path) -> tuple[int, int] | None:
    """Of a folder; another one under the same name has another."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_ino, found.st_ctime_ns


def _remove(path: Path) -> None:
    """Removes a step; killed half-way, what is left is not taken for a step."""
    if reports.files.kind(path) != "nothing":
        tmp = path.with_name(f"{path.name}.tmp")
        _discard(tmp)
        path.rename(tmp)
        _discard(tmp)


def _discard(path: Path) -> None:
    """Removes a folder with all that is in it, a file, or a link and not what it leads to, if it is there."""
    if reports.files.kind(path) == "a folder":
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _without_arrays(leaves: "Mapping[str, Tree]") -> "dict[str, Tree]":
    """Shapes in place of arrays, whose buffers may be given away before they are described."""
    import jax

    return {path: x if manifests.is_value(x) else jax.ShapeDtypeStruct(x.shape, x.dtype) for path, x in leaves.items()}


def _is_key(leaf: "Tree") -> bool:
    import jax

    return not manifests.is_value(leaf) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _key_impl(leaf: "Tree") -> "Hashable":
    """The implementation of a key, or of the shape of one: only while tracing has a shape one."""
    import jax

    found: list[Any] = []
    jax.eval_shape(lambda key: found.append(jax.random.key_impl(key)), leaf)
    return found[0]


def _raw(leaf: "Tree") -> "Array | np.ndarray":
    """An array as it is stored."""
    import jax

    return jax.random.key_data(leaf) if _is_key(leaf) else np.asarray(leaf) if isinstance(leaf, np.generic) else leaf


def _read(folder: Path, manifest: manifests.Manifest, leaves: "Mapping[str, Tree]", template: "Tree") -> "Tree":
    """The state, laid out as the template.

    Raises:
      arrays.StoreError: an array cannot be read, or is not what the manifest says.
    """
    import jax
    import jax.numpy as jnp

    stored = {
        path: jax.eval_shape(jax.random.key_data, x) if _is_key(x) else x
        for path, x in leaves.items()
        if not manifests.is_value(x)
    }
    number = {path: i for i, path in enumerate(leaves)}
    stores = {
        path: arrays.Store(folder / str(number[path]), x.shape, x.dtype)
        for path, x in stored.items()
        if math.prod(x.shape)
    }  # all are opened at once

    def on_host(path: str) -> np.ndarray:
        return stores[path].to_host() if path in stores else np.zeros(stored[path].shape, stored[path].dtype)

    def leaf(path: str, like: "Tree") -> "Tree":
        if manifests.is_value(like):
            return manifest.values[path]
        if isinstance(like, np.ndarray):
            return on_host(path)
        if isinstance(like, np.generic):
            return on_host(path)[()]
        sharding = getattr(like, "sharding", None) or jax.sharding.SingleDeviceSharding(jax.local_devices()[0])
        places = sharding.addressable_devices_indices_map(like.shape)

        def placed(x: "Array | np.ndarray") -> "Array":
            if sharding.is_fully_addressable:
                return jax.device_put(x, sharding)
            ((device, index),) = places.items()  # of one of several processes, which has one device
            return jax.device_put(x[index], device)

        if _is_key(like):
            return placed(jax.random.wrap_key_data(jnp.asarray(on_host(path)), impl=_key_impl(like)))
        if path not in stores:
            return placed(on_host(path))
        shards = [stores[path].to_device(index, device) for device, index in places.items()]
        return jax.make_array_from_single_device_arrays(like.shape, sharding, shards)

    return jax.tree.unflatten(jax.tree.structure(template), [leaf(path, like) for path, like in leaves.items()])
