"""Transitions as those see them who judge or pay them: each part as one vector.

An end can lead into an absorbing state, where the agent stays for ever and goes on being paid (Kostrikov et al.,
"Discriminator-actor-critic", ICLR 2019, section 4.2): the last transition gets γ / (1 - γ) of that.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from agents.base import Array, Sample, Step, Tree, valid
from agents.common import wrappers
from agents.common.bonuses.encoders import flat
from agents.common.moments import Moments
from envs.base import Box, Discrete, Spec


class Moves(NamedTuple):
    """Transitions as judges see them, one vector for each part."""

    observation: Array  # [N, F]; the last of F says whether it is the absorbing state
    action: Array  # [N, A], one-hot, or between -1 and 1
    after: Array  # [N, F]
    discount: Array  # [N], of the row that is arrived at
    log_prob: Array  # [N], of the action under the policy that learns, where that is asked for


def moves(
    spec: Spec, steps: Step, moments: Moments, density: Callable[[Tree, Array], Array] | None = None
) -> tuple[Moves, Array, Array]:
    """The transitions of a window as vectors.

    Args:
      spec: of the task.
      steps: `[T+1, N]`.
      moments: of observations, which are brought to mean 0 and variance 1 by them and clipped at 10.
      density: `(observation[T, N], action[T, N]) -> ln π [T, N]`; None for 0.

    Returns:
      `Moves[T * N]`, whether each lies within an episode, and whether it ends one, `[T * N]`.
    """
    observation, action = steps.timestep.observation, jax.tree.map(lambda x: x[:-1], steps.action)
    seen = flat(spec.observation, wrappers.standardised(observation, spec.observation, moments, clip=10.0))
    seen = jnp.concatenate([seen, jnp.zeros((*seen.shape[:-1], 1))], axis=-1)
    before = jax.tree.map(lambda x: x[:-1], observation)
    inside = valid(steps)
    log_prob = jnp.zeros(inside.shape) if density is None else density(before, action)
    discount = steps.timestep.discount[1:]
    found = Moves(seen[:-1], coded(spec, action), seen[1:], discount, log_prob)
    ended = inside & (discount == 0)
    return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), (found, inside, ended))


def coded(spec: Spec, action: Array) -> Array:
    """Actions as vectors: one-hot, or in units of the task's bounds, which they are clipped to."""
    if isinstance(spec.action, Discrete):
        return jax.nn.one_hot(action, spec.action.num)
    assert isinstance(spec.action, Box)
    low, high = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), spec.action.shape) for x in spec.action[1:3])
    bounded = jnp.isfinite(low) & jnp.isfinite(high)
    middle, half = jnp.where(bounded, (low + high) / 2, 0.0), jnp.where(bounded, (high - low) / 2, 1.0)
    lead = (1,) * (action.ndim - low.ndim)
    middle, half, most = (x.reshape(lead + x.shape) for x in (middle, half, jnp.where(bounded, 1.0, jnp.inf)))
    return jnp.clip((action - middle) / half, -most, most)


def absorbed(like: Moves) -> Moves:
    """The one transition of the absorbing state, `[1]`."""
    nothing = jax.tree.map(lambda x: jnp.zeros_like(x[:1]), like)
    there = nothing.observation.at[:, -1].set(1.0)
    return nothing._replace(observation=there, after=there, discount=jnp.ones_like(nothing.discount))


def paid(
    reward: Callable[[Moves], Array], found: Moves, inside: Array, ended: Array, absorbing: float | Array | None
) -> Array:
    """What transitions `[N]` pay, ends with what follows them for ever; 0 between episodes."""
    each = reward(found)
    if absorbing is not None:
        each = each + ended * absorbing / (1 - absorbing) * reward(absorbed(found))
    return jnp.where(inside, jax.lax.stop_gradient(each), 0.0)


def repaid(sample: Sample, reward: Array) -> Sample:
    """The sample, whose transitions pay `reward` `[T * N]`."""
    timestep = sample.steps.timestep
    arrived = reward.reshape(timestep.reward[1:].shape)
    given = jnp.concatenate([jnp.zeros_like(timestep.reward[:1]), arrived])
    return sample._replace(steps=sample.steps._replace(timestep=timestep._replace(reward=given)))
