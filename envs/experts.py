"""Policies for small tasks that are written down and not learned: what to imitate, and what to make datasets with."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from envs.base import Array, Tree
from envs.tasks import grid_maps


class Expert(NamedTuple):
    """A policy of what is observed, and the tasks that it is for."""

    act: Callable[[Tree], Array]
    """`(observation[..., *shape]) -> action[..., *shape]`."""
    tasks: tuple[str, ...]
    """Names of tasks without their suite."""


def cartpole(observation: Array) -> Array:
    """Pushes to where pole and cart lean: 500 in every episode of CartPole-v1."""
    return (observation @ jnp.array([0.05, 0.15, 1.0, 0.35]) > 0).astype(jnp.int32)


def pendulum(observation: Array) -> Array:
    """Swings up by pumping energy and holds by proportional and derivative control: about -140."""
    cos, sin, speed = jnp.moveaxis(observation, -1, 0)
    lacking = 5.0 * (1.0 - cos) - jnp.square(speed) / 6.0  # joules of standing still upright, less those it has
    pumping = 6.0 * lacking * jnp.where(speed >= 0, 1.0, -1.0)
    holding = -14.0 * jnp.arctan2(sin, cos) - 3.0 * speed
    return jnp.clip(jnp.where(cos < 0.85, pumping, holding), -2.0, 2.0)[..., None]


def mountain_car(observation: Array) -> Array:
    """Pushes forwards within a region of place and speed, and backwards outside: about -104."""
    place, speed = jnp.moveaxis(observation, -1, 0)
    low = jnp.minimum(-0.09 * (place + 0.25) ** 2 + 0.03, 0.3 * (place + 0.9) ** 4 - 0.008)
    high = -0.07 * (place + 0.38) ** 2 + 0.07
    return jnp.where((speed >= low) & (speed <= high), 2, 0).astype(jnp.int32)


def mountain_car_continuous(observation: Array) -> Array:
    """Pushes along the velocity, with all force: about 89."""
    return jnp.where(observation[..., 1:] >= 0, 1.0, -1.0)


def catch(observation: Array) -> Array:
    """Moves the paddle, in the last row, towards the column of the ball: 1 in every episode."""
    place = observation @ jnp.arange(observation.shape[-1], dtype=jnp.float32)  # [..., rows]
    return (jnp.sign(jnp.sum(place[..., :-1], axis=-1) - place[..., -1]) + 1).astype(jnp.int32)


def point_mass(observation: dict[str, Array]) -> Array:
    """Moves to the goal as fast as it may, by saturated proportional control: it gets there by the straightest way."""
    return jnp.clip(observation["desired_goal"] - observation["observation"], -1.0, 1.0)


def walk(layout: str, observation: dict[str, Array]) -> Array:
    """Walks through the cells of an OGBench maze to the goal, by the shortest way."""
    from envs.tasks import ogbench_maze

    return ogbench_maze.direction(layout, observation["observation"], observation["desired_goal"])


EXPERTS = {
    "cartpole": Expert(cartpole, ("cartpole", "CartPole-v0", "CartPole-v1")),
    "pendulum": Expert(pendulum, ("pendulum", "Pendulum-v0", "Pendulum-v1")),
    "mountain-car": Expert(mountain_car, ("MountainCar-v0",)),
    "mountain-car-continuous": Expert(mountain_car_continuous, ("MountainCarContinuous-v0",)),
    "catch": Expert(catch, ("catch",)),
    "point-mass": Expert(point_mass, ("point-mass",)),
    "shortest-path": Expert(grid_maps.shortest, ("grid-maps",)),
    "pointmaze-medium": Expert(partial(walk, "medium"), ("pointmaze-medium",)),
    "pointmaze-large": Expert(partial(walk, "large"), ("pointmaze-large",)),
}


def expert_of(env: str) -> Expert | None:
    """The expert of a task, given as suite/id; None if there is none."""
    task = env.rpartition("/")[2]
    return next((expert for expert in EXPERTS.values() if task in expert.tasks), None)
