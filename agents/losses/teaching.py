"""What a policy learns from the policies of teachers, per step."""

from typing import Any

import jax
import jax.numpy as jnp

from agents.base import Array


def kickstarting(teachers: Any, policy: Any, weight_t: Array) -> Array:
    """Σᵢ λᵢ H(πᵢ(·|xₜ) ‖ π(·|xₜ)), the cross-entropy of a policy to its teachers (Schmitt et al., arXiv:1803.03835).

    Its gradient is that of Σᵢ λᵢ KL(πᵢ ‖ π), which is 0 where the policy is its only teacher's.

    Args:
      teachers: distributions π₁, ..., π_K, of the policy's kind with leaves `[..., K, ·]`; no gradient flows into them.
      policy: π, a distribution of leaves `[..., ·]`, with `kl` and `entropy`.
      weight_t: λ₁, ..., λ_K, `[..., K]`.

    Returns:
      Losses `[...]`.
    """
    axis = weight_t.ndim - 1

    def cross_entropy(teacher: Any, policy: Any) -> Array:
        return teacher.entropy() + teacher.kl(policy)

    each = jax.vmap(cross_entropy, (axis, None), axis)(jax.lax.stop_gradient(teachers), policy)
    return jnp.sum(weight_t * each, axis)
