"""Critics of actions: what DDPG, TD3, SAC and NAF share.

A critic is a network whose observation is joined with the action, in an ensemble: its values are `[E, T, N]`. All are
feed-forward.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents import losses
from agents.a2c import State as Learned
from agents.a2c import descend
from agents.base import Array, Key, Sample, Step, TimeStep, Tree, over_window, valid
from envs import parallel
from networks.base import Network


def with_action(observation: Tree, action: Any) -> dict[str, Any]:
    """What a critic observes: the entries of the observation if it is a dict, else `observation`; and `action`.

    Of spaces it makes the space to build the critic from.
    """
    own = observation if isinstance(observation, dict) else {"observation": observation}
    return {**own, "action": action}


def apply(network: Network, params: Any, timestep: TimeStep, action: Array | None = None) -> Any:
    """A feed-forward network at rows `[T, N]`; a critic also takes the actions `[T, N, D]`."""
    seen = timestep.observation if action is None else with_action(timestep.observation, action)
    return network.apply(params, None, (), seen, timestep.first())[0]


def ends(steps: Step) -> tuple[TimeStep, TimeStep]:
    """The rows `[T, N]` before and after each transition of a window."""
    before, after = (jax.tree.map(lambda x, at=at: x[at], steps.timestep) for at in (slice(-1), slice(1, None)))
    return before, after


def fit(
    optimiser: optax.GradientTransformation,
    predict: Callable[[Any, Step], Array],
    targets: Callable[[Key, Step], Array],
    learned: Learned,
    key: Key,
    sample: Sample,
    times: int = 1,
    penalty: Callable[[Any, Key, Step], Array] | None = None,
    penalty_weight: Array | float = 1.0,
) -> tuple[Learned, dict[str, Array], Array, Step]:
    """Gradient steps of an ensemble of critics towards the same targets, each step on its own part of the sample.

    Args:
      optimiser: of the critics.
      predict: `(params, steps[T+1, N]) -> q_tm1[E, T, N]`, the values of what was done.
      targets: `(key, steps[T+1, N]) -> y[T, N]`, constant through these steps.
      learned: the critics' parameters and optimiser state.
      key: of the targets.
      sample: N · times windows.
      times: gradient steps.
      penalty: `(params, key, steps[T+1, N]) -> [E', T, N]`; its sum over E' is added to the loss of each transition.
      penalty_weight: its factor there.

    Returns:
      What is learned then, metrics, priorities `[N · times]`, and the windows of the last step.

    Raises:
      ValueError: the windows do not divide.
    """
    windows = sample.steps.timestep.reward.shape[1]
    if windows % times:
        raise ValueError(f"a sample of {windows} windows cannot be shared out over {times} critic steps")
    deal = lambda x: jnp.moveaxis(x.reshape(x.shape[0], times, -1, *x.shape[2:]), 1, 0)  # noqa: E731
    parts = jax.tree.map(deal, sample.steps)
    weight = jnp.broadcast_to(jnp.asarray(sample.weight), (windows,)).reshape(times, -1)

    def loss(params: Any, key: Key, steps: Step, weight: Array) -> tuple[Array, dict[str, Array]]:
        q_tm1 = predict(params, steps)
        td = targets(key, steps)[None] - q_tm1
        each, mask = jnp.sum(losses.squared(td), axis=0) * weight[None], valid(steps)
        extra = {}
        if penalty is not None:
            parts = penalty(params, jax.random.fold_in(key, 1), steps)
            each = each + penalty_weight * jnp.sum(parts, axis=0)
            extra = {"penalty": jnp.mean(parts, axis=0)}
        value = parallel.masked_mean(each, mask)
        priority = over_window(jnp.mean(jnp.abs(td), axis=0), steps)
        told = {"q_mean": q_tm1[0], "td_error": jnp.mean(jnp.abs(td), axis=0), **extra}
        means = {name: parallel.masked_mean(x, mask) for name, x in told.items()}
        return value, {"loss": value, **means, "priority": priority}

    def step(learned: Learned, each: tuple) -> tuple[Learned, dict[str, Array]]:
        return descend(optimiser, loss, learned, *each)

    learned, metrics = jax.lax.scan(step, learned, (jax.random.split(key, times), parts, weight))
    priority = metrics.pop("priority").reshape(-1)
    return learned, jax.tree.map(jnp.mean, metrics), priority, jax.tree.map(lambda x: x[-1], parts)
