"""Refusals that several experiments share."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    from envs.base import Spec
    from experiments.run.plans import Size


def check_buffer(size: int, lanes: int, rows: int) -> None:
    """Refuses a replay that has no room for one window of each lane.

    Args:
      size: steps held on a device.
      lanes: environments on a device.
      rows: of a window, with what rebuilding it reads.

    Raises:
      ValueError: naming the flag.
    """
    if size // lanes < rows:
        raise ValueError(
            f"--agent.buffer-size {size}: holds {size // lanes} steps of each of {lanes} environments (per device); "
            f"a sample needs {rows}, hence at least {rows * lanes}"
        )


def check_images(spec: "Spec", cnn: str) -> None:
    """Refuses convolutions that the task's images are too small for.

    Args:
      spec: the task.
      cnn: of `--agent.cnn`; "none" is for images of any size.

    Raises:
      ValueError: naming the flag and the convolutions that fit.
    """
    from networks.torsos import LEAST_SIDES, layout

    if cnn == "none":
        return
    sides = [min(leaf.shape[:2]) for leaf in layout(spec.observation) if len(leaf.shape) == 3]
    if sides and min(sides) < LEAST_SIDES[cnn]:
        fit = ", ".join(name for name, least in LEAST_SIDES.items() if least <= min(sides))
        raise ValueError(
            f"--agent.cnn {cnn}: needs images with sides of {LEAST_SIDES[cnn]} or more, but the smallest side of those "
            f"of {spec.name} is {min(sides)}; allowed: {fit}"
        )


def check_passes(config: Any, scale: "Size") -> None:
    """Refuses rollouts that cannot be dealt into minibatches.

    Args:
      config: an agent's flags, with `unroll`, `epochs`, `minibatches` and `memory`.
      scale: of the run.

    Raises:
      ValueError: naming the flag.
    """
    for name in ("unroll", "epochs", "minibatches"):
        if getattr(config, name) < 1:
            raise ValueError(f"--agent.{name} {getattr(config, name)}: must be at least 1")
    items = scale.num_envs * (config.unroll if config.memory == "none" else 1)
    if items % config.minibatches:
        what = "unroll x --num-envs" if config.memory == "none" else "--num-envs, for an agent with memory,"
        raise ValueError(f"--agent.minibatches {config.minibatches}: must divide {what} per device, {items}")


def check_layers(config: Any, *names: str) -> None:
    """Refuses lists of layer sizes that are empty or not positive.

    Args:
      config: an agent's flags.
      names: which of them are such lists.

    Raises:
      ValueError: naming the flag.
    """
    for name in names:
        sizes = getattr(config, name)
        if not sizes or min(sizes) < 1:
            raise ValueError(f"--agent.{name.replace('_', '-')} {sizes}: one or more positive sizes are needed")
