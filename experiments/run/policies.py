"""The policies that a run folder holds."""

import importlib
from pathlib import Path
from typing import Any

from experiments.run import flags, prepare


def saved(folder: Path, which: str) -> tuple[str, Any, Any, Any, int, Any]:
    """The policies of a run folder.

    Args:
      folder: of a run, or of one point of a sweep.
      which: "best" or "last".

    Returns:
      Experiment, its flags, the task, what makes the run's parts, the steps that were trained, and the actors
      `[seeds, ...]` as numpy arrays.

    Raises:
      ValueError: it is no such folder, or holds no policies.
    """
    import jax
    import numpy as np

    from envs import keys
    from envs.base import blank
    from experiments.run.checkpoint import Checkpointer

    experiment = flags.contents(folder)["experiment"]
    try:
        module = importlib.import_module(f"experiments.{experiment}")
    except ModuleNotFoundError:
        raise ValueError(f"{folder}: is a run of experiments.{experiment}, which is not here") from None
    config = flags.load(module.Flags, folder)
    if len(flags.grid(config)) > 1:
        points = ", ".join(sorted(path.parent.name for path in folder.glob("*/config.json")))
        raise ValueError(f"{folder}: is a sweep; give the folder of one of its points: {points}")
    env = prepare.environment(config)
    make = prepare.parts_maker(config, env.spec, module.make)
    agent = make({}).agent

    def actors(key: Any) -> Any:
        return agent.actor(agent.init(key, blank(env.spec, config.num_envs)))

    shape = jax.eval_shape(jax.vmap(actors), keys.key(np.arange(config.seeds)))
    on_host = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shape)
    with Checkpointer(folder / "policies") as policies:
        found = policies.restore({"best": on_host, "last": on_host}, {})
    if found is None:
        raise ValueError(f"{folder}: holds no policies yet; they are saved with every evaluation")
    return experiment, config, env, make, found[0], found[1][which]
