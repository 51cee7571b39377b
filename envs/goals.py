"""What tasks with goals share: how they pay, and tasks that change while they are played.

The convention is `envs.base.Goals`: observations are dicts of `observation`, `achieved_goal` and `desired_goal`, as
gymnasium-robotics has them (Plappert et al., "Multi-goal reinforcement learning", 2018).
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Environment, Goals, Key, Space, Spec, TimeStep, Tree, select

Pay = Literal["cost", "bonus", "distance", "exponential"]
PAYS = {"cost": (-1.0, 0.0), "bonus": (0.0, 1.0), "distance": (-np.inf, 0.0), "exponential": (0.0, 1.0)}
"""The least and the most of a reward."""


def near(threshold: float, pay: Pay = "cost", terminates: bool = False) -> Goals:
    """Goals `[..., G]` in a Euclidean space, reached within a distance of `threshold`.

    Args:
      threshold: the largest distance that counts as success.
      pay: "cost" is -1 per step until the goal is reached and 0 there; "bonus" 0 and 1; "distance" is minus the
        distance; "exponential" is e to that power.
      terminates: success ends the episode.

    Raises:
      ValueError: another `pay`.
    """
    if pay not in PAYS:
        raise ValueError(f"reward is {pay!r}; allowed: {', '.join(PAYS)}")

    def distance(achieved: Any, desired: Any) -> Any:
        xp = jnp if isinstance(achieved, jax.Array) or isinstance(desired, jax.Array) else np
        return xp.sqrt(xp.sum((achieved - desired) ** 2, axis=-1))

    def reached(achieved: Any, desired: Any) -> Any:
        return distance(achieved, desired) <= threshold

    def reward(achieved: Any, desired: Any) -> Any:
        far = distance(achieved, desired)
        if pay in ("cost", "bonus"):
            return (far <= threshold).astype(np.float32) - np.float32(pay == "cost")
        xp = jnp if isinstance(far, jax.Array) else np
        return (xp.exp(-far) if pay == "exponential" else -far).astype(np.float32)

    return Goals(reward, reached, terminates, PAYS[pay])


def same(pay: Pay = "cost", terminates: bool = True) -> Goals:
    """Goals that are numbers `[...]`, reached when equal; `pay` is "cost" or "bonus", as for `near`.

    Raises:
      ValueError: another `pay`.
    """
    if pay not in ("cost", "bonus"):
        raise ValueError(f"reward is {pay!r}; allowed: cost, bonus")

    def reached(achieved: Any, desired: Any) -> Any:
        return achieved == desired

    def reward(achieved: Any, desired: Any) -> Any:
        return reached(achieved, desired).astype(np.float32) - np.float32(pay == "cost")

    return Goals(reward, reached, terminates, PAYS[pay])


def value_bounds(rules: Goals, discount: Any) -> tuple[Any, Any]:
    """The least and the most that rewards of a task with goals can sum to, discounted; infinite where unknown.

    Args:
      rules: of the task.
      discount: γ, which may be traced.
    """
    never = isinstance(discount, float | int) and discount >= 1
    steps = np.inf if never else 1 / (1 - discount)
    low, high = rules.pays
    return low * steps if low < 0 else 0.0, high * steps if high > 0 else 0.0


def observed(observation: Array, achieved: Array, desired: Array) -> dict[str, Array]:
    """The observation of a task with goals."""
    return {"observation": observation, "achieved_goal": achieved, "desired_goal": desired}


def spaces(observation: Space, goal: Space) -> dict[str, Space]:
    """Its space."""
    return {"observation": observation, "achieved_goal": goal, "desired_goal": goal}


def succeeded(spec: Spec, timestep: TimeStep) -> Any:
    """Boolean `[B]`: the rows that reach their goal; none of them, in a task without goals."""
    if spec.goals is None:
        return timestep.step_type < 0
    return spec.goals.reached(timestep.observation["achieved_goal"], timestep.observation["desired_goal"])


class Switched(NamedTuple):
    """State of `switching`."""

    inner: Any
    episodes: Array  # int32, that this lane has completed
    drawn: Any = ()  # what this lane's later task is made of


def switching(
    before: Environment,
    after: Environment | Callable[[Any], Environment],
    episodes: int,
    draw: Callable[[Key], Any] | None = None,
) -> Environment:
    """A task that becomes another once a lane has played so many episodes.

    Args:
      before: what is played first.
      after: what is played then; its states, spaces and limits are those of `before`. With `draw` it is a function of
        what that gives, which may be traced.
      episodes: how many of them, 0 or more.
      draw: `(key) -> drawn`, once for each lane; None where `after` is one environment.

    Raises:
      ValueError: a negative number of episodes.
    """
    if episodes < 0:
        raise ValueError(f"switch is {episodes}; allowed: 0 or more episodes")

    def then(drawn: Any) -> Environment:
        return after if isinstance(after, Environment) else after(drawn)

    def choose(later: Array, one: tuple, other: tuple) -> tuple:
        return select(later, other, one)

    def reset(key: Key) -> tuple[Switched, TimeStep]:
        drawn = draw(jax.random.fold_in(key, 1)) if draw else ()
        inner, timestep = choose(jnp.bool_(episodes == 0), before.reset(key), then(drawn).reset(key))
        return Switched(inner, jnp.int32(0), drawn), timestep

    def step(state: Switched, action: Tree) -> tuple[Switched, TimeStep]:
        later = state.episodes >= episodes
        moved = before.step(state.inner, action), then(state.drawn).step(state.inner, action)
        inner, timestep = choose(later, *moved)
        return Switched(inner, state.episodes + timestep.last().astype(jnp.int32), state.drawn), timestep

    render = before.render
    return Environment(reset, step, before.spec, render and (lambda state: render(state.inner)))
