"""How the goal tasks of gymnasium and gymnasium-robotics pay: `compute_reward(achieved_goal, desired_goal, info)`.

It is the task's own Python. From compiled code it is called back on the host, on all rows at once.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Goals
from envs.host import calling

NAMES = {"observation", "achieved_goal", "desired_goal"}


def goals_of(name: str, lane: Any, space: Any) -> Goals | None:
    """The goals of a task that has `compute_reward` and observes `NAMES`, whose goals are arrays; else None.

    A goal counts as reached where it pays as much as one that was met exactly: for a reward that falls with the
    distance, nowhere else. Success ends the episode if the task's `compute_terminated` says so. Where `compute_reward`
    takes one row only, it is called row by row.

    Args:
      name: of the task, for errors.
      lane: one of its environments, kept for these calls alone.
      space: gymnasium's, of its observations.
    """
    compute = getattr(lane.unwrapped, "compute_reward", None)
    parts = getattr(space, "spaces", None)
    if compute is None or not isinstance(parts, dict) or not parts.keys() >= NAMES:
        return None
    goal = parts["desired_goal"]
    if getattr(goal, "dtype", None) is None or goal.dtype.kind != "f" or parts["achieved_goal"].shape != goal.shape:
        return None
    axes = len(goal.shape)

    def one_by_one(achieved: np.ndarray, desired: np.ndarray) -> Any:
        return [compute(a, d, {}) for a, d in zip(achieved, desired, strict=True)]

    probe = np.stack([goal.sample() for _ in range(3)])
    try:
        together = np.asarray(compute(probe, probe[::-1], {}), np.float32)
        vectorised = together.shape == (3,) and np.allclose(together, one_by_one(probe, probe[::-1]))
    except Exception:  # it is not written for rows
        vectorised = False
    rows = (lambda a, d: compute(a, d, {})) if vectorised else one_by_one

    def paid(achieved: Any, desired: Any) -> np.ndarray:
        achieved, desired = np.broadcast_arrays(np.asarray(achieved, goal.dtype), np.asarray(desired, goal.dtype))
        lead = achieved.shape[: achieved.ndim - axes]
        with calling(name, "compute_reward"):
            flat = rows(achieved.reshape(-1, *goal.shape), desired.reshape(-1, *goal.shape))
            return np.asarray(flat, np.float32).reshape(lead)

    def reward(achieved: Any, desired: Any) -> Any:
        if not (isinstance(achieved, jax.Array) or isinstance(desired, jax.Array)):
            return paid(achieved, desired)
        shape = np.broadcast_shapes(achieved.shape, desired.shape)
        both = (jnp.broadcast_to(x, shape) for x in (achieved, desired))  # or a mapped axis would not line up
        answer = jax.ShapeDtypeStruct(shape[: len(shape) - axes], np.float32)
        return jax.pure_callback(paid, answer, *both, vmap_method="broadcast_all")

    def reached(achieved: Any, desired: Any) -> Any:
        return reward(achieved, desired) >= reward(desired, desired)

    over = getattr(lane.unwrapped, "compute_terminated", None)
    return Goals(reward, reached, over is not None and bool(over(probe[0], probe[0], {})))
