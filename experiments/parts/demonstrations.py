"""What DQfD and DDPGfD share: their flags, and the replay that keeps demonstrations."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from experiments import run

if TYPE_CHECKING:
    import optax

    from agents.base import Array, Step
    from agents.common.demonstrations import Demonstrations
    from envs.base import Key
    from experiments import ddpgfd, dqfd
    from replay.base import Replay
    from replay.dataset import Dataset


@dataclass(frozen=True)
class Learning:
    """Flags of an agent that learns from demonstrations beside its own experience."""

    demonstrations: str = ""
    """File of recorded episodes that the replay keeps, such as `experiments.collect` makes; none by default."""
    permanent: bool = True
    """Keep demonstrations for good; else the replay begins with them and overwrites them."""
    pretraining: run.Whole = 1_000
    """Updates on demonstrations alone before the first step."""
    n_weight: run.NonNegative = 1.0
    """Weight of the loss of `n_step` transitions folded into one, beside that of single ones."""
    weight_decay: run.NonNegative = 1e-5
    """Weight of the L2 penalty on all parameters, ½‖θ‖² times this."""
    alpha: run.NonNegative = 0.4
    """Exponent of the priorities by which the replay draws."""
    beta: run.Unit = 0.6
    """Exponent of the importance weights when learning begins; it grows to 1 by the end."""
    own_bonus: run.NonNegative = 1e-3
    """What is added to the priorities of the agent's own transitions."""
    demonstration_bonus: run.NonNegative = 1.0
    """What is added to the priorities of demonstrations."""


@lru_cache(maxsize=4)
def dataset(name: str) -> "Dataset":
    """The recorded episodes of a file.

    Raises:
      ValueError: naming the flag.
    """
    return run.data.loaded("--agent.demonstrations", name)


def check(config: Learning, spec: "run.Spec") -> None:
    """Refuses demonstrations of another task.

    Raises:
      ValueError: naming the flag.
    """
    import replay.dataset

    if config.demonstrations:
        found = dataset(config.demonstrations)
        with run.data.naming("--agent.demonstrations"):
            replay.dataset.fits(found, spec, config.demonstrations)


def weighed(config: "dqfd.Config | ddpgfd.Config", **more: float) -> "Demonstrations":
    """The losses' weights that the flags describe."""
    from agents.common.demonstrations import Demonstrations

    return Demonstrations(config.n_step, config.n_weight, **more)


def adam(
    learning_rate: "optax.ScalarOrSchedule",
    decay: "float | Array" = 0.0,
    max_norm: float | None = None,
    eps: float = 1e-8,
) -> "optax.GradientTransformation":
    """Adam, on the gradient of the loss and of an L2 penalty if there is one."""
    import optax

    from agents.common import optimisers

    if isinstance(decay, int | float) and decay == 0:
        return optimisers.adam(learning_rate, max_norm, eps)
    steps = optax.chain(optax.add_decayed_weights(decay), optax.adam(learning_rate, eps=eps))
    return optimisers.chain(steps, max_norm, learning_rate)


def memory(config: "dqfd.Config | ddpgfd.Config", buffer: int, batch: int, beta: "optax.ScalarOrSchedule") -> "Replay":
    """The replay of windows of `n_step` transitions.

    Args:
      config: the flags.
      buffer: rows of a device that are held.
      batch: windows of a sample.
      beta: exponent of the importance weights, or a schedule of it.
    """
    import jax.numpy as jnp

    import replay

    shared: dict[str, Any] = {"alpha": config.alpha, "beta": beta}
    if config.demonstrations:
        rows = dataset(config.demonstrations).rows
        bonuses = {"own_bonus": config.own_bonus, "demonstration_bonus": config.demonstration_bonus}
        return replay.with_demonstrations(
            rows, buffer, batch, config.n_step, permanent=config.permanent, **bonuses, **shared
        )
    own = replay.prioritised(buffer, batch, config.n_step, epsilon=config.own_bonus, single=True, **shared)

    def unmarked(steps: "Step", key: "Key") -> "Step":
        del key
        return steps._replace(extras={"demonstrated": jnp.zeros(steps.timestep.step_type.shape, bool)})

    return replay.mapped(own, unmarked)


def pretrained(agent: "run.Agent", config: Learning, storage: "Replay") -> "run.Agent":
    """The agent, which begins with updates on the demonstrations, if there are any."""
    from agents.common import demonstrations

    return demonstrations.pretrained(agent, storage, config.pretraining) if config.demonstrations else agent
