"""The dataset that a run learns from: where its flags name one, and what the run is told and given of it."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from envs.base import Spec
    from replay.dataset import Dataset, Facts


class Held(NamedTuple):
    """A dataset as a run has it."""

    facts: "Facts | None"
    """What `check` and `make` are told; None of a run without a dataset."""
    arrays: Any
    """What drivers lend to the replay, `replay.Arrays` of numpy arrays; () of a run without a dataset."""


NOTHING = Held(None, ())


def named(config: Any) -> tuple[str, str]:
    """The flag that names a dataset, and what it says; empty strings where there is none."""
    return ("--dataset", config.dataset) if config.counted == "updates" else ("", "")


def completed(config: Any) -> Any:
    """The flags, with the task that the dataset names where none is given, and the place of the file in full.

    Raises:
      ValueError: no dataset is given, its file cannot be read, or it names no task.
    """
    flag, name = named(config)
    if not flag or (config.resume and config.env):
        return config
    if not name:
        raise ValueError(f"{flag}: needs the episodes to learn from: a file of experiments.collect, or minari/ID")
    env, options = task_of(flag, name)
    from replay import made

    if not config.env:
        if not env:
            raise ValueError(f"--env: {name} does not name the task of its episodes; give one to be evaluated on")
        config = dataclasses.replace(config, env=env, env_options=config.env_options or options)
    return (
        config
        if name.startswith(("minari/", made.PREFIX))
        else dataclasses.replace(config, dataset=str(Path(name).resolve()))
    )


def task_of(flag: str, name: str) -> tuple[str, tuple[str, ...]]:
    """The task of a dataset and its options, without reading its rows.

    Raises:
      ValueError: it cannot be read.
    """
    import replay.files
    import replay.made

    with naming(flag):
        if name.startswith(replay.made.PREFIX):
            return replay.made.recipe(name).env, ()
        found = replay.files.header(name)
    return found["env"], found["env_options"]


def held(config: Any, spec: "Spec") -> Held:
    """The dataset of a run, read and checked.

    Raises:
      ValueError: it cannot be read, is damaged, or is of another task than `spec`.
    """
    import replay
    import replay.dataset

    flag, name = named(config)
    if not name:
        return NOTHING
    dataset = loaded(flag, name)
    with naming(flag):
        replay.dataset.fits(dataset, spec, name)
    return Held(replay.dataset.facts(dataset), replay.arrays(dataset))


def loaded(flag: str, name: str) -> "Dataset":
    """The dataset of a name.

    Raises:
      ValueError: it cannot be read, or is damaged.
    """
    import replay.files
    import replay.made

    with naming(flag):
        return replay.made.made(name) if name.startswith(replay.made.PREFIX) else replay.files.load(name)


def blank(config: Any, spec: "Spec") -> "Facts | None":
    """Facts for runs whose dataset is not read, as when their policies are played."""
    import replay.dataset

    return replay.dataset.unknown(spec) if config.counted == "updates" else None


@contextlib.contextmanager
def naming(flag: str) -> Iterator[None]:
    """Puts the flag before what is said of a dataset that is refused.

    Raises:
      ValueError: with the flag.
    """
    try:
        yield
    except ValueError as error:
        raise ValueError(f"{flag} {error}") from None
