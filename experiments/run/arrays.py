"""The arrays of a checkpoint on disk: a zarr store each, written by Orbax and read with TensorStore in pieces.

Pieces bound the memory that saving and restoring take beside the state, and let a sharded array be written and read
shard by shard. What a store says of itself is compared with what is expected before anything is allocated.
"""

import errno
import functools
import itertools
import logging
import math
import os
import re
import resource
import shutil
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments import reports

if TYPE_CHECKING:
    import jax
    import tensorstore as ts
    from numpy.typing import DTypeLike

    from agents.base import Array

CHUNK = 32 * 2**20
"""Bytes (before compression) of the pieces in which arrays are written and read."""

Region = tuple[slice, ...]


class StoreError(Exception):
    """Why a store cannot be read."""


def write(folder: Path, arrays: "Mapping[str, Array | np.ndarray]") -> None:
    """Writes each array, NumPy's or JAX's of any sharding, to a store of its own by Orbax: `folder / name`.

    An OCDBT store would keep all that is written in memory to the end.

    Raises:
      reports.files.UnwritableError: there is no room, or the like.
    """
    import jax
    import orbax.checkpoint as ocp

    check_room(folder, arrays)
    # This process saves on its own, also where several train together; of JAX arrays Orbax then takes only global ones.
    if jax.process_count() > 1:
        arrays = {name: np.asarray(x) for name, x in arrays.items()}
    alone = ocp.options.MultiprocessingOptions(
        primary_host=jax.process_index(), active_processes={jax.process_index()}, barrier_sync_key_prefix="alone"
    )
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=False, multiprocessing_options=alone)
    save_args = {name: ocp.SaveArgs(chunk_byte_size=CHUNK, shard_axes=split_axes(x)) for name, x in arrays.items()}
    quieten()
    try:
        with ocp.Checkpointer(handler, multiprocessing_options=alone) as checkpointer:
            checkpointer.save(folder.resolve(), args=ocp.args.PyTreeSave(dict(arrays), save_args=save_args))
    except OSError as error:
        raise reports.files.UnwritableError(error.errno, error.strerror or str(error), str(folder)) from None
    except ValueError as error:
        code = re.search(r"os_error_code='(\d+)'", str(error))
        if not code:
            raise
        named = re.search(r'"(/[^"]+)"', str(error))
        where = named[1] if named else str(folder)
        raise reports.files.UnwritableError(int(code[1]), os.strerror(int(code[1])), where) from None


@functools.cache
def quieten() -> None:
    """Keeps two things off stderr from here on, whatever thread they come from and however late.

    Orbax warns on every save that there is no OCDBT store. And where a disk fills under a save, each of its threads
    and tasks tells in pages of the error that `write` raises, or that the loop which waited for it is closed.
    """
    told = ("OCDBT", "_SignalingThread.run() raised an exception")
    logging.getLogger("absl").addFilter(lambda record: not any(words in record.getMessage() for words in told))
    logging.getLogger("asyncio").addFilter(
        lambda record: not all(words in record.getMessage() for words in ("never retrieved", "os_error_code="))
    )
    before = sys.unraisablehook

    def hook(unraisable: "sys.UnraisableHookArgs") -> None:
        closed = unraisable.exc_type is RuntimeError and str(unraisable.exc_value) == "Event loop is closed"
        if not closed:
            before(unraisable)

    sys.unraisablehook = hook


def split_axes(x: "Array | np.ndarray") -> tuple[int, ...]:
    """The axes that Orbax is to split an array along, where its own choice, the longest, would tear long rows apart.

    Pieces of whole rows lie in one place of memory: restoring them takes no copy of the array besides.
    """
    long_rows = x.ndim > 1 and x.shape[0] < max(x.shape[1:]) and x.nbytes // max(x.shape[0], 1) >= 2**20
    return (0,) if long_rows and x.nbytes > CHUNK else ()


def check_room(folder: Path, arrays: "Mapping[str, Array | np.ndarray]") -> None:
    """Refuses a save that the disk, or the limit of a file's size, has no room for, as far as is known.

    Orbax writes from many threads at once, each of which would tell of the same in pages.

    Raises:
      reports.files.UnwritableError: naming the folder.
    """
    parent = next(path for path in folder.absolute().parents if path.exists())
    if not os.access(parent, os.W_OK | os.X_OK):
        raise reports.files.UnwritableError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
    if shutil.disk_usage(parent).free < sum(x.nbytes for x in arrays.values()):
        raise reports.files.UnwritableError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(folder))
    most, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    largest = max((min(x.nbytes, CHUNK) for x in arrays.values()), default=0)
    if most != resource.RLIM_INFINITY and most < largest:
        raise reports.files.UnwritableError(errno.EFBIG, os.strerror(errno.EFBIG), str(folder))


