"""The networks of `experiments.world_models`: V and M, fresh or as its stages have learned them."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import optax

    from agents.base import Tree
    from envs.base import Space, Spec
    from experiments.world_models import Config
    from networks.world import VAE, MixtureMemory

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    from agents.world_models import Parts


def unit_actions(spec: "Spec") -> "Space":
    """The actions of an agent inside of the task's bounds."""
    from envs.base import Box, Discrete

    return spec.action if isinstance(spec.action, Discrete) else Box(spec.action.shape, -1.0, 1.0)


def networks(config: "Config", spec: "Spec") -> "tuple[VAE, MixtureMemory]":
    """V and M that the flags describe."""
    from networks.predictor import modalities
    from networks.world import VAE, MixtureMemory

    vision = VAE(modalities(spec.observation), config.latent, config.units, config.layers, config.channels)
    return vision, MixtureMemory(config.latent, config.memory_size, config.components)


def world(config: "Config", spec: "Spec") -> "Parts":
    """V and M as the folder of `model` has them, or with parameters that learned nothing.

    Raises:
      ValueError: the folder has none of this task and these sizes.
    """
    from agents import world_models

    vision, memory = networks(config, spec)
    if not config.model:
        return world_models.Parts(vision, memory, begun(config, spec))
    params = {name: saved(Path(config.model) / name, config, spec) for name in ("vision", "memory")}
    return world_models.Parts(vision, memory, params)


def begun(config: "Config", spec: "Spec") -> "dict[str, Tree]":
    """Parameters of V and M that learned nothing."""
    from agents import world_models
    from envs import keys
    from envs.base import blank

    return world_models.fresh(*networks(config, spec), unit_actions(spec), keys.key(0), blank(spec, 1).observation)


def optimiser(rate: float) -> "optax.GradientTransformation":
    """Of either network."""
    from agents.common import optimisers

    return optimisers.adam(rate, 1.0)


def saved(place: Path, config: "Config", spec: "Spec") -> "Tree":
    """What a stage has learned, in its folder.

    Raises:
      ValueError: there is none, or it is of another task or size.
    """
    import jax
    import numpy as np

    from agents.world_models import State
    from experiments.run.checkpoint import Checkpointer

    folder, name = str(place.parent), place.name
    params = jax.eval_shape(lambda: begun(config, spec))[name]
    shapes = State(params, jax.eval_shape(optimiser(1e-3).init, params))
    with Checkpointer(place / "checkpoints") as checkpoints:
        try:
            found = checkpoints.restore(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), {})
        except ValueError as error:
            raise ValueError(f"--agent.model {folder!r}: not of this task and size: {error}") from None
    if found is None:
        raise ValueError(f"--agent.model {folder!r}: holds no {name}, which a stage of experiments.world_models makes")
    return found[1].params
