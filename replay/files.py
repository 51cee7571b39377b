"""Datasets on disk: one `.npz` that numpy alone can read.

header          JSON: format, env, env_options, about
step_type       int8 [N]
reward          float32 [N]
discount        float32 [N]
action          [N, ...]
observation     [N, ...]; of an observation that is a dict, observation/NAME for each of its entries
"""

import contextlib
import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from envs.base import host_rows
from replay import dataset
from replay.base import Step
from replay.dataset import Dataset, named_leaves

FORMAT = 1
"""The version of the layout above."""
ROWS = ("step_type", "reward", "discount")


def save(data: Dataset, path: str | Path) -> None:
    """Writes a dataset, whole or not at all.

    Raises:
      ValueError: the name does not end in .npz.
      OSError: it cannot be written.
    """
    path = Path(path)
    if path.suffix != ".npz":
        raise ValueError(f"{path}: must end in .npz")
    header = {"format": FORMAT, "env": data.env, "env_options": list(data.env_options), "about": dict(data.about)}
    kind, reward, discount, observation = data.rows.timestep
    content: dict[str, Any] = dict(zip(ROWS, (kind, reward, discount), strict=True))
    content |= named_leaves("action", data.rows.action) | named_leaves("observation", observation)
    beside = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        with beside.open("wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **content)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def header(path: str | Path) -> dict[str, Any]:
    """What a file says of itself, without its rows: `env`, `env_options`, `about`.

    Raises:
      ValueError: in one line, what is wrong with the file.
    """
    with _opened(Path(path)) as archive:
        return _header(Path(path), archive)


def load(path: str | Path) -> Dataset:
    """Reads and checks a dataset.

    Raises:
      ValueError: in one line, what is wrong with the file: it is not there, is no such file, is damaged or of a later
        format, or see `dataset.of`.
    """
    path = Path(path)
    with _opened(path) as archive:
        known = _header(path, archive)
        absent = [name for name in ROWS if name not in archive.files]
        absent += [name for name in ("action", "observation") if not any(_is_of(f, name) for f in archive.files)]
        if absent:
            raise ValueError(f"{path}: has no {', '.join(absent)}; must be a dataset (docs/how-to/recorded-data.md)")
        content = {name: _array(path, archive, name) for name in archive.files if name != "header"}
    kind, reward, discount = (content[name] for name in ROWS)
    timestep = host_rows(kind, reward, discount, tree_of(content, "observation"))
    rows = Step(timestep, tree_of(content, "action"))
    return dataset.of(rows, known["env"], known["env_options"], known["about"], str(path))


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    with file:  # numpy leaves it open where it finds no whole archive
        try:
            found = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: is no .npz, or was cut off ({_told(error)})") from None
        if not isinstance(found, np.lib.npyio.NpzFile):
            raise ValueError(f"{path}: is an array and no .npz")
        with found:
            yield found


def _array(path: Path, archive: Any, name: str) -> np.ndarray:
    try:
        return archive[name]
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{path}: {name} cannot be read ({_told(error)})") from None


def _header(path: Path, archive: Any) -> dict[str, Any]:
    if "header" not in archive.files:
        raise ValueError(f"{path}: has no header; must be a dataset (docs/how-to/recorded-data.md)")
    text = _array(path, archive, "header")
    try:
        found = json.loads(str(text))
        version = found["format"]
        if not isinstance(version, int) or version < 1:
            raise ValueError
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: header is damaged; must be JSON with a format from 1 to {FORMAT}") from None
    if version > FORMAT:
        raise ValueError(f"{path}: format {version} is of a later bellmax; this one reads formats up to {FORMAT}")
    env, options, about = found.get("env", ""), found.get("env_options", []), found.get("about", {})
    words = isinstance(options, list) and all(isinstance(word, str) for word in options)
    if not (isinstance(env, str) and words and isinstance(about, Mapping)):
        raise ValueError(f"{path}: header is damaged; env must be text, env_options a list of text, about an object")
    return {"env": env, "env_options": tuple(options), "about": about}


def _is_of(name: str, tree: str) -> bool:
    return name == tree or name.startswith(f"{tree}/")


def tree_of(content: Mapping[str, np.ndarray], name: str) -> Any:
    """The inverse of `named_leaves`: the tree of the arrays whose names begin with `name`."""
    if name in content:
        return content[name]
    keys = {full.removeprefix(f"{name}/").partition("/")[0] for full in content if _is_of(full, name)}
    return {key: tree_of(content, f"{name}/{key}") for key in sorted(keys)}


def _told(error: Exception) -> str:
    return " ".join(str(error).split())[:160] or type(error).__name__
