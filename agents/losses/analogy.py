"""Analogies among embeddings of subtasks, and whether one is done (Oh et al., ICML 2017, section 3).

With Δ(A, B) = φ(A) - φ(B), and A : B :: C : D where B differs from A as D does from C, all arrays are `[..., E]`.
"""

import jax
import jax.numpy as jnp

from envs.base import Array


def similarity(a: Array, b: Array, c: Array, d: Array) -> Array:
    """‖Δ(A, B) - Δ(C, D)‖² of an analogy, `[...]`; 0 where embeddings are sums of their parts'."""
    return jnp.sum(jnp.square((a - b) - (c - d)), axis=-1)


def dissimilarity(a: Array, b: Array, c: Array, d: Array, margin: float | Array = 1.0) -> Array:
    """(τ - ‖Δ(A, B) - Δ(C, D)‖)₊² of what is no analogy, `[...]`.

    Args:
      a: φ(A).
      b: φ(B).
      c: φ(C).
      d: φ(D).
      margin: τ.
    """
    return jnp.square(jax.nn.relu(margin - _norm((a - b) - (c - d))))


def difference(a: Array, b: Array, margin: float | Array = 1.0) -> Array:
    """(τ - ‖Δ(A, B)‖)₊² of two subtasks, `[...]`, which keeps embeddings from falling together.

    Args:
      a: φ(A).
      b: φ(B).
      margin: τ.
    """
    return jnp.square(jax.nn.relu(margin - _norm(a - b)))


def ending(logit: Array, done: Array) -> Array:
    """-ln p(done) of a Bernoulli variable: whether the subtask is done in this state, `[...]`.

    Args:
      logit: of that it is done.
      done: booleans, of states in which it is done and of others.
    """
    return jax.nn.softplus(jnp.where(done, -logit, logit))


def _norm(x: Array) -> Array:
    """‖x‖ over the last axis, with a gradient at 0."""
    return jnp.sqrt(jnp.sum(jnp.square(x), axis=-1) + 1e-12)
