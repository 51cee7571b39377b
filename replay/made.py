"""Datasets that are made in a moment rather than read, by name: `made/cross` and others.

A recipe is a function of a task's module that returns trajectories, always the same ones.
"""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from envs.base import FIRST, LAST, MID, host_rows
from envs.trajectory import Trajectory
from replay import dataset
from replay.base import Step
from replay.dataset import Dataset

PREFIX = "made/"


class Recipe(NamedTuple):
    """How a dataset is made."""

    env: str
    """The task that its episodes are of."""
    function: str
    """`module:function` of `envs.tasks`, which returns trajectories."""


RECIPES = {
    "cross": Recipe("bellmax/cross", "cross:cross_trajectories"),
    "continuous-cross": Recipe("bellmax/continuous-cross", "cross:continuous_cross_trajectories"),
    "key-to-door": Recipe("bellmax/key-to-door", "key_to_door:key_to_door_trajectories"),
}


def recipe(name: str) -> Recipe:
    """The recipe of a dataset's name, `made/...`.

    Raises:
      ValueError: there is none.
    """
    short = name.removeprefix(PREFIX)
    if short not in RECIPES:
        near = get_close_matches(short, RECIPES, n=1) or list(RECIPES)
        raise ValueError(f"{name}: there is no such recipe; allowed: {', '.join(PREFIX + each for each in near)}")
    return RECIPES[short]


def header(name: str) -> dict[str, Any]:
    """What is known of a dataset before it is made: `env`, `env_options`, `about`.

    Raises:
      ValueError: there is no recipe of that name.
    """
    return {"env": recipe(name).env, "env_options": (), "about": {"recipe": name}}


def check_new(name: str) -> None:
    """Refuses to write.

    Raises:
      ValueError: always.
    """
    raise ValueError(f"{name}: is made anew each time and cannot be written; must be a file that ends in .npz")


def load(name: str) -> Dataset:
    """The dataset of a name, `made/...`.

    Raises:
      ValueError: there is no recipe of that name.
    """
    env, function = recipe(name)
    module, _, called = function.partition(":")
    trajectories: Callable[[], Sequence[Trajectory]] = getattr(import_module(f"envs.tasks.{module}"), called)
    return dataset.joined([rows(each) for each in trajectories()], env=env, about={"recipe": name}, named=name)


def rows(trajectory: Trajectory) -> Step:
    """An episode as rows `[T + 1, ...]`; the last one's action, which was not taken, is 0."""
    observation, action, reward, terminated = trajectory
    length = len(reward)
    kinds = np.full(length + 1, MID, np.int8)
    kinds[0], kinds[-1] = FIRST, LAST
    discount = np.ones(length + 1, np.float32)
    discount[-1] = not terminated
    arrived = np.concatenate([np.zeros(1, np.float32), np.asarray(reward, np.float32)])
    return Step(host_rows(kinds, arrived, discount, observation), np.concatenate([action, np.zeros_like(action[:1])]))
