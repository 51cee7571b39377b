"""Losses and bonuses of intrinsic motivation, per step. Bonuses are numbers: no gradient passes through them."""

import jax
import jax.numpy as jnp

from agents.base import Array
from agents.losses.models import gaussian_nll


def prediction_error(prediction: Array, target: Array) -> Array:
    """The squared distance between predicted and true features, mean over features.

    With the features of a fixed random network it is RND's loss and, as a number, its bonus (Burda et al., 2019,
    section 2.2); with features of the next state it is the forward loss of a curiosity module (Pathak et al., 2017,
    eq. 5, which sums and halves).

    Args:
      prediction: `[..., F]`.
      target: `[..., F]`; whether its gradient is stopped is the caller's choice.

    Returns:
      `[...]`.
    """
    return jnp.mean(jnp.square(prediction - target), axis=-1)


def inverse_loss(logits: Array, a_tm1: Array) -> Array:
    """Cross-entropy of the action that led from one state to the next (Pathak et al., 2017, eq. 2-3).

    Args:
      logits: of the actions, predicted from both states, `[..., A]`.
      a_tm1: the action taken, integers `[...]`.

    Returns:
      `[...]`.
    """
    return -jnp.take_along_axis(jax.nn.log_softmax(logits), a_tm1[..., None], axis=-1)[..., 0]


def count_bonus(visits: Array) -> Array:
    """1 / √N, the bonus of MBIE-EB (Strehl and Littman, 2008, eq. 6), of states visited N times, this visit included.

    Args:
      visits: `[...]`, at least 1.

    Returns:
      `[...]`.
    """
    return jax.lax.rsqrt(jnp.maximum(visits.astype(jnp.float32), 1.0))


def pseudo_count_bonus(known: Array, rows: Array, levels: int) -> Array:
    """1 / √(N̂ + 0.01) with the pseudo-count of a density model of independent entries (Bellemare et al., 2016, eq. 2).

    ρ_i = (n_i + ½) / (n + K/2) before a visit, and with both n_i and n one greater after it; N̂ = 1 / (Π ρ'_i/ρ_i - 1).

    Args:
      known: n_i, visits whose entry i was as this one's, `[..., D]`.
      rows: n, visits in all.
      levels: K, values that an entry can have.

    Returns:
      `[...]`.
    """
    known, rows = known.astype(jnp.float32), jnp.asarray(rows, jnp.float32)
    gain = jnp.log(known + 1.5) - jnp.log(known + 0.5) - jnp.log((rows + 1 + levels / 2) / (rows + levels / 2))
    ratio = jnp.expm1(jnp.maximum(jnp.sum(gain, -1), 1e-6))
    return jax.lax.rsqrt(1 / ratio + 0.01)


def autoencoder_loss(mean: Array, log_variance: Array, decoded: Array, x: Array) -> Array:
    """The negative lower bound of a variational autoencoder with unit noise: ½ Σ (x - x̂)² + KL(q ‖ N(0, 1)).

    Args:
      mean: of q, `[..., F]`.
      log_variance: ln σ² of q, `[..., F]`.
      decoded: x̂, `[..., D]`.
      x: `[..., D]`; no gradient flows into it.

    Returns:
      `[...]`.
    """
    error = 0.5 * jnp.sum(jnp.square(jax.lax.stop_gradient(x) - decoded), -1)
    return error + 0.5 * jnp.sum(jnp.square(mean) + jnp.exp(log_variance) - 1 - log_variance, -1)


def disagreement(prediction: Array) -> Array:
    """The variance over the members of an ensemble, mean over features (Pathak, Gandhi and Gupta, 2019, eq. 1).

    Args:
      prediction: `[members, ..., F]`.

    Returns:
      `[...]`.
    """
    return jnp.mean(jnp.var(prediction, axis=0), axis=-1)


def surprisal(mean: Array, log_variance: Array, x: Array) -> Array:
    """-ln N(x; μ, σ²) of independent entries (Achiam and Sastry, 2017, eq. 5).

    Args:
      mean: μ, `[..., D]`.
      log_variance: ln σ², `[..., D]`.
      x: `[..., D]`; no gradient flows into it.

    Returns:
      `[...]`.
    """
    return gaussian_nll(mean, log_variance, x) + 0.5 * x.shape[-1] * jnp.log(2 * jnp.pi)


def episodic_bonus(
    distance: Array, near: Array, kernel: float = 1e-3, closest: float = 8e-3, known: float = 8.0
) -> Array:
    """1 / (√Σ_i ε / (d_i/d̄ - ξ + ε) + 0.001), NGU's bonus in an episode (Badia et al., 2020, algorithm 1).

    Args:
      distance: squared ones to the nearest states of the episode, `[..., k]`; infinite where there are fewer.
      near: d̄, a running mean of such, `[...]`.
      kernel: ε.
      closest: ξ; what is nearer is at distance 0.
      known: sums of which the root is above that pay nothing.

    Returns:
      `[...]`.
    """
    scaled = jnp.maximum(distance / jnp.maximum(near, 1e-8)[..., None] - closest, 0.0)
    similarity = jnp.sqrt(jnp.sum(jnp.where(jnp.isfinite(distance), kernel / (scaled + kernel), 0.0), -1)) + 1e-3
    return jnp.where(similarity > known, 0.0, 1 / similarity)


def bins(loss: Array, thresholds: Array) -> Array:
    """The class of each loss: how many thresholds it reaches (Haber et al., 2018, section 3).

    Args:
      loss: `[...]`.
      thresholds: in rising order, `[K-1]`.

    Returns:
      int32 `[...]`, 0 to K-1.
    """
    return jnp.sum(loss[..., None] >= thresholds.reshape((1,) * loss.ndim + (-1,)), -1).astype(jnp.int32)


def expected_class(logits: Array) -> Array:
    """Σ_t E[c_t], the score of an action by the classes of loss that a self-model expects of the steps to come.

    Args:
      logits: of the classes of each step, `[..., T, K]`.

    Returns:
      `[...]`.
    """
    classes = jnp.arange(logits.shape[-1], dtype=jnp.float32).reshape((1,) * (logits.ndim - 1) + (-1,))
    return jnp.sum(jax.nn.softmax(logits) * classes, (-2, -1))
