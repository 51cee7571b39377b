"""What agents share that learn from data how to reach goals: windows with goals behind them, and what networks see.

Goals are what rows of the data achieve (`replay.with_goals`); when acting, the one that is desired.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import descend
from agents.base import Array, Info, Key, Sample, Step, TimeStep, Tree
from agents.common import recurrence
from envs import parallel
from networks.base import Network

SEEN = ("observation", "desired_goal")
Loss = Callable[[Any, Step, TimeStep], tuple[Array, dict[str, Array]]]
"""`(params, steps[2, N], goal[1, N]) -> (loss, metrics)`."""


class State(NamedTuple):
    """Everything that is learned and counted, of agents without target networks."""

    params: Any
    optimiser: Any
    updates: Array  # int32


def apart(steps: Step, goals: int) -> tuple[Step, list[TimeStep]]:
    """A transition and its goals.

    Args:
      steps: `[2 + goals, N]`.
      goals: how many there are.

    Returns:
      The transition, `[2, N]`, and the rows of each goal, `[1, N]`.

    Raises:
      ValueError: windows of another length.
    """
    rows = steps.timestep.reward.shape[0]
    if rows != 2 + goals:
        raise ValueError(f"windows have {rows} rows; must have the two of a transition and {goals} goals")
    cut = lambda begin, end: jax.tree.map(lambda x: x[begin:end], steps)  # noqa: E731
    return cut(0, 2), [cut(2 + i, 3 + i).timestep for i in range(goals)]


def posed(timestep: TimeStep, goal: TimeStep | None = None) -> TimeStep:
    """What is seen of rows: `observation` and `desired_goal`, or in its place what the rows of `goal` achieve."""
    seen = {name: timestep.observation[name] for name in SEEN}
    if goal is not None:
        seen["desired_goal"] = goal.observation["achieved_goal"]
    return timestep._replace(observation=seen)


def reached(timestep: TimeStep, goal: TimeStep) -> Array:
    """Whether rows achieve just what the rows of `goal` do, booleans `[T, N]`."""
    pairs = [each.observation["achieved_goal"] for each in (timestep, goal)]
    same = lambda x, y: jnp.all((x == y).reshape((*x.shape[:2], -1)), axis=-1)  # noqa: E731
    return jnp.all(jnp.stack(jax.tree.leaves(jax.tree.map(same, *pairs))), axis=0)


def played(policy: Network, params: Any, key: Key, timestep: TimeStep, explore: bool) -> Tree:
    """An action of each lane in [-1, 1], or a number: drawn, or the likeliest."""
    distribution, _ = recurrence.step(policy, params, None, (), timestep)
    action = distribution.sample(key) if explore else distribution.mode()
    return jnp.clip(action, -1.0, 1.0) if jnp.issubdtype(action.dtype, jnp.floating) else action


def ascent(q: Array, log_prob: Array, cloning: float | Array) -> tuple[Array, dict[str, Array]]:
    """-q / mean |q| - c ln π(a|x, g): values of the policy's actions climbed, and the data's kept to (DDPG+BC).

    Args:
      q: values of the policy's actions, `[T, N]`.
      log_prob: of the data's, `[T, N]`.
      cloning: c.

    Returns:
      The mean, and metrics.
    """
    size = parallel.mean(jnp.mean(jnp.abs(q)))
    value = jnp.mean(cloning * losses.cloning(log_prob) - losses.value_scale(q, size))
    return value, {"policy_loss": value, "policy_value": jnp.mean(q), "log_prob": jnp.mean(log_prob)}


def together(
    optimiser: optax.GradientTransformation, of_values: Loss, of_policy: Loss
) -> Callable[[State, Key, Sample], tuple[State, Info]]:
    """An agent's `update` on the sum of two losses, each of which has a goal of its own.

    Args:
      optimiser: of all parameters.
      of_values: of the first goal.
      of_policy: of the second one.
    """

    def loss(params: Any, sample: Sample) -> tuple[Array, dict[str, Array]]:
        steps, (first, second) = apart(sample.steps, 2)
        value, told = of_values(params, steps, first)
        policy, more = of_policy(params, steps, second)
        return value + policy, {"loss": value + policy, **told, **more}

    def update(state: State, key: Key, sample: Sample) -> tuple[State, Info]:
        del key
        state, metrics = descend(optimiser, loss, state, sample)
        return state._replace(updates=state.updates + 1), Info(metrics)

    return update