class Store:
    """An array on disk, opened and found to be what is expected."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: "DTypeLike"):
        """Starts to open `path`; several open at once."""
        import tensorstore as ts

        self._shape, self._dtype = tuple(shape), np.dtype(dtype)
        kvstore = {"driver": "file", "path": str(path.resolve())}
        self._name, self._opening = path.name, ts.open({"driver": "zarr", "kvstore": kvstore}, open=True)

    def _opened(self) -> "ts.TensorStore":
        """The store.

        Raises:
          StoreError: it cannot be opened, or holds another array than is expected.
        """
        try:
            store = self._opening.result()
        except (ValueError, OSError) as error:
            raise StoreError(f"array {self._name}: {_first_words(error)}") from None
        sizes: tuple = store.chunk_layout.read_chunk.shape or ()
        shape, dtype = tuple(store.shape), store.dtype.numpy_dtype
        if (shape, dtype) != (self._shape, self._dtype):
            held, wanted = (
                f"{kind}[{','.join(map(str, of))}]" for kind, of in ((dtype, shape), (self._dtype, self._shape))
            )
            raise StoreError(f"array {self._name} is {held}; must be {wanted}")
        if any(piece > max(size, 1) for piece, size in zip(sizes, shape, strict=True)):
            raise StoreError(f"array {self._name} is in pieces larger than itself")
        return store

    def to_host(self, index: Region | None = None) -> np.ndarray:
        """The array or a region of it.

        Raises:
          StoreError: it cannot be read.
        """
        store = self._opened()
        region = _whole(store, index)
        out = np.empty([r.stop - r.start for r in region], self._dtype)
        for start, values in _blocks(store, region):
            out[tuple(slice(i, i + n) for i, n in zip(start, values.shape, strict=True))] = values
        return out

    def to_device(self, index: Region | None, device: "jax.Device") -> "Array":
        """A region as a single-device array; one of several pieces is put together there, in place.

        Raises:
          StoreError: it cannot be read.
        """
        import jax
        import jax.numpy as jnp

        store = self._opened()
        region = _whole(store, index)
        shape = [r.stop - r.start for r in region]
        if math.prod(shape) * self._dtype.itemsize <= CHUNK:
            return jax.device_put(self.to_host(index), device)
        write = jax.jit(jax.lax.dynamic_update_slice, donate_argnums=0)
        out = jax.jit(lambda: jnp.zeros(shape, self._dtype), out_shardings=jax.sharding.SingleDeviceSharding(device))()
        for start, values in _blocks(store, region):
            out = jax.block_until_ready(write(out, jax.device_put(values, device), [np.int32(i) for i in start]))
        return out


def _grid(region: Region, sizes: tuple[int, ...]) -> Iterator[Region]:
    """A region cut along the borders of a store's pieces."""
    axes = [
        [slice(max(r.start, i), min(r.stop, i + size)) for i in range(r.start // size * size, r.stop, size)]
        for r, size in zip(region, sizes, strict=True)
    ]
    return itertools.product(*axes)


def _blocks(store: "ts.TensorStore", region: Region, ahead: int = 1) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Reads a region piece by piece, some in advance: `(start within the region, values)`.

    Raises:
      StoreError: a piece cannot be read.
    """
    sizes: Any = store.chunk_layout.read_chunk.shape or ()  # None for scalars
    pending: deque = deque()
    try:
        for block in _grid(region, sizes):
            start = tuple(b.start - r.start for b, r in zip(block, region, strict=True))
            pending.append((start, store[block].read()))
            if len(pending) > ahead:
                start, values = pending.popleft()
                yield start, values.result()
        for start, values in pending:
            yield start, values.result()
    except (ValueError, OSError) as error:
        raise StoreError(_first_words(error)) from None


def _whole(store: "ts.TensorStore", index: Region | None = None) -> Region:
    """`index` with its bounds filled in."""
    index = index or (slice(None),) * len(store.shape)
    return tuple(slice(*i.indices(size)) for i, size in zip(index, store.shape, strict=True))


def _first_words(error: Exception) -> str:
    if isinstance(error, OSError):
        return error.strerror or errno.errorcode.get(error.errno or 0, str(error))
    return str(error).partition(" [")[0][:200]
