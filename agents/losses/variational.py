"""Terms of a variational lower bound, per step: what MERLIN and latent world models descend.

The negative bound of one step is a sum of named terms, each a number per step, times their scales:

    -VLB_t = Σ_m α_m (-ln p(o_t^m|z_t)) + α_R ½(|R_t - V(z_t)|² + |R_t - (V̄(z_t) + A(z_t, a_t))|²) + α_KL KL(q ‖ p)

(Wayne et al., "Unsupervised predictive memory in a goal-directed agent", arXiv:1803.10760, with V̄ a constant). So an
agent keeps a dict of terms and a dict of scales and hands both to `weighted`. Leading axes are free; an *event* is
what one step holds of a modality, the last `event_ndim` axes, over which terms are summed.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Array
from agents.losses.values import squared


def weighted(terms: Mapping[str, Array], scales: Mapping[str, float | Array]) -> Array:
    """Σ_m scale_m · term_m, `[...]`.

    Args:
      terms: by name, each `[...]`.
      scales: by the same names; 0 switches a term off.

    Raises:
      ValueError: a term has no scale, or a scale no term.
    """
    if terms.keys() != scales.keys():
        raise ValueError(f"scales: {sorted(scales)} must name the terms {sorted(terms)}")
    return sum((scales[name] * term for name, term in terms.items()), start=jnp.zeros(()))


def gaussian_kl(q_mean: Array, q_log_var: Array, p_mean: Array, p_log_var: Array) -> Array:
    """KL(q ‖ p) of diagonal normals: ½ Σ [ln σ²_p - ln σ²_q + (σ²_q + (μ_q - μ_p)²) / σ²_p - 1], `[..., D] -> [...]`.

    Args:
      q_mean: μ_q, of the posterior.
      q_log_var: ln σ²_q.
      p_mean: μ_p, of the prior.
      p_log_var: ln σ²_p.
    """
    return residual_gaussian_kl(q_mean - p_mean, q_log_var - p_log_var, p_log_var)


def residual_gaussian_kl(mean_shift: Array, log_var_shift: Array, p_log_var: Array) -> Array:
    """KL(q ‖ p) where the posterior adds to the prior: ½ Σ [f_μ² / σ²_p + e^f_σ - f_σ - 1], `[..., D] -> [...]`.

    Exactly 0 where it adds nothing.

    Args:
      mean_shift: f_μ = μ_q - μ_p.
      log_var_shift: f_σ = ln σ²_q - ln σ²_p.
      p_log_var: ln σ²_p.
    """
    spread = jnp.expm1(log_var_shift) - log_var_shift
    return 0.5 * jnp.sum(jnp.square(mean_shift) * jnp.exp(-p_log_var) + spread, -1)


def categorical_kl(q_logits: Array, p_logits: Array) -> Array:
    """KL(q ‖ p) of G independent categorical latents of K classes: Σ_g Σ_k q (ln q - ln p), `[..., G, K] -> [...]`."""
    q, p = jax.nn.log_softmax(q_logits), jax.nn.log_softmax(p_logits)
    return jnp.sum(jnp.exp(q) * (q - p), (-2, -1))


def balanced_kl(
    kl: Callable[..., Array],
    posterior: Any,
    prior: Any,
    *,
    dynamics: float | Array = 0.5,
    representation: float | Array = 0.1,
    free: float | Array = 1.0,
    mean: Callable[[Array], Array] | None = None,
) -> Array:
    """β_dyn max(f, KL(q̄ ‖ p)) + β_rep max(f, KL(q ‖ p̄)), where a bar stops the gradient, `[...]`.

    The prior is drawn to the posterior faster than the other way round, and neither once they are within `free` nats
    of each other. The defaults are those of DreamerV3 (Hafner et al., arXiv:2301.04104, equation 3); 0.8, 0.2 and 0
    are the balancing of DreamerV2 (arXiv:2010.02193, algorithm 2).

    Args:
      kl: `(*posterior, *prior) -> [...]`: `categorical_kl` or `gaussian_kl`.
      posterior: a tuple of the posterior's arrays.
      prior: a tuple of the prior's.
      dynamics: β_dyn.
      representation: β_rep.
      free: f, nats per step.
      mean: over all steps, which is compared with f in place of each step, as in DreamerV1 and V2: where it is below f
        every entry is f, and elsewhere they are the divergences; None compares step by step.
    """

    def floored(each: Array) -> Array:
        if mean is None:
            return jnp.maximum(free, each)
        return jnp.where(jax.lax.stop_gradient(mean(each)) > free, each, free)

    fixed_posterior, fixed_prior = jax.lax.stop_gradient((posterior, prior))
    towards_posterior = floored(kl(*fixed_posterior, *prior))
    towards_prior = floored(kl(*posterior, *fixed_prior))
    return dynamics * towards_posterior + representation * towards_prior


def bernoulli_nll(logits: Array, target: Array, event_ndim: int = 1) -> Array:
    """-Σ [x ln σ(l) + (1 - x) ln σ(-l)], for targets x in [0, 1] such as pixels: `[..., *event] -> [...]`."""
    return _over_event(jax.nn.softplus(logits) - target * logits, event_ndim)


def unit_gaussian_nll(mean: Array, target: Array, event_ndim: int = 1) -> Array:
    """½ Σ (x - μ)²: a normal of unit variance without its constant, `[..., *event] -> [...]`."""
    return _over_event(squared(mean - target), event_ndim)


def categorical_nll(logits: Array, target: Array) -> Array:
    """-Σ_a x_a ln softmax(l)_a, `[..., A] -> [...]`.

    Args:
      logits: `[..., A]`.
      target: one-hot `[..., A]`; all zeros, as of an action before the first, gives 0.
    """
    return -jnp.sum(target * jax.nn.log_softmax(logits), -1)


def text_nll(logits: Array, tokens: Array, padding: int = 0) -> Array:
    """-Σ_l ln softmax(logits_l)[token_l] over the tokens that are not padding, `[..., L, V] -> [...]`.

    Args:
      logits: `[..., L, V]`.
      tokens: integers `[..., L]` below V.
      padding: the token that fills up a text.
    """
    each = categorical_nll(logits, jax.nn.one_hot(tokens, logits.shape[-1]))
    return jnp.sum(jnp.where(tokens == padding, 0.0, each), -1)


def return_nll(value: Array, advantage: Array, target: Array) -> Array:
    """½ (|G - V|² + |G - (V̄ + A)|²) with V̄ and G constants, `[...]` (arXiv:1803.10760, algorithm 1).

    Args:
      value: V(z, ln π), which does not know the action.
      advantage: A(z, a), what the action adds.
      target: the return G.
    """
    target = jax.lax.stop_gradient(target)
    return squared(target - value) + squared(target - jax.lax.stop_gradient(value) - advantage)


def _over_event(x: Array, event_ndim: int) -> Array:
    return jnp.sum(x, tuple(range(-event_ndim, 0)))
