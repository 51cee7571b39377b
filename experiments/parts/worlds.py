"""Models of the project's own tasks, by specification: the rules themselves, and learned ones from a folder."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    from collections.abc import Callable

    from agents.base import Tree
    from agents.world.frames import Coder
    from agents.world.models import Learner, Model
    from envs.base import Array, Space, Spec


def check_exact(spec: "Spec", corrupt: float = 0.0) -> None:
    """Refuses what `exact` cannot make.

    Raises:
      ValueError: the task's state cannot be told from its observation, or it has no cells.
    """
    if spec.rules is None:
        raise ValueError(
            f"--env {spec.name}: its rules are not known as a model; allowed: bellmax/cartpole-swingup, "
            "bellmax/connect-four, bellmax/minipacman in colours, bellmax/sokoban with symbolic observations, and "
            "bellmax/tic-tac-toe"
        )
    check_corrupt(spec, corrupt)


def exact(spec: "Spec", corrupt: "float | Array" = 0.0) -> "Model":
    """The rules of a task, which it has, as an `agents.world.models.Model`.

    Args:
      spec: the task.
      corrupt: probability with which each cell that is imagined is wrong.
    """
    from agents.world import models

    rules: Any = spec.rules
    return distorted(models.simulator(*rules[:3]), corrupt)


def check_reward(spec: "Spec") -> None:
    """Refuses a task whose reward is not known as a function of the observation that a step arrives at.

    Raises:
      ValueError: it is such a task.
    """
    if spec.rules is None or spec.rules.paid is None:
        raise ValueError(f"--agent.reward known: that of {spec.name} is not; allowed: learned")


def reward(spec: "Spec") -> "Callable[[Tree], Array]":
    """The reward of a task, which is known as one, as a function of the observation that a step arrives at."""
    rules: Any = spec.rules
    return rules.paid


def check_corrupt(spec: "Spec", corrupt: float) -> None:
    """Refuses wrong cells where there are no cells.

    Raises:
      ValueError: there are none.
    """
    if corrupt and (spec.name != "bellmax/sokoban" or spec.observation.shape[-1] == 3):
        raise ValueError(f"--agent.corrupt {corrupt}: needs symbolic observations of bellmax/sokoban, not {spec.name}")


def distorted(model: "Model", corrupt: "float | Array") -> "Model":
    """The model with a probability, which may be traced, of each cell's being wrong; itself for a plain 0."""
    from agents.world import models

    return model if isinstance(corrupt, int | float) and corrupt == 0 else models.corrupted(model, corrupt)


def coder(spec: "Spec") -> "Coder":
    """How frames of a task are made of kinds of pixels.

    Raises:
      ValueError: its observations are not such frames.
    """
    import numpy as np

    from agents.world import frames
    from envs.tasks import minipacman, sokoban

    shape = spec.observation.shape
    if spec.name == "bellmax/sokoban" and shape[-1] == sokoban.KINDS:
        return frames.one_hot(sokoban.KINDS)
    if spec.name == "bellmax/sokoban":
        return frames.palette(np.unique(sokoban.SPRITES.reshape(-1, 3), axis=0))
    if spec.name == "bellmax/minipacman" and shape[-1] == 3:
        return frames.palette(minipacman.PALETTE)
    raise ValueError(
        f"--env {spec.name}: the frame model needs frames of a few kinds; allowed: bellmax/sokoban, and "
        "bellmax/minipacman in colours"
    )


def frame_learner(spec: "Spec", learning_rate: float, poor: bool) -> "Learner":
    """The frame model of a task, to be learned; `poor` is a much smaller network that sees its neighbours only."""
    import networks
    from agents.common import optimisers
    from agents.world import frames
    from experiments.parts import builders

    code = coder(spec)
    small: dict[str, Any] = {"stem": 8, "blocks": ((4, 4, 8),), "kernel": 3, "head": 16, "reward_head": 8}
    kernel = min(9, spec.observation.shape[0] // 2 * 2 - 1)  # odd, and no larger than the board needs
    sizes: dict[str, Any] = small if poor else {"kernel": kernel}
    module = networks.FramePredictor(
        code.kinds, builders.discrete_actions(spec, "a frame model"), len(frames.ATOMS), **sizes
    )
    return frames.frame_model(module, code, optimisers.adam(learning_rate, 10.0))


@lru_cache(maxsize=4)
def learned(folder: str, poor: bool, name: str, observation: "Space", action: "Space") -> "tuple[Model, Tree]":
    """A frame model that was saved, and its parameters; the last three arguments are the task's specification.

    Raises:
      ValueError: there is none in the folder, or it is of another task or size.
    """
    import jax
    import numpy as np

    from envs import keys
    from envs.base import Spec, blank
    from experiments.run.checkpoint import Checkpointer

    spec = Spec(name, observation, action)
    learner = frame_learner(spec, 1e-3, poor)
    shapes = jax.eval_shape(learner.init, keys.key(0), blank(spec, 1))
    with Checkpointer(Path(folder) / "checkpoints") as checkpoints:
        try:
            found = checkpoints.restore(jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes), {})
        except ValueError as error:
            raise ValueError(f"--agent.model {folder!r}: not of this task and size (--agent.poor): {error}") from None
    if found is None:
        raise ValueError(f"--agent.model {folder!r}: holds no model; the model stage of experiments.i2a makes one")
    return learner.model, learner.params(found[1])
