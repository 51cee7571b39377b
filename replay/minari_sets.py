"""Datasets of Minari, which hosts those of others; the extra `offline` has the packages, and nothing is downloaded.

They lie in the folder that MINARI_DATASETS_PATH names, by default ~/.minari/datasets. A set that is written here keeps
the name of its task and how it was recorded in Minari's `description`.
"""

import contextlib
import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from envs.base import FIRST, LAST, MID, Tree, host_rows
from replay import dataset
from replay.base import Step
from replay.dataset import Dataset

PREFIX = "minari/"
"""What a name begins with that is one of Minari's."""
WRITTEN = "bellmax "
"""What the description of a set that was written here begins with; JSON follows."""


def load(name: str) -> Dataset:
    """Reads a set.

    Args:
      name: minari/ID.

    Raises:
      ValueError: Minari is not installed, the set is not on this machine or damaged, or see `dataset.of`.
    """
    found, known = _opened(name), header(name)
    with _refusing(name):
        episodes = [_rows(each) for each in found.iterate_episodes()]
    if not episodes:
        raise ValueError(f"{name}: has no episodes")
    whole = jax.tree.map(lambda *x: np.concatenate(x), *episodes)
    return dataset.of(whole, known["env"], known["env_options"], known["about"], name)


def header(name: str) -> dict[str, Any]:
    """What a set says of itself, without its rows: `env`, `env_options`, `about`; see `replay.files.header`.

    Raises:
      ValueError: as `load`.
    """
    stored = _opened(name).storage.metadata
    told = str(stored.get("description") or "")
    if told.startswith(WRITTEN):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            found = json.loads(told.removeprefix(WRITTEN))
            return {"env": found["env"], "env_options": tuple(found["env_options"]), "about": found["about"]}
    spec = stored.get("env_spec")
    spec = json.loads(spec) if isinstance(spec, str) else spec
    id = spec.get("id", "") if isinstance(spec, Mapping) else getattr(spec, "id", "")
    return {"env": f"gymnasium/{id}" if id else "", "env_options": (), "about": {"minari": name}}


def save(data: Dataset, name: str) -> None:
    """Writes a set, images as they are.

    Args:
      data: whole episodes.
      name: minari/ID, with a version, such as minari/pendulum/expert-v0.

    Raises:
      ValueError: Minari is not installed, or there is such a set, or it does not take the name.
    """
    import gymnasium

    minari = _minari(name)
    check_new(name)
    arrived = data.rows.timestep
    about = {"env": data.env, "env_options": list(data.env_options), "about": dict(data.about)}
    try:
        with _refusing(name):
            minari.create_dataset_from_buffers(
                name.removeprefix(PREFIX),
                [_buffer(minari, data.episode(i), i) for i in range(data.episodes)],
                observation_space=_space(gymnasium, arrived.observation),
                action_space=_space(gymnasium, data.rows.action),
                description=WRITTEN + json.dumps(about),
                jpeg_encoding=False,
            )
    except ValueError:
        shutil.rmtree(_place(name), ignore_errors=True)  # or the name would be taken
        raise


def check_new(name: str) -> None:
    """Refuses a name under which no set can be written.

    Raises:
      ValueError: Minari is not installed, the name is no ID, or it is taken.
    """
    _minari(name)
    from minari.dataset.minari_dataset import parse_dataset_id

    with _refusing(name):
        parse_dataset_id(name.removeprefix(PREFIX))
    if _place(name).exists():
        raise ValueError(f"{name}: there is such a set already, in {_place(name)}")


def _minari(name: str) -> Any:
    try:
        import minari
    except ImportError as error:
        told = f"needs the package {error.name or 'minari'}, which is not installed (pip install bellmax[offline])"
        raise ValueError(f"{name}: {told}") from None
    return minari


def _place(name: str) -> Path:
    from minari.storage.datasets_root_dir import get_dataset_path

    return Path(get_dataset_path(name.removeprefix(PREFIX)))


def _opened(name: str) -> Any:
    minari = _minari(name)
    if not (_place(name) / "data").is_dir():
        told = f"is not on this machine, in {_place(name)}; minari download {name.removeprefix(PREFIX)} fetches it"
        raise ValueError(f"{name}: {told}")
    with _refusing(name):
        return minari.load_dataset(name.removeprefix(PREFIX))


@contextlib.contextmanager
def _refusing(name: str) -> Iterator[None]:
    """One line for whatever Minari and HDF5 raise."""
    try:
        yield
    except Exception as error:
        told = " ".join(str(error).split())[:160] or type(error).__name__
        raise ValueError(f"{name}: {told}") from None


def _rows(episode: Any) -> Step:
    """An episode of Minari's, T + 1 observations and T of all else, as rows; the last action is none."""
    length = len(episode.rewards)
    kinds = np.array([FIRST, *[MID] * (length - 1), LAST], np.int8)
    reward = np.concatenate([[0.0], episode.rewards]).astype(np.float32)
    discount = np.ones(length + 1, np.float32)
    discount[1:] = 1.0 - np.asarray(episode.terminations, np.float32)
    action = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x[:1])]), episode.actions)
    return Step(host_rows(kinds, reward, discount, episode.observations), action)


def _buffer(minari: Any, rows: Step, number: int) -> Any:
    """Rows as an episode of Minari's."""
    arrived = rows.timestep
    ended = (np.asarray(arrived.discount) == 0)[1:]
    last = (np.asarray(arrived.step_type) == LAST)[1:]
    return minari.data_collector.EpisodeBuffer(
        id=number,
        observations=arrived.observation,
        actions=jax.tree.map(lambda x: x[:-1], rows.action),
        rewards=np.asarray(arrived.reward)[1:],
        terminations=ended & last,
        truncations=~ended & last,
    )


def _space(gymnasium: Any, tree: Tree) -> Any:
    """A space that has the values of a field."""
    spaces = gymnasium.spaces
    if isinstance(tree, Mapping):
        return spaces.Dict({key: _space(gymnasium, x) for key, x in tree.items()})
    if tree.dtype == np.uint8:
        return spaces.Box(0, 255, tree.shape[1:], np.uint8)
    if tree.dtype.kind == "f":
        return spaces.Box(-np.inf, np.inf, tree.shape[1:], np.float32)
    if tree.ndim == 1 and tree.min() >= 0:
        return spaces.Discrete(int(tree.max()) + 1)
    return spaces.Box(np.iinfo(np.int32).min, np.iinfo(np.int32).max, tree.shape[1:], np.int32)
