"""What a checkpoint says of itself, and whether its files are what it says.

A checkpoint may be damaged, half copied or made up: nothing but regular files inside its folder is opened, and nothing
of it is taken for what it should be before it was looked at.
"""

import json
import math
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from experiments import reports

if TYPE_CHECKING:
    from agents.base import Tree

NAME = "manifest.json"


class DamagedError(Exception):
    """Why a checkpoint cannot be read."""


class Manifest(NamedTuple):
    """The content of manifest.json."""

    step: int
    meta: dict[str, Any]
    """Flags that a run must share in order to continue from it."""

    fields: dict[str, str]
    """What each leaf of the state is, by path: `float32[4,8]`, `key<fry>[]`, `int`."""

    values: dict[str, Any]
    """The Python values of the state, by path."""

    files: dict[str, int]
    """The CRC-32 of every other file of the folder."""


def leaves_of(tree: "Tree") -> "dict[str, Tree]":
    """Leaves by path, in the tree's order.

    Raises:
      ValueError: a leaf is neither an array nor a Python value.
    """
    import jax

    paths = jax.tree_util.tree_flatten_with_path(tree)[0]
    leaves = {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in paths}
    for path, leaf in leaves.items():
        if not is_value(leaf) and not (hasattr(leaf, "dtype") and hasattr(leaf, "shape")):
            raise ValueError(f"state {path}: a {type(leaf).__name__} cannot be saved; arrays and Python values can")
    if len(leaves) < len(paths):
        raise ValueError("state: two of its leaves have the same path")
    return leaves


def is_value(leaf: object) -> bool:
    """Whether a leaf is a Python value, which the manifest itself holds."""
    # numpy.float64 is a float too, but is restored as an array.
    return isinstance(leaf, bool | int | float | str) and not isinstance(leaf, np.generic)


def is_stored(leaf: "Tree") -> bool:
    """Whether a leaf is an array with files of its own; of an empty one the shape says all there is to know."""
    return not is_value(leaf) and bool(math.prod(leaf.shape))


def described(leaves: "Mapping[str, Tree]") -> dict[str, str]:
    """The `fields` of leaves."""
    return {
        path: type(x).__name__ if is_value(x) else f"{x.dtype}[{','.join(map(str, x.shape))}]"
        for path, x in leaves.items()
    }


def as_json(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Flags as they come back from JSON."""
    return json.loads(json.dumps(dict(meta), default=str))


def write(folder: Path, step: int, meta: Mapping[str, Any], leaves: "Mapping[str, Tree]") -> None:
    """Writes the manifest of a folder that holds everything else.

    Raises:
      OSError: it cannot be written.
    """
    found = {path.relative_to(folder).as_posix(): crc(path) for path in folder.rglob("*") if path.is_file()}
    values = {path: leaf for path, leaf in leaves.items() if is_value(leaf)}
    text = json.dumps(Manifest(int(step), as_json(meta), described(leaves), values, found)._asdict())
    reports.files.write(folder / NAME, json.dumps({"crc32": zlib.crc32(text.encode()), "content": text}))


def read(folder: Path) -> Manifest:
    """The manifest of a step, with everything in it of the type that it should be.

    Raises:
      DamagedError: there is none, or it is garbled.
    """
    if folder.is_symlink() or not folder.is_dir():
        raise DamagedError(f"it is {reports.files.kind(folder)}, not a folder")
    try:
        outer = json.loads(reports.files.read(folder / NAME))
        text, checksum = outer["content"], outer["crc32"]
        if zlib.crc32(text.encode()) != checksum:
            raise DamagedError(f"{NAME} fails its checksum")
        content = json.loads(text)
        found = Manifest(*(content[name] for name in Manifest._fields))
    except OSError as error:
        raise DamagedError(f"{NAME}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise DamagedError(f"{NAME} is garbled") from None
    good = isinstance(found.step, int) and all(isinstance(part, dict) for part in found[1:])
    good = good and all(isinstance(field, str) for field in found.fields.values())
    good = good and all(isinstance(number, int) for number in found.files.values())
    good = good and all(
        type(found.values.get(path)).__name__ == field for path, field in found.fields.items() if "[" not in field
    )
    if not good:
        raise DamagedError(f"{NAME} is garbled")
    return found


def compare(
    folder: Path, what: str, saved: Mapping[str, object], given: Mapping[str, object], why: str = "", most: int = 8
) -> None:
    """Refuses a checkpoint that differs from the run that wants to go on from it.

    Args:
      folder: of the checkpoint.
      what: is compared.
      saved: what the checkpoint has, by name.
      given: what the run has.
      why: what to say of the cause.
      most: differences to name.

    Raises:
      ValueError: naming each difference.
    """
    names = [name for name in [*saved, *(set(given) - set(saved))] if saved.get(name) != given.get(name)]
    if names:
        shown = lambda tree, name: reports.files.plain(tree.get(name, "absent"))  # noqa: E731
        pairs = [
            f"{reports.files.plain(name)} is {shown(saved, name)} there, {shown(given, name)} here" for name in names
        ]
        more = f"; and {len(pairs) - most} more" if len(pairs) > most else ""
        raise ValueError(f"checkpoint {folder} is of a run with other {what}: {'; '.join(pairs[:most])}{more}{why}")


def verify(folder: Path, sums: Mapping[str, int]) -> None:
    """Compares every file of a step, links not followed, with its checksum.

    Raises:
      DamagedError: one is missing, is no file, or fails its checksum.
    """
    there = set()
    for where, folders, names in os.walk(folder):
        for name in [*folders, *names]:
            path = Path(where) / name
            mode = path.lstat().st_mode
            if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise DamagedError(
                    f"{reports.files.plain(path.relative_to(folder))} in it is {reports.files.kind(path)}"
                )
            if stat.S_ISREG(mode):
                there.add(path.relative_to(folder).as_posix())
    for name in sorted(set(sums) - there):
        raise DamagedError(f"{reports.files.plain(name)}: No such file in it")
    for name, checksum in sums.items():
        try:
            if crc(folder / name) != checksum:
                raise DamagedError(f"{reports.files.plain(name)} fails its checksum")
        except OSError as error:
            raise DamagedError(f"{reports.files.plain(name)}: {error.strerror}") from None


def crc(path: Path) -> int:
    """The CRC-32 of a file."""
    found = 0
    with path.open("rb") as file:
        while block := file.read(2**20):
            found = zlib.crc32(block, found)
    return found
