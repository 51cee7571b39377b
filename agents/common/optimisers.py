"""Optimiser chains that are safe under data parallelism: gradients are averaged over devices before anything else.

A chain also says what it does. `step` hands it an empty dict as optax's extra argument `told`, and its links write into
that what they measured, since what they return is updates and state alone; the state stays what optax makes of it.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp
import optax

from agents.base import Array
from envs import parallel


def average_gradients() -> optax.GradientTransformation:
    """An optax link that averages gradients over devices; first in every optimiser chain. Tells `gradient_norm`."""

    def update(gradients: Any, state: Any, params: Any = None, *, told: Any = None, **extra: Any) -> tuple[Any, Any]:
        del params, extra
        gradients = parallel.mean(gradients)
        if told is not None:
            # The barrier leaves the step as XLA fuses it by itself: without one, SAC's came out in other bits.
            told["gradient_norm"] = optax.tree.norm(jax.lax.optimization_barrier(gradients))
        return gradients, state

    return optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)


def chain(
    optimiser: optax.GradientTransformation,
    max_norm: float | Array | None = None,
    learning_rate: optax.ScalarOrSchedule | None = None,
) -> optax.GradientTransformation:
    """`average over devices -> clip by global norm -> optimiser`, on all parameters as one vector.

    One vector is one collective and a few fused operations instead of a few per parameter, which is a quarter of the
    time of a small network's step on a CPU. What treats parameters one by one (masks, trust ratios) is not for here.

    Args:
      optimiser: any optax optimiser.
      max_norm: global gradient norm to clip at; None for no clipping.
      learning_rate: the optimiser's, so that it is told; None tells none.
    """
    clip = [] if max_norm is None else [optax.clip_by_global_norm(max_norm)]
    inner = optax.flatten(optax.chain(average_gradients(), *clip, optimiser))

    def update(gradients: Any, state: Any, params: Any = None, *, told: Any = None, **extra: Any) -> tuple[Any, Any]:
        if told is not None and learning_rate is not None:
            told["learning_rate"] = rate_at(learning_rate, state)
        return inner.update(gradients, state, params, told=told, **extra)

    return optax.GradientTransformationExtraArgs(inner.init, update)


def rate_at(learning_rate: optax.ScalarOrSchedule, state: Any) -> Array:
    """The step size of the next step: the constant, or the schedule's at the count of steps in an optax state."""
    if callable(learning_rate):
        learning_rate = learning_rate(optax.tree_utils.tree_get_all_with_path(state, "count")[-1][1])
    return jnp.asarray(learning_rate, jnp.float32)


_INSTEAD: ContextVar[Callable[..., Any] | None] = ContextVar("instead", default=None)


@contextlib.contextmanager
def instead(function: Callable[..., Any] | None) -> Iterator[None]:
    """Inside, `step` is another function of its arguments: one that keeps the gradients, or that descends others."""
    token = _INSTEAD.set(function)
    try:
        yield
    finally:
        _INSTEAD.reset(token)


def step(
    optimiser: optax.GradientTransformation, gradients: Any, state: Any, params: Any, part: str = ""
) -> tuple[Any, Any, dict[str, Array]]:
    """One step of an optimiser.

    Args:
      optimiser: a chain of this module; any other optimiser steps as well, but tells nothing.
      gradients: as `params`.
      state: the optimiser's.
      params: what is learned.
      part: what to put before the names of the metrics, such as `critic_`.

    Returns:
      Parameters, state and metrics: `gradient_norm` before it is clipped, and `learning_rate`.
    """
    by = _INSTEAD.get()
    if by is not None:
        with instead(None):
            return by(optimiser, gradients, state, params, part)
    told: dict[str, Array] = {}
    updates, state = optax.with_extra_args_support(optimiser).update(gradients, state, params, told=told)
    return optax.apply_updates(params, updates), state, {part + name: x for name, x in told.items()}


def adam(
    learning_rate: optax.ScalarOrSchedule,
    max_norm: float | Array | None = None,
    eps: float = 1e-8,
    b1: float | Array = 0.9,
) -> optax.GradientTransformation:
    """Adam (Kingma and Ba, 2015) in such a chain."""
    return chain(optax.adam(learning_rate, b1=b1, eps=eps), max_norm, learning_rate)


def rmsprop(
    learning_rate: optax.ScalarOrSchedule, max_norm: float | Array | None = None, decay: float = 0.99, eps: float = 1e-5
) -> optax.GradientTransformation:
    """RMSProp as in A3C (Mnih et al., 2016) and TensorFlow, in such a chain: g / √(ν + ε), with ν from 1.

    Until that 1 has decayed, to some ν in ln ν / ln `decay` steps, the steps taken are smaller than the rate says.
    """
    optimiser = optax.rmsprop(learning_rate, decay=decay, eps=eps, initial_scale=1.0, eps_in_sqrt=True)
    return chain(optimiser, max_norm, learning_rate)


def apart(**parts: optax.GradientTransformation) -> optax.GradientTransformation:
    """One optimiser for each part of the parameters, a dict with these keys: `apart(predictor=..., policy=...)`.

    What each tells has the name of its part before it, as in `policy_gradient_norm`.
    """

    def init(params: Any) -> dict[str, Any]:
        return {name: part.init(params[name]) for name, part in parts.items()}

    def update(gradients: Any, state: Any, params: Any = None, *, told: Any = None, **extra: Any) -> tuple[Any, Any]:
        del extra
        changes, after = {}, {}
        for name, part in parts.items():
            own: dict[str, Array] = {}
            apply = optax.with_extra_args_support(part).update
            changes[name], after[name] = apply(gradients[name], state[name], params[name], told=own)
            if told is not None:
                told.update({f"{name}_{word}": x for word, x in own.items()})
        return changes, after

    return optax.GradientTransformationExtraArgs(init, update)
