"""An external memory of rows that a controller writes to and reads by content, as a pure pytree.

After Wayne et al., "Unsupervised predictive memory in a goal-directed agent", arXiv:1803.10760. A memory has N rows,
each of two halves of Z numbers. At step t

    read     w_i = softmax_j(β_i cos(k_i, M_j)),    m_i = Σ_j w_ij M_j               before the write of the same step
    write    v_t one-hot at row t while t < N, then at the row that was read least; what it held is cleared
             v⁺_t = γ v⁺_{t-1} + (1 - γ) v_{t-1},    M ← M + v_t [z_t, 0]ᵀ + v⁺_t [0, z_t]ᵀ

so that the right half of the row written at s comes to hold Σ_{t>s} (1 - γ) γ^(t-s-1) z_t, a discounted summary of what
came after. Usage sums the weights with which a row was read; a row just written starts at the mean, as at 0 it would be
the next to go. (The paper's own rule for it is not known.)

A window of T steps changes few rows. Where a matrix for each step would be much to keep for the gradient, a window is
written as T inserts beside the rows that it began with, and the matrix is formed where it is read; else the matrix is
changed step by step, which is faster.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Array, select


class Memory(NamedTuple):
    """B memories of N rows between two windows."""

    rows: Array  # [B, N, 2 Z]
    usage: Array  # [B, N], how much each was read
    written: Array  # [B, N], one-hot v of the last write, zeros before the first
    trace: Array  # [B, N], v⁺
    writes: Array  # int32 [B], so far


LARGEST = 2**23
"""Numbers in the matrices of a window, one for each step, from which on they are formed of inserts."""


class Inserts(NamedTuple):
    """What T steps wrote."""

    kept: Array  # [B, N], 1 where a row still is what it was when the window began
    values: Array  # [B, T, Z], what was written
    left: Array  # [B, T, N], weights of the values in the left halves
    right: Array  # [B, T, N], and in the right ones
    number: Array  # int32 [B], writes of this window


class Window(NamedTuple):
    """The same within a window of T steps. Carry this through a `scan`; the rows it began with are kept outside."""

    now: Any  # the rows [B, N, 2 Z], or `Inserts`
    usage: Array
    written: Array
    trace: Array
    writes: Array


def empty(lanes: int, rows: int, size: int) -> Memory:
    """Zeros: `lanes` memories of `rows` rows of `2 * size` numbers."""
    flat = jnp.zeros((lanes, rows))
    return Memory(jnp.zeros((lanes, rows, 2 * size)), flat, flat, flat, jnp.zeros(lanes, jnp.int32))


def open_window(memory: Memory, steps: int, largest: int = LARGEST) -> Window:
    """A window that has room for `steps` writes, as inserts where its matrices have more than `largest` numbers."""
    lanes, rows, size = memory.rows.shape
    now: Any = memory.rows
    if steps * memory.rows.size > largest:
        weights = jnp.zeros((lanes, steps, rows))
        values = jnp.zeros((lanes, steps, size // 2))
        now = Inserts(jnp.ones((lanes, rows)), values, weights, weights, jnp.zeros(lanes, jnp.int32))
    return Window(now, *memory[1:])


def close_window(base: Array, window: Window) -> Memory:
    """The memory after a window that began with the rows `base`."""
    return Memory(contents(base, window), window.usage, window.written, window.trace, window.writes)


def contents(base: Array, window: Window) -> Array:
    """The rows `[B, N, 2 Z]` as they are now."""
    now = window.now
    if not isinstance(now, Inserts):
        return now
    halves = [jnp.einsum("btn,btz->bnz", weights, now.values) for weights in (now.left, now.right)]
    return base * now.kept[..., None] + jnp.concatenate(halves, -1)


def reset(window: Window, first: Array) -> Window:
    """Forgets everything in the lanes `first[B]`; what other lanes hold stays as it is."""
    return select(first, jax.tree.map(jnp.zeros_like, window), window)


def write(window: Window, value: Array, weights: Array, discount: float | Array, retroactive: bool = True) -> Window:
    """One step's write, after its reads.

    Args:
      window: with room for it.
      value: z, `[B, Z]`. Gradients flow into it; MERLIN stops them.
      weights: with which the rows were read at this step, `[B, K, N]`.
      discount: γ of the retroactive half.
      retroactive: False leaves the right halves empty, the ablation of the paper.
    """
    rows = window.usage.shape[-1]
    usage = window.usage + jax.lax.stop_gradient(jnp.sum(weights, 1))
    slot = jnp.where(window.writes < rows, window.writes, jnp.argmin(usage, -1))
    new = jax.nn.one_hot(slot, rows)
    # A row is cleared before it is used again: it loses what it held, and is no longer told of what came after.
    trace = (discount * window.trace + (1 - discount) * window.written) * (1 - new)
    right = trace if retroactive else 0 * trace
    return Window(
        now=_written(window.now, value, new, right),
        usage=jnp.where(new > 0, jnp.mean(usage, -1, keepdims=True), usage),
        written=new,
        trace=trace,
        writes=window.writes + 1,
    )


def _written(now: Any, value: Array, new: Array, right: Array) -> Any:
    """Rows, or inserts, after row `new[B, N]` is given the value `[B, Z]`, and the right halves `right[B, N]` of it."""
    old = 1 - new
    if not isinstance(now, Inserts):
        halves = [weights[..., None] * value[:, None] for weights in (new, right)]
        return now * old[..., None] + jnp.concatenate(halves, -1)
    here = (jnp.arange(now.values.shape[1])[None] == now.number[:, None])[..., None]
    return Inserts(
        kept=now.kept * old,
        values=jnp.where(here, value[:, None], now.values),
        left=jnp.where(here, new[:, None], now.left * old[:, None]),
        right=jnp.where(here, right[:, None], now.right * old[:, None]),
        number=now.number + 1,
    )


def cosine(keys: Array, rows: Array) -> Array:
    """cos(k_i, M_j), `[B, K, W], [B, N, W] -> [B, K, N]`; 0 at empty rows, and no NaN in the gradient there."""
    # Products are scaled and not the rows, of which a gradient would keep a second copy for each step.
    scale = lambda x: jax.lax.rsqrt(jnp.sum(jnp.square(x), -1) + 1e-6)  # noqa: E731
    return jnp.einsum("bkw,bnw->bkn", keys, rows) * scale(keys)[..., None] * scale(rows)[:, None]


def content_weights(keys: Array, strengths: Array, rows: Array) -> Array:
    """softmax_j(β_i cos(k_i, M_j)): keys `[B, K, W]`, strengths `[B, K]`, rows `[B, N, W]` to weights `[B, K, N]`."""
    return jax.nn.softmax(strengths[..., None] * cosine(keys, rows), -1)


def read(rows: Array, keys: Array, strengths: Array) -> tuple[Array, Array]:
    """Reads by content with K keys: what was read, `[B, K W]`, and the weights, `[B, K, N]`.

    Args:
      rows: `[B, N, W]`.
      keys: `[B, K, W]`.
      strengths: β, `[B, K]`, not negative.
    """
    weights = content_weights(keys, strengths, rows)
    return jnp.einsum("bkn,bnw->bkw", weights, rows).reshape(len(rows), -1), weights


def split_keys(numbers: Array, keys: int) -> tuple[Array, Array]:
    """A controller's `[B, K (W + 1)]` numbers as keys `[B, K, W]` and strengths β = softplus(·) `[B, K]`."""
    numbers = numbers.reshape((len(numbers), keys, -1))
    return numbers[..., :-1], jax.nn.softplus(numbers[..., -1])
