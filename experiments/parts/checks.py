"""Refusals that several experiments share. Numeric ranges are no part of them: the types of the flags declare those."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:  # experiments import this module for `--help`, which must not wait for JAX
    from envs.base import Spec
    from experiments.run.plans import Size

    class _Replaying(Protocol):
        """Flags of an agent with a replay."""

        @property
        def batch_size(self) -> int: ...

        @property
        def buffer_size(self) -> int: ...

    class _Atoms(Protocol):
        """Flags of an agent that learns the chances of returns."""

        @property
        def v_min(self) -> float: ...

        @property
        def v_max(self) -> float: ...

    class _Passes(Protocol):
        """Flags of an agent that passes over rollouts."""

        @property
        def unroll(self) -> int: ...

        @property
        def minibatches(self) -> int: ...

        @property
        def memory(self) -> str: ...


Convolutions = Literal["auto", "nature", "impala", "small"]
"""Of image observations. With `auto` those of Nature's DQN where they fit, which is from sides of 36 on, and those for
tiny images below."""
Precision = Literal["float32", "bfloat16"]
"""What layers compute in; parameters, outputs and losses are float32."""
OptionalConvolutions = Literal["auto", "nature", "impala", "small", "none"]
"""The same; with none, images are flattened."""


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


def least_side(spec: "Spec") -> int | None:
    """The smallest side of a task's images, None where there are no images."""
    from networks.torsos import layout

    return min((min(leaf.shape[:2]) for leaf in layout(spec.observation) if len(leaf.shape) == 3), default=None)


def chosen(spec: "Spec", cnn: str) -> str:
    """The convolutions that `cnn`, of `--agent.cnn`, stands for: of "auto" the first that the task's images fit."""
    from networks.torsos import LEAST_SIDES

    if cnn != "auto":
        return cnn
    side = least_side(spec)
    return next(name for name in ("nature", "small", "impala") if side is None or side >= LEAST_SIDES[name])


def check_images(spec: "Spec", cnn: str) -> None:
    """Refuses convolutions that the task's images are too small for.

    Args:
      spec: the task.
      cnn: of `--agent.cnn`; "none" and "auto" are for images of any size.

    Raises:
      ValueError: naming the flag and the convolutions that fit.
    """
    from networks.torsos import LEAST_SIDES

    side = least_side(spec)
    if cnn not in ("none", "auto") and side is not None and side < LEAST_SIDES[cnn]:
        fit = ", ".join(name for name, least in LEAST_SIDES.items() if least <= side)
        raise ValueError(
            f"--agent.cnn {cnn}: needs images with sides of {LEAST_SIDES[cnn]} or more, but the smallest side of those "
            f"of {spec.name} is {side}; allowed: auto, {fit}"
        )


def check_frames(spec: "Spec", frames: int) -> None:
    """Refuses stacks of frames that a replay cannot take apart.

    Args:
      spec: the task.
      frames: of `--agent.frames`, in a stack.

    Raises:
      ValueError: naming the flag.
    """
    from networks.torsos import layout

    if frames == 1:
        return
    images = [leaf.shape for leaf in layout(spec.observation) if len(leaf.shape) == 3]
    if not images or any(shape[-1] % frames for shape in images):
        told = "has no images" if not images else f"has images of shape {', '.join(map(str, images))}"
        raise ValueError(
            f"--agent.frames {frames}: needs images whose channels are {frames} frames, but {spec.name} {told}; "
            "allowed: 1"
        )


def shares(config: "_Replaying", size: "Size") -> tuple[int, int]:
    """What each device has of a replay: steps that it holds, `buffer_size`, and windows of a batch, `batch_size`.

    Raises:
      ValueError: one does not divide over the devices.
    """
    buffer = size.per_device(config.buffer_size, "agent.buffer_size")
    return buffer, size.per_device(config.batch_size, "agent.batch_size")


def check_replay(config: "_Replaying", size: "Size", rows: int) -> None:
    """Refuses a replay that cannot be shared out over the devices, or has no room for one window of each lane.

    Args:
      config: an agent's flags, with `buffer_size` and `batch_size`.
      size: of the run.
      rows: of a window, with what rebuilding it reads.

    Raises:
      ValueError: naming the flag.
    """
    buffer, _ = shares(config, size)
    check_buffer(buffer, size.num_envs, rows)


def check_memory(kind: str, hidden: tuple[int, ...]) -> None:
    """Refuses a recurrent core, of the size of the last hidden layer, where there is no layer.

    Raises:
      ValueError: naming the flag.
    """
    if kind != "none" and not hidden:
        raise ValueError(
            f"--agent.hidden (empty): --agent.memory {kind} has the last layer's size, so give one or more"
        )


def check_atoms(config: "_Atoms") -> None:
    """Refuses atoms whose lowest, `v_min`, is not below the highest, `v_max`.

    Raises:
      ValueError: naming the flag.
    """
    if config.v_min >= config.v_max:
        raise ValueError(f"--agent.v-min {config.v_min}: must be below --agent.v-max {config.v_max}")


def check_passes(config: "_Passes", size: "Size") -> None:
    """Refuses rollouts that cannot be dealt into minibatches.

    Args:
      config: an agent's flags, with `unroll`, `minibatches` and `memory`.
      size: of the run.

    Raises:
      ValueError: naming the flag.
    """
    items = size.num_envs * (config.unroll if config.memory == "none" else 1)
    if items % config.minibatches:
        what = "unroll x --num-envs" if config.memory == "none" else "--num-envs, for an agent with memory,"
        raise ValueError(f"--agent.minibatches {config.minibatches}: must divide {what} per device, {items}")


def check_layers(config: object, *names: str) -> None:
    """Refuses lists of layer sizes that are empty.

    Args:
      config: an agent's flags.
      names: which of them are such lists.

    Raises:
      ValueError: naming the flag.
    """
    for name in names:
        sizes = getattr(config, name)
        if not sizes:
            raise ValueError(f"--agent.{name.replace('_', '-')} {sizes}: one or more positive sizes are needed")


def check_entries(spec: "Spec", names: Collection[str], such: str) -> None:
    """Refuses tasks whose observations lack entries.

    Args:
      spec: of the task.
      names: of the entries of its observations that the agent reads.
      such: a task that has them.

    Raises:
      ValueError: naming the task.
    """
    if not isinstance(spec.observation, dict) or set(names) - set(spec.observation):
        told = f"its observations are {spec.observation}; must be a dict with {', '.join(names)}"
        raise ValueError(f"--env {spec.name}: {told}, as those of {such}")


def check_lanes_are_tasks(config: object, spec: "Spec", episodes: int, why: str) -> None:
    """Refuses tasks that are no distribution of tasks of as many episodes, all of one length.

    Args:
      config: an agent's flags, with `hidden`.
      spec: of the task.
      episodes: for which a task must stay; 0 for good.
      why: says how many that are, and which flags make them so.

    Raises:
      ValueError: naming the flag.
    """
    if spec.episodes is None or spec.time_limit is None:
        raise ValueError(f"--env {spec.name}: must be a distribution of tasks, with episodes of one length")
    if spec.episodes != episodes:
        told = f"a task stays for {spec.episodes} episodes; {why}; say episodes={episodes}"
        raise ValueError(f"--env-options: {told}")
    check_layers(config, "hidden")
