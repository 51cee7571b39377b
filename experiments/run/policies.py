"""The policies that a run folder holds, and the experiment that made them."""

import dataclasses
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.run import flags, folders, prepare

if TYPE_CHECKING:
    from agents.base import Tree
    from envs.base import Key
    from experiments.run.experiment import Experiment


class Saved(NamedTuple):
    """What `saved` finds."""

    experiment: str
    config: Any
    """The flags of the run."""

    env: Any
    """The task of its training."""

    make: Any
    """What makes the run's parts, `(swept values) -> Parts`."""

    at_steps: int
    actors: Any
    """`[seeds, ...]`, numpy arrays."""


def experiment_of(folder: Path, trust: bool = False) -> "Experiment":
    """The experiment that a run folder names.

    Args:
      folder: of a run.
      trust: whether code and links that lie in the folder may be followed.

    Raises:
      ValueError: it is no run folder, its experiment is not here, or it lies in the folder, which is not trusted.
    """
    content = flags.contents(folder)
    folders.check_links(folder, trust)
    name, file = content["experiment"], content["file"]
    if file is None:
        if not name.isidentifier() or importlib.util.find_spec(f"experiments.{name}") is None:
            raise ValueError(f"{folder}: is a run of experiments.{name}, which is not here")
        module: Any = importlib.import_module(f"experiments.{name}")
    else:
        path = Path(file)
        if not path.is_file():
            raise ValueError(f"{folder}: was made by {file}, which is not here")
        if not trust and path.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{folder}: was made by {path.name}, which lies in the folder; --trust runs it")
        module = loaded(name, path)
    found: Any = getattr(module, "experiment", None)
    if not all(hasattr(found, part) for part in ("flags", "check", "make", "launch")):
        raise ValueError(f"{folder}: was made by {file or module.__name__}, which declares no `experiment`")
    return found


def loaded(name: str, path: Path) -> ModuleType:
    """The module of a file outside bellmax, which may import its neighbours."""
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    main = sys.modules["__main__"]
    if getattr(main, "__file__", None) and Path(main.__file__ or "").resolve() == path.resolve():
        return main
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path}: is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def saved(folder: Path, which: str, experiment: "Experiment | None" = None, trust: bool = False) -> Saved:
    """The policies of a run folder.

    Args:
      folder: of a run, or of one point of a sweep.
      which: "best" or "last".
      experiment: of the run, where it is known.
      trust: as for `experiment_of`.

    Raises:
      ValueError: it is no such folder, or holds no policies.
    """
    import jax
    import numpy as np

    from envs import keys
    from envs.base import blank
    from experiments.run.checkpoint import Checkpointer

    experiment = experiment or experiment_of(folder, trust)
    config = flags.load(experiment.flags, folder)
    if len(flags.grid(config)) > 1:
        points = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json")))
        raise ValueError(f"{folder}: is a sweep; give the folder of one of its points: {points}")
    env = prepare.environment(config, folder, trust)
    try:  # what was edited may be what no run can have; where the run reports is no part of its policies
        flags.check(dataclasses.replace(config, out="", resume="", wandb=False))
        facts = prepare.data.blank(config, env.spec)
        size = prepare.size_of(config, facts)
        experiment.check(config.agent, env.spec, size)
    except ValueError as error:
        raise ValueError(f"{folder / 'config.json'}: {error}") from error
    make = prepare.parts_maker(config, env.spec, experiment.make, facts)
    agent = make({}).agent

    def actors(key: "Key") -> "Tree":
        return agent.actor(agent.init(key, blank(env.spec, size.num_envs)))  # lanes, if any, are of the first device

    shape = jax.eval_shape(jax.vmap(actors), keys.key(np.arange(config.seeds)))
    on_host = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shape)
    place = folder / "policies"
    with Checkpointer(place.resolve() if trust else place) as policies:
        found = policies.restore({"best": on_host, "last": on_host}, {})
    if found is None:
        raise ValueError(f"{folder}: holds no policies yet; they are saved with every evaluation")
    return Saved(experiment.name, config, env, make, found[0], found[1][which])
