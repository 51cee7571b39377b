"""The dataset that a run learns from: where its flags name one, and what the run is told and given of it."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from agents.base import Tree
    from envs.base import Spec
    from experiments.drivers.base import RunState
    from experiments.drivers.contract import Parts
    from experiments.run.flags import Common
    from replay.dataset import Dataset, Facts


class Held(NamedTuple):
    """A dataset as a run has it."""

    facts: "Facts | None"
    """What `check` and `make` are told; None of a run without a dataset."""
    arrays: Any
    """What drivers lend to the replay, `replay.Arrays` of numpy arrays; () of a run without a dataset."""


MINARI = "minari/"
"""What the name of a dataset begins with that is one of Minari's, and no file."""
MADE = "made/"
"""The same of one that `replay.made` has a recipe for."""
NOTHING = Held(None, ())


def named(config: Any) -> tuple[str, str]:
    """The flag that names a dataset, and what it says; empty strings where there is none."""
    if config.counted == "updates":
        return "--dataset", config.dataset
    return ("--data", config.data) if config.data else ("", "")


def completed(config: Any) -> Any:
    """The flags, with the task that the dataset names where none is given, and the place of the file in full.

    Raises:
      ValueError: no dataset is given, its file cannot be read, or it names no task.
    """
    flag, name = named(config)
    if config.resume and config.env:
        return config
    if flag == "--data" and not name.startswith((MINARI, MADE)):
        return dataclasses.replace(config, data=str(Path(name).resolve()))
    if flag != "--dataset":
        return config
    if not name:
        raise ValueError(f"{flag}: needs the episodes to learn from: a file of experiments.collect, or minari/ID")
    env, options = task_of(flag, name)
    if not config.env:
        if not env:
            raise ValueError(f"--env: {name} does not name the task of its episodes; give one to be evaluated on")
        config = dataclasses.replace(config, env=env, env_options=config.env_options or options)
    is_file = not name.startswith((MINARI, MADE))
    return dataclasses.replace(config, dataset=str(Path(name).resolve())) if is_file else config


def task_of(flag: str, name: str) -> tuple[str, tuple[str, ...]]:
    """The task of a dataset and its options, without reading its rows.

    Raises:
      ValueError: it cannot be read.
    """
    with naming(flag):
        found = format_of(name).header(name)
    return found["env"], found["env_options"]


def held(config: "Common", spec: "Spec") -> Held:
    """The dataset of a run, read and checked.

    Raises:
      ValueError: it cannot be read, is damaged, or is of another task than `spec`.
    """
    import replay
    import replay.dataset

    flag, name = named(config)
    if not name:
        return NOTHING
    dataset = loaded(flag, name, thinned=config.clones)
    with naming(flag):
        replay.dataset.fits(dataset, spec, name)
    return Held(replay.dataset.facts(dataset), replay.arrays(dataset))


def beside(config: "Common", build: "Callable[..., Parts]") -> "Callable[..., Parts]":
    """`make` of an experiment, whose replay also serves the dataset that is learned from beside what is played."""
    if not acts_beside(config):
        return build

    def made(*arguments: object) -> "Parts":
        import replay

        parts = online(config, build(*arguments)) if config.counted == "updates" else build(*arguments)
        return parts._replace(replay=replay.with_data(parts.replay, config.data_share))

    return made


def acts_beside(config: Any) -> bool:
    """Whether a run acts and learns from a dataset besides."""
    return config.online if config.counted == "updates" else bool(config.data)


def online(config: Any, parts: "Parts") -> "Parts":
    """The parts of a run that learned from a dataset alone, with a replay of what is played and a step per update.

    Raises:
      ValueError: its replay has no windows of what is played, or the data's part would not be of the best alone.
    """
    swept = any(word.startswith("agent.top=") for word in config.sweep)
    if swept or getattr(config.agent, "top", 1.0) != 1.0:
        raise ValueError("--agent.top: with --online rows are drawn from all of the data alike; must be 1")
    if parts.replay.played is None:
        raise ValueError(
            "--online: this agent learns from longer pieces or goals of recorded episodes alone, and cannot act too"
        )
    memory = parts.replay.played(config.online_buffer // config.devices)
    act = parts.agent.act

    def bare(*arguments: "Tree") -> "tuple[Tree, Tree, Tree]":
        """Rows are those of a dataset, without extras."""
        action, carry, _ = act(*arguments)
        return action, carry, ()

    agent = parts.agent._replace(act=bare, stored=lambda carry: ())
    return parts._replace(agent=agent, replay=memory, schedule=parts.schedule._replace(unroll=1, warmup=memory.minimum))


def check_beside(config: "Common", shape: "RunState", arrays: "Tree") -> None:
    """Refuses a dataset beside a replay that cannot serve it.

    Args:
      config: the flags.
      shape: a `drivers.base.RunState` of shapes `[G, r, ...]`.
      arrays: of the dataset.

    Raises:
      ValueError: naming the flag.
    """
    if acts_beside(config):
        import jax

        import replay

        own = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[2:], x.dtype), shape.replay.own)
        with naming(" ".join(named(config)) + ":"):
            replay.check_beside(own, arrays.rows)


def format_of(name: str) -> ModuleType:
    """What reads and writes a dataset of that name: `header`, `load` and `save`."""
    from replay import files, made, minari_sets

    if name.startswith(MADE):
        return made
    return minari_sets if name.startswith(MINARI) else files


def loaded(flag: str, name: str, thinned: bool = False) -> "Dataset":
    """The dataset of a name.

    Args:
      flag: that names it.
      name: of the file, of a set of Minari or of a recipe.
      thinned: whether rows may be missing between those of an episode. What follows a row is then not what its action
        led to, so that neither values nor models nor sequences can be learned from it.

    Raises:
      ValueError: it cannot be read, is damaged, or has rows missing and must not.
    """
    with naming(flag):
        found: Dataset = format_of(name).load(name)
        if found.every > 1 and not thinned:
            raise ValueError(
                f"{name}: has one row in {found.every} of its episodes (collect --every {found.every}), from which "
                "experiments.bc alone can learn; must have all (--every 1)"
            )
        return found


def check_place(flag: str, name: str) -> None:
    """Refuses a place where no dataset can be written.

    Raises:
      ValueError: with the flag.
    """
    if name.startswith((MINARI, MADE)):
        with naming(flag):
            return format_of(name).check_new(name)
    path = Path(name)
    if path.suffix != ".npz":
        raise ValueError(f"{flag} {name}: must end in .npz")
    if path.is_dir() or not (path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK)):
        raise ValueError(f"{flag} {name}: cannot be written ({path.parent} is no folder that permits it)")


def store(flag: str, name: str, dataset: "Dataset") -> None:
    """Writes a dataset to where `check_place` allows it.

    Raises:
      OSError: it cannot be written.
      ValueError: with the flag.
    """
    with naming(flag):
        format_of(name).save(dataset, name)


def blank(config: "Common", spec: "Spec") -> "Facts | None":
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
