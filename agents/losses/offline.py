"""Losses of learning from a fixed set of data, per step. Leading axes are free, as in `values`."""

from typing import Literal

import jax
import jax.numpy as jnp

from agents.base import Array

Kernel = Literal["laplacian", "gaussian"]


def expectile(error: Array, level: Array | float) -> Array:
    """|τ - 1{u < 0}| u²: its minimum over the prediction is the τ-expectile of the target (IQL: arXiv:2110.06169, (4)).

    Args:
      error: u, target minus prediction, `[...]`.
      level: τ in (0, 1); at ½ it is half the squared error, towards 1 the largest target counts.

    Returns:
      `[...]`.
    """
    return jnp.abs(level - (jax.lax.stop_gradient(error) < 0)) * jnp.square(error)


def advantage_weight(advantage: Array, inverse_temperature: Array | float, limit: Array | float = 100.0) -> Array:
    """min(exp(β A), limit): how much the policy imitates an action (IQL, equation 7; AWAC: arXiv:2006.09359, (13)).

    Args:
      advantage: A, `[...]`.
      inverse_temperature: β; AWAC's 1 / λ.
      limit: the largest weight.

    Returns:
      `[...]`; no gradient flows through it.
    """
    return jax.lax.stop_gradient(jnp.minimum(jnp.exp(inverse_temperature * advantage), limit))


def conservative_gap(q_tm1: Array, a_tm1: Array) -> Array:
    """ln Σ_a exp q(a) - q(aₜ₋₁): CQL's penalty for discrete actions, exactly (arXiv:2006.04779, equation 4).

    Args:
      q_tm1: action values, `[..., A]`.
      a_tm1: actions of the data, integers `[...]`.

    Returns:
      `[...]`, not negative.
    """
    actions = jax.lax.broadcasted_iota(a_tm1.dtype, q_tm1.shape, q_tm1.ndim - 1)
    return -jnp.sum(jnp.where(actions == a_tm1[..., None], jax.nn.log_softmax(q_tm1), 0.0), axis=-1)


def sampled_conservative_gap(q_sampled: Array, log_density: Array, q_tm1: Array, least: Array | None = None) -> Array:
    """ln Σ_k exp(q(a_k) - ln μ(a_k)) - q(aₜ₋₁): CQL's penalty for continuous actions, by importance (appendix F).

    The sum is not divided by the number of samples, which is a constant. With `least` it is of max(q(a_k), V), so that
    values which are below V already are not lowered further (Cal-QL: arXiv:2303.05479, equation 5.1).

    Args:
      q_sampled: values of actions a_k that were drawn, `[..., K]`.
      log_density: ln μ of each under what it was drawn from, `[..., K]`; no gradient flows into it.
      q_tm1: values of the data's actions, `[...]`.
      least: V, what each of q(a_k) counts for at least, to be broadcast to `[..., K]`; no gradient flows into it.

    Returns:
      `[...]`.
    """
    q = q_sampled if least is None else jnp.maximum(q_sampled, jax.lax.stop_gradient(least))
    return jax.nn.logsumexp(q - jax.lax.stop_gradient(log_density), axis=-1) - q_tm1


def multiplier_loss(log_multiplier: Array, excess: Array) -> Array:
    """-exp(ln α) (g - τ): raises a multiplier while a constraint g ≤ τ is broken, lowers it while it is kept.

    CQL's Lagrange variant (arXiv:2006.04779, equation 30) and BEAR's (arXiv:1906.00949, section 5.2).

    Args:
      log_multiplier: ln α, which the gradient flows into alone.
      excess: g - τ, `[...]`.

    Returns:
      `[...]`.
    """
    return -jnp.exp(log_multiplier) * jax.lax.stop_gradient(excess)


def value_scale(q: Array, mean_size: Array) -> Array:
    """q / mean |q|: values in units of their own size, so that another term weighs the same on any task (TD3+BC, (5)).

    Args:
      q: `[...]`.
      mean_size: mean |q| of the batch, a scalar; no gradient flows into it.

    Returns:
      `[...]`.
    """
    return q / jnp.maximum(jax.lax.stop_gradient(mean_size), 1e-8)


