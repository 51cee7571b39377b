"""Losses of models of the world, and of policies that are learned from others: one number per step or frame."""

import math

import jax
import jax.numpy as jnp

from agents.base import Array


def symlog(x: Array) -> Array:
    """sign(x) ln(1 + |x|), elementwise (Hafner et al., "Mastering diverse domains through world models", 2023)."""
    return jnp.sign(x) * jnp.log1p(jnp.abs(x))


def symexp(x: Array) -> Array:
    """sign(x) (exp|x| - 1), elementwise: the inverse of `symlog`."""
    return jnp.sign(x) * jnp.expm1(jnp.abs(x))


def two_hot(x: Array, atoms: Array) -> Array:
    """The distribution on `atoms` with mean x that has weight on its two neighbours alone.

    Args:
      x: `[...]`, cut at the outermost atoms.
      atoms: `[K]`, in rising order.

    Returns:
      Probabilities `[..., K]`.
    """
    x = jnp.clip(x, atoms[0], atoms[-1])[..., None]
    atoms = atoms.reshape((1,) * (x.ndim - 1) + (-1,))
    above = jnp.clip(jnp.sum(atoms <= x, -1, keepdims=True), 1, atoms.shape[-1] - 1)
    place = jax.lax.broadcasted_iota(jnp.int32, (*x.shape[:-1], atoms.shape[-1]), x.ndim - 1)
    low = jnp.sum(jnp.where(place == above - 1, atoms, 0.0), -1, keepdims=True)
    high = jnp.sum(jnp.where(place == above, atoms, 0.0), -1, keepdims=True)
    share = (x - low) / (high - low)
    return jnp.where(place == above, share, 0.0) + jnp.where(place == above - 1, 1 - share, 0.0)


def two_hot_cross_entropy(logits: Array, x: Array, atoms: Array) -> Array:
    """-Σ_k p_k ln softmax(logits)_k with p the `two_hot` distribution of x.

    Args:
      logits: `[..., K]`.
      x: `[...]`; no gradient flows into it.
      atoms: `[K]`.

    Returns:
      Losses `[...]`.
    """
    target = jax.lax.stop_gradient(two_hot(x, atoms))
    return -jnp.sum(target * jax.nn.log_softmax(logits), -1)


def symmetric_mean(logits: Array, atoms: Array) -> Array:
    """Σ_k softmax(logits)_k b_k, with each atom added to its mirror image before all are summed.

    Of atoms b_k = -b_{K-1-k} that reach to 10⁸ the mean is then exactly 0 where the logits are all alike, where a sum
    in another order is not (Hafner et al., "Mastering diverse domains through world models", 2023).

    Args:
      logits: `[..., K]`.
      atoms: `[K]`, of which the i-th and the i-th last are each other's negatives.

    Returns:
      Means `[...]`.
    """
    weighted = jax.nn.softmax(logits) * atoms.reshape((1,) * (logits.ndim - 1) + (-1,))
    return 0.5 * jnp.sum(weighted + jnp.flip(weighted, -1), -1)


def pixel_cross_entropy(logits: Array, kind: Array) -> Array:
    """-Σ_hw ln softmax(logits)[kind], the categorical loss of a frame (Racanière et al., 2017, appendix B).

    Args:
      logits: `[..., H, W, K]`.
      kind: of each pixel, integers `[..., H, W]`.

    Returns:
      Losses `[...]`, summed over the frame.
    """
    kinds = jax.lax.broadcasted_iota(kind.dtype, logits.shape, logits.ndim - 1)
    return -jnp.sum(jnp.where(kinds == kind[..., None], jax.nn.log_softmax(logits), 0.0), (-3, -2, -1))


def gaussian_nll(mean: Array, log_variance: Array, x: Array) -> Array:
    """½ Σ_d [(x - μ)² e^{-ln σ²} + ln σ²], a normal's negative log-likelihood without its constant.

    Args:
      mean: μ, `[..., D]`.
      log_variance: ln σ², `[..., D]`.
      x: `[..., D]`; no gradient flows into it.

    Returns:
      Losses `[...]`.
    """
    error = jax.lax.stop_gradient(x) - mean
    return 0.5 * jnp.sum(jnp.square(error) * jnp.exp(-log_variance) + log_variance, -1)


def mixture_nll(logits: Array, mean: Array, log_std: Array, x: Array) -> Array:
    """-ln Σ_k π_k N(x; μ_k, σ_k) of every number by itself (Bishop, "Mixture density networks", 1994).

    Args:
      logits: of π, `[..., D, K]`.
      mean: μ, `[..., D, K]`.
      log_std: ln σ, `[..., D, K]`.
      x: `[..., D]`; no gradient flows into it.

    Returns:
      Losses `[..., D]`.
    """
    z = (jax.lax.stop_gradient(x)[..., None] - mean) * jnp.exp(-log_std)
    each = -0.5 * jnp.square(z) - log_std - 0.5 * math.log(2 * math.pi)
    return -jax.nn.logsumexp(jax.nn.log_softmax(logits) + each, -1)


def distillation(teacher_logits: Array, logits: Array) -> Array:
    """-Σ_a sg[π(a)] ln π̂(a) with π of the teacher: falls as π̂ comes nearer (Racanière et al., 2017, section 3.2).

    Args:
      teacher_logits: of π, `[..., A]`; no gradient flows into them.
      logits: of π̂, `[..., A]`.

    Returns:
      Losses `[...]`.
    """
    teacher = jax.lax.stop_gradient(jax.nn.softmax(teacher_logits))
    return -jnp.sum(teacher * jax.nn.log_softmax(logits), -1)


def code_loss(latent: Array, code: Array, commitment: float | Array = 1.0) -> Array:
    """‖sg z - e‖² + β ‖z - sg e‖², means over numbers (van den Oord et al., 2017, equation 3): codes follow latents.

    Args:
      latent: z, `[..., L, D]`.
      code: e, the nearest of the book, `[..., L, D]`.
      commitment: β.

    Returns:
      Losses `[...]`, means over L and D.
    """
    moved = jnp.square(jax.lax.stop_gradient(latent) - code)
    held = jnp.square(latent - jax.lax.stop_gradient(code))
    return jnp.mean(moved + commitment * held, (-2, -1))
