"""LaProp with adaptive clipping of gradients, the optimiser of DreamerV3.

Ziyin et al., arXiv:2002.04839: the gradient is divided by the root of its second moment first, and the momentum is of
that, where Adam has it the other way round. Brock et al., arXiv:2102.06171: before, the gradient of each tensor is cut
to a share of that tensor's norm.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents.base import Array
from agents.common import optimisers


def adaptive_clip(share: float | Array, least: float = 1e-3) -> optax.GradientTransformation:
    """Cuts the gradient of each tensor to `share` of its norm, or of `least` where that is smaller."""

    def update(gradients: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def cut(gradient: Array, param: Array) -> Array:
            norm, limit = jnp.linalg.norm(gradient.reshape(-1)), jnp.linalg.norm(param.reshape(-1))
            return gradient / jnp.maximum(1.0, norm / (share * jnp.maximum(least, limit)))

        return jax.tree.map(cut, gradients, params), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def laprop(
    learning_rate: optax.ScalarOrSchedule,
    *,
    clip: float | Array = 0.3,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-20,
) -> optax.GradientTransformation:
    """`average over devices -> adaptive clip -> root of the second moment -> momentum -> step size`.

    Args:
      learning_rate: a number or a schedule of updates.
      clip: largest norm of a tensor's gradient, as a share of the tensor's.
      b1: decay of the momentum.
      b2: decay of the second moment.
      eps: added to its root.
    """
    scaled = optax.chain(
        optax.scale_by_rms(b2, eps, eps_in_sqrt=False, bias_correction=True),
        optax.ema(b1, debias=True),
        optax.scale_by_learning_rate(learning_rate),
    )
    inner = optax.chain(optimisers.average_gradients(), adaptive_clip(clip), optax.flatten(scaled))

    def update(gradients: Any, state: Any, params: Any = None, *, told: Any = None, **extra: Any) -> tuple[Any, Any]:
        if told is not None:
            told["learning_rate"] = optimisers.rate_at(learning_rate, state)
        return inner.update(gradients, state, params, told=told, **extra)

    return optax.GradientTransformationExtraArgs(inner.init, update)