def likely(log_prob: Array, threshold: Array | float) -> Array:
    """Which actions the behaviour takes more than a share of as often as its favourite (BCQ: arXiv:1910.01708, (4)).

    Args:
      log_prob: ln of the behaviour's probabilities, or its logits, `[..., A]`.
      threshold: that share; 0 allows all, and near 1 only the favourite is left.

    Returns:
      Booleans `[..., A]`, at least one of which is True.
    """
    share = jnp.exp(log_prob - jnp.max(log_prob, axis=-1, keepdims=True))
    return (share > threshold) | (share == 1.0)


def softened_minimum(q: Array, share: Array | float = 0.75) -> Array:
    """λ min_e q_e + (1 - λ) max_e q_e: the value that BCQ and BEAR bootstrap from (arXiv:1812.02900, equation 13).

    Args:
      q: values of the critics, `[E, ...]`.
      share: λ.

    Returns:
      `[...]`.
    """
    return share * jnp.min(q, axis=0) + (1 - share) * jnp.max(q, axis=0)


def gradient_diversity(gradients: Array) -> Array:
    """1 / (E - 1) Σ_{i≠j} ⟨ĝ_i, ĝ_j⟩ of unit gradients ĝ: how alike critics' slopes are (EDAC: arXiv:2110.01548, (5)).

    Args:
      gradients: of each critic by the action, `[E, ..., D]`, E at least 2.

    Returns:
      `[...]`; minimising it spreads the critics outside of the data.
    """
    # A rounding error in the norm would otherwise be divided by itself where a gradient is 0.
    unit = gradients / jnp.sqrt(jnp.sum(jnp.square(gradients), axis=-1, keepdims=True) + 1e-20)
    everything = jnp.sum(jnp.square(jnp.sum(unit, axis=0)), axis=-1)
    return (everything - jnp.sum(jnp.square(unit), axis=(0, -1))) / (gradients.shape[0] - 1)


def mean_discrepancy(x: Array, y: Array, width: Array | float, kernel: Kernel = "laplacian") -> Array:
    """MMD(x, y): how far apart two samples of actions are, by kernel means (BEAR: arXiv:1906.00949, section 5.1).

    The kernel is exp(-d / 2σ) with d = Σ|x - y| ("laplacian") or Σ(x - y)² ("gaussian"), as in the authors' code.

    Args:
      x: samples, `[..., N, D]`.
      y: samples, `[..., M, D]`.
      width: σ.
      kernel: as above.

    Returns:
      √(MMD² + 1e-6), `[...]`.
    """

    def mean(a: Array, b: Array) -> Array:
        apart = a[..., :, None, :] - b[..., None, :, :]
        distance = jnp.abs(apart) if kernel == "laplacian" else jnp.square(apart)
        return jnp.mean(jnp.exp(-jnp.sum(distance, axis=-1) / (2 * width)), axis=(-2, -1))

    squared = mean(x, x) + mean(y, y) - 2 * mean(x, y)
    return jnp.sqrt(jnp.maximum(squared, 0.0) + 1e-6)


def uncertainty(std: Array) -> Array:
    """max_e ‖σ_e‖: the largest spread that a member of an ensemble of models predicts (MOPO: arXiv:2005.13239, (4.2)).

    Args:
      std: standard deviations of what each member predicts, `[E, ..., D]`.

    Returns:
      `[...]`, which a reward is lowered by, times λ.
    """
    return jnp.max(jnp.sqrt(jnp.sum(jnp.square(std), axis=-1)), axis=0)


def evidence_lower_bound(x: Array, reconstruction: Array, mean: Array, log_std: Array) -> Array:
    """‖x - x̂‖² / D + ½ KL(N(μ, σ²) ‖ N(0, 1)) / Z: the loss of BCQ's autoencoder, means over dimensions as in its code.

    Args:
      x: `[..., D]`.
      reconstruction: x̂, `[..., D]`.
      mean: μ of the latent, `[..., Z]`.
      log_std: ln σ of it.

    Returns:
      `[...]`.
    """
    kl = -0.5 * (1 + 2 * log_std - jnp.square(mean) - jnp.exp(2 * log_std))
    return jnp.mean(jnp.square(x - reconstruction), axis=-1) + 0.5 * jnp.mean(kl, axis=-1)
