"""A baseline that is fitted to each batch of rollouts in closed form, and what rollouts of one task are learned from.

Duan et al., "Benchmarking deep reinforcement learning for continuous control", ICML 2016: returns are predicted by
least squares from (x, x², t, t², t³, 1), with t in hundreds of steps. Episodes end with their time limit, where nothing
more is expected.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import FIRST, Array, Step, valid


class Rollouts(NamedTuple):
    """What was played in N tasks, all `[N, T, ...]`."""

    observation: Array
    action: Any
    reward: Array  # that followed
    log_prob: Array  # under the policy that acted
    advantage: Array  # of mean 0 and variance 1 in each task
    baseline: Array
    spread: Array  # standard deviation of the advantages before, [N, T]
    mask: Array  # bool, transitions within an episode
    step_type: Array  # [N, T+1]
    gain: Array  # mean return of an episode without discount, [N]


def features(observation: Array, t: Array) -> Array:
    """`(observation[T, D], steps since FIRST [T]) -> [T, 2 D + 4]`."""
    flat = observation.reshape(observation.shape[0], -1)
    clock = t[:, None] / 100
    return jnp.concatenate([flat, jnp.square(flat), clock, clock**2, clock**3, jnp.ones_like(clock)], axis=1)


def fitted(inputs: Array, target: Array, mask: Array, ridge: float = 1e-3) -> Array:
    """The weights `[F]` of the least squares of `target[T]` by `inputs[T, F]`, over the rows of `mask[T]`."""
    # By factors of the rows and not of their products, whose condition is the square of the rows'.
    rows = jnp.concatenate([inputs * mask[:, None], jnp.sqrt(ridge) * jnp.eye(inputs.shape[1])])
    q, r = jnp.linalg.qr(rows)
    return jax.scipy.linalg.solve_triangular(r, q[: len(target)].T @ (target * mask))


def of_task(steps: Step, discount: Array | float, lambda_: Array | float) -> Rollouts:
    """Rollouts `[T, ...]` of one task, of a window `[T+1]` that opens with a FIRST row and holds whole episodes."""
    kind, mask = steps.timestep.step_type, valid(steps)
    rows = jnp.arange(kind.shape[0])
    since = (rows - jax.lax.cummax(jnp.where(kind == FIRST, rows, 0))).astype(jnp.float32)
    inputs = features(steps.timestep.observation, since)
    reward, last = steps.timestep.reward[1:], steps.timestep.last()
    onward = jnp.where(last[1:], 0.0, discount * steps.timestep.discount[1:])
    returns = losses.gae(reward, onward, 1.0, jnp.zeros_like(since), kind)
    baseline = jnp.where(last, 0.0, inputs @ fitted(inputs[:-1], returns, mask))
    advantage = losses.gae(reward, onward, lambda_, baseline, kind)
    count = jnp.maximum(jnp.sum(mask), 1)
    mean = jnp.sum(advantage * mask) / count
    spread = jnp.sqrt(jnp.sum(jnp.square(advantage - mean) * mask) / count + 1e-8)
    before = jax.tree.map(lambda x: x[:-1], steps)
    return Rollouts(
        observation=before.timestep.observation,
        action=before.action,
        reward=reward,
        log_prob=before.extras["log_prob"],
        advantage=(advantage - mean) / spread,
        baseline=baseline[:-1],
        spread=jnp.broadcast_to(spread, reward.shape),
        mask=mask,
        step_type=kind,
        gain=jnp.sum(reward * mask) / jnp.maximum(jnp.sum(kind[:-1] == FIRST), 1),
    )


def rollouts(steps: Step, discount: Array | float, lambda_: Array | float) -> Rollouts:
    """The same for a window `[T+1, N]` whose lanes are tasks."""
    steps = steps._replace(carry=())
    return jax.vmap(lambda lane: of_task(lane, discount, lambda_), in_axes=1)(steps)
