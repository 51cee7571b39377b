"""Optimiser chains that are safe under data parallelism: gradients are averaged over devices before anything else."""

from typing import Any

import optax

from agents.base import Array
from envs import parallel


def average_gradients() -> optax.GradientTransformation:
    """An optax link that averages gradients over devices; first in every optimiser chain."""
    return optax.stateless(lambda updates, params: parallel.mean(updates))


def chain(
    optimiser: optax.GradientTransformation, max_norm: float | Array | None = None
) -> optax.GradientTransformation:
    """`average over devices -> clip by global norm -> optimiser`, on all parameters as one vector.

    One vector is one collective and a few fused operations instead of a few per parameter, which is a quarter of the
    time of a small network's step on a CPU. What treats parameters one by one (masks, trust ratios) is not for here.

    Args:
      optimiser: any optax optimiser.
      max_norm: global gradient norm to clip at; None for no clipping.
    """
    clip = [] if max_norm is None else [optax.clip_by_global_norm(max_norm)]
    return optax.flatten(optax.chain(average_gradients(), *clip, optimiser))


def adam(
    learning_rate: optax.ScalarOrSchedule, max_norm: float | Array | None = None, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba, 2015) in such a chain."""
    return chain(optax.adam(learning_rate, eps=eps), max_norm)


def rmsprop(
    learning_rate: optax.ScalarOrSchedule, max_norm: float | Array | None = None, decay: float = 0.99, eps: float = 1e-5
) -> optax.GradientTransformation:
    """RMSProp as in A3C (Mnih et al., 2016) and TensorFlow, in such a chain: g / √(ν + ε), with ν from 1.

    Until that 1 has decayed, to some ν in ln ν / ln `decay` steps, the steps taken are smaller than the rate says.
    """
    return chain(optax.rmsprop(learning_rate, decay=decay, eps=eps, initial_scale=1.0, eps_in_sqrt=True), max_norm)


def apart(**parts: optax.GradientTransformation) -> optax.GradientTransformation:
    """One optimiser for each part of the parameters, a dict with these keys: `apart(predictor=..., policy=...)`."""

    def init(params: Any) -> dict[str, Any]:
        return {name: part.init(params[name]) for name, part in parts.items()}

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        results = {name: part.update(updates[name], state[name], params[name]) for name, part in parts.items()}
        return {name: new for name, (new, _) in results.items()}, {name: after for name, (_, after) in results.items()}

    return optax.GradientTransformation(init, update)
