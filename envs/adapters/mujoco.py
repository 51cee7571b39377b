"""Tasks built here on the `mujoco` package: the ant mazes."""

from typing import Any

from envs.base import HostEnvironment
from envs.host import unknown
from envs.tasks.ant_maze import NAMES, ant_maze


def ids() -> tuple[str, ...]:
    """The tasks."""
    return NAMES


def mujoco(id: str, **options: Any) -> HostEnvironment:
    """A task by name, see `envs.tasks.ant_maze`.

    Raises:
      ValueError: an unknown name, or options that the task refuses.
    """
    if id not in NAMES:
        raise unknown("mujoco task", id, NAMES)
    return ant_maze(id, **options)
