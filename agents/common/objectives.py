"""What a Q-network can predict, and the loss for it: the mean return, its distribution, or its quantiles.

An objective reads the output of the matching head of `networks`; `agents.dqn` does the rest. Targets bootstrap from a
policy π over the next actions: greedy for Q-learning, soft for Munchausen.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from agents import losses
from agents.base import Array


class Objective(NamedTuple):
    """A prediction and its loss, per transition; leading axes are free."""

    values: Callable[[Any], Array]
    """`(output) -> Q [..., A]`."""

    loss: Callable[..., tuple[Array, Array]]
    """`(output_tm1, a_tm1, r_t, discount_t, output_t, pi_t[..., A]) -> (loss, priority)`, both `[...]`; priorities are
    not negative. No gradient flows into `output_t`."""

    choice: Callable[[Any], Array] | None = None
    """`(output) -> [..., A]`, by which actions are chosen where it is not by their values."""


def taken(values: Array, action: Array) -> Array:
    """The entries `[..., *rest]` of `values[..., A, *rest]` at `action[...]`."""
    index = action.reshape(action.shape + (1,) * (values.ndim - action.ndim))
    return jnp.take_along_axis(values, index, axis=action.ndim).squeeze(action.ndim)


def averaged(values: Array, pi: Array) -> Array:
    """Σ_a π(a) values[..., a, :], `[..., K]`."""
    return jnp.sum(pi[..., None] * values, axis=-2)


def expected(error_clip: float | None = None) -> Objective:
    """The mean return, by TD learning: ½δ², or Huber's loss with a gradient clipped to ±`error_clip`; priority |δ|."""

    def loss(q_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, q_t: Array, pi_t: Array) -> tuple[Array, Array]:
        td = losses.expected_sarsa(q_tm1, a_tm1, r_t, discount_t, q_t, pi_t)
        return losses.squared(td) if error_clip is None else losses.huber(td, error_clip), jnp.abs(td)

    return Objective(lambda q: q, loss)


def categorical(atoms: Array) -> Objective:
    """The distribution of the return on fixed atoms `[K]` (C51: Bellemare, Dabney and Munos, ICML 2017).

    The loss is the cross-entropy to the projected target; the priority is their divergence, which unlike the
    cross-entropy is 0 once a random return is fitted (Rainbow: Hessel et al., AAAI 2018).
    """

    def loss(
        logits_tm1: Array, a_tm1: Array, r_t: Array, discount_t: Array, logits_t: Array, pi_t: Array
    ) -> tuple[Array, Array]:
        z = atoms.reshape((1,) * r_t.ndim + (-1,))
        probs = averaged(jax.nn.softmax(logits_t), pi_t)
        target = losses.categorical_projection(r_t[..., None] + discount_t[..., None] * z, probs, atoms)
        cross_entropy = losses.categorical_cross_entropy(taken(logits_tm1, a_tm1), target)
        return cross_entropy, jnp.maximum(cross_entropy - losses.entropy_of(target), 0.0)

    def values(logits: Array) -> Array:
        return jax.nn.softmax(logits) @ atoms

    return Objective(values, loss)


def quantile(kappa: float | Array = 1.0) -> Objective:
    """The quantiles of the return, fixed (QR-DQN: Dabney et al., AAAI 2018) or sampled (IQN: Dabney et al., ICML 2018).

    The outputs are `networks.Quantiles`; a sampled head wants its own draw for prediction, target and choice of action,
    which is what `agents.dqn` gives. The priority is the loss.
    """

    def loss(
        output_tm1: Any, a_tm1: Array, r_t: Array, discount_t: Array, output_t: Any, pi_t: Array
    ) -> tuple[Array, Array]:
        target = r_t[..., None] + discount_t[..., None] * averaged(output_t.values, pi_t)
        each = losses.quantile_huber(taken(output_tm1.values, a_tm1), output_tm1.tau, target, kappa)
        return each, jax.lax.stop_gradient(each)

    return Objective(lambda output: jnp.mean(output.values, axis=-1), loss)


def constrained(threshold: float | Array = 0.3, error_clip: float = 1.0, decay: float = 1e-2) -> Objective:
    """The mean return of the actions that are likely in the data, by a head that imitates it (BCQ: arXiv:1910.01708).

    The loss is Huber's of the TD error, -ln of the behaviour's probability of the action, and `decay` times the mean
    squared logit of the behaviour; actions are chosen among those that `losses.likely` allows.

    Args:
      threshold: of `losses.likely`.
      error_clip: where Huber's loss turns linear.
      decay: as above.
    """
    inner = expected(error_clip)

    def loss(
        output_tm1: Any, a_tm1: Array, r_t: Array, discount_t: Array, output_t: Any, pi_t: Array
    ) -> tuple[Array, Array]:
        each, priority = inner.loss(output_tm1.values, a_tm1, r_t, discount_t, output_t.values, pi_t)
        likelihood = taken(jax.nn.log_softmax(output_tm1.logits), a_tm1)
        return each - likelihood + decay * jnp.mean(jnp.square(output_tm1.logits), axis=-1), priority

    def choice(output: Any) -> Array:
        return jnp.where(losses.likely(output.logits, threshold), output.values, -jnp.inf)

    return Objective(lambda output: output.values, loss, choice)
