"""Losses of inverse reinforcement learning: a reward from what an expert did, per step.

A discriminator's logit is large for what the expert does. No gradient passes through what another network said.
"""

import jax
import jax.numpy as jnp

from agents.base import Array


def occupancy_gap(reward: Array, learner: Array, expert: Array) -> Array:
    """What a learner is paid beyond the expert, whose gradient is that of the demonstrations' negative log-likelihood.

    In the maximum-entropy model of behaviour the log-likelihood has the gradient Σ (expert - learner) ∇r, with the
    learner's occupancy that of the soft-optimal policy of r (Ziebart et al., 2008, eq. 6; Ziebart, 2010, theorem 6.2).

    Args:
      reward: r, `[...]`.
      learner: how often the soft-optimal policy is there, `[...]`; a constant.
      expert: how often the expert is there, normalised alike, `[...]`.

    Returns:
      `[...]`; the sum is to be decreased.
    """
    return jax.lax.stop_gradient(learner - expert) * reward


def projected(mean: Array, reached: Array, expert: Array) -> Array:
    """How far to mix a new policy in: the point nearest to the expert between two feature expectations.

    Args:
      mean: μ̄ of the mixture so far, `[..., F]`.
      reached: μ of the new policy, `[..., F]`.
      expert: μ_E, `[..., F]`.

    Returns:
      The share of the new policy, in [0, 1], `[...]` (Abbeel and Ng, 2004, section 3.1).
    """
    way = reached - mean
    along = jnp.sum(way * (expert - mean), axis=-1)
    return jnp.clip(along / jnp.maximum(jnp.sum(jnp.square(way), axis=-1), 1e-12), 0.0, 1.0)


def discriminator_loss(logits: Array, expert: Array) -> Array:
    """The cross-entropy of telling the expert from the learner (Ho and Ermon, 2016, eq. 17).

    Args:
      logits: ln D - ln(1 - D), `[...]`.
      expert: whether the expert did it, `[...]`, boolean.

    Returns:
      `[...]`.
    """
    return jax.nn.softplus(jnp.where(expert, -logits, logits))


def bernoulli_entropy(logits: Array) -> Array:
    """The entropy, in nats, of a discriminator that says "expert" with probability σ(logits), `[...]`."""
    return jax.nn.softplus(logits) - logits * jax.nn.sigmoid(logits)


def adversarial_reward(logits: Array, form: str = "positive") -> Array:
    """What a learner is paid for being taken for the expert; a number, without a gradient.

    Args:
      logits: of the discriminator D, `[...]`.
      form: "positive" is -ln(1 - D), at least 0, which also pays for staying alive; "negative" is ln D, at most 0,
        which pays for ending; "logit" is their sum, ln D - ln(1 - D), which AIRL learns from.

    Returns:
      `[...]`.

    Raises:
      ValueError: another form.
    """
    logits = jax.lax.stop_gradient(logits)
    if form == "positive":
        return jax.nn.softplus(logits)
    if form == "negative":
        return -jax.nn.softplus(-logits)
    if form == "logit":
        return logits
    raise ValueError(f"adversarial_reward: form is {form!r}; allowed: positive, negative, logit")


def gradient_penalty(gradient: Array) -> Array:
    """(‖∇‖ - 1)², of the logits by the discriminator's input (Gulrajani et al., 2017, eq. 3; Kostrikov et al., 2019).

    Args:
      gradient: `[..., D]`.

    Returns:
      `[...]`.
    """
    norm = jnp.sqrt(jnp.sum(jnp.square(gradient), axis=-1) + 1e-12)
    return jnp.square(norm - 1.0)


def shaped_reward(reward_t: Array, potential_tm1: Array, potential_t: Array, discount_t: Array) -> Array:
    """f = g + γ h(x') - h(x), a reward and what shapes it without changing what is optimal (Fu et al., 2018, eq. 4).

    Args:
      reward_t: g of the transition, `[...]`.
      potential_tm1: h where it began, `[...]`.
      potential_t: h where it led, `[...]`.
      discount_t: γ times the discount of the row that it led to, so that nothing follows an end, `[...]`.

    Returns:
      `[...]`.
    """
    return reward_t + discount_t * potential_t - potential_tm1


def airl_logits(shaped: Array, log_prob: Array) -> Array:
    """The logits of D = exp f / (exp f + π(a|x)): f - ln π (Fu et al., 2018, section 4).

    Args:
      shaped: f, `[...]`.
      log_prob: ln π of the policy that learns at present, of the expert's actions too, `[...]`; a constant.

    Returns:
      `[...]`.
    """
    return shaped - jax.lax.stop_gradient(log_prob)
