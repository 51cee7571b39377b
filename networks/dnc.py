"""The differentiable neural computer's memory (Graves et al., "Hybrid computing using a neural network with dynamic
external memory", Nature 2016).

One write head, R read heads. With C(M, k, β) the weights by content and f, g, π from the controller:

    u_t = (u_{t-1} + (1 - u_{t-1}) w̄ʷ_{t-1}) Π_i (1 - fⁱ wʳ'ⁱ_{t-1})                  usage; no gradient into w̄ʷ
    a_t[φ_j] = (1 - u_t[φ_j]) Π_{l<j} u_t[φ_l],  φ the rows by ascending usage          allocation
    wʷ_t = gʷ (gᵃ a_t + (1 - gᵃ) C(M_{t-1}, kʷ, βʷ)),  M_t = M_{t-1} (1 - wʷ eᵀ) + wʷ vᵀ
    L_t[i, j] = (1 - wʷ[i] - wʷ[j]) L_{t-1}[i, j] + wʷ[i] p_{t-1}[j],  L_t[i, i] = 0    what was written after what
    p_t = (1 - Σ wʷ) p_{t-1} + wʷ
    wʳ'ⁱ_t = π₁ L_tᵀ wʳ'ⁱ_{t-1} + π₂ L_t wʳ'ⁱ_{t-1} + π₃ C(M_t, kʳ'ⁱ, βʳ'ⁱ),  rⁱ = M_tᵀ wʳ'ⁱ_t

Reads come after the write of the same step. Links cost N² numbers per lane.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Array
from networks import memory
from networks.controller import Access, split


class State(NamedTuple):
    """B memories of N rows; zeros when fresh."""

    rows: Array  # [B, N, W]
    usage: Array  # [B, N]
    precedence: Array  # [B, N]
    link: Array  # [B, N, N]
    write: Array  # [B, N]
    reads: Array  # [B, R, N]


def used(usage: Array, write: Array, reads: Array, free: Array) -> Array:
    """Usage `[B, N]` after the last step's write `[B, N]` and reads `[B, R, N]`, with free gates `[B, R]`."""
    taken = usage + (1 - usage) * jax.lax.stop_gradient(write)
    return taken * jnp.prod(1 - free[..., None] * reads, 1)


def allocation(usage: Array) -> Array:
    """Weights `[B, N]` of the rows to write to, the least used first. The order has no gradient."""
    usage = 1e-6 + (1 - 1e-6) * usage
    order = jnp.argsort(usage, -1)
    ascending = jnp.take_along_axis(usage, order, -1)
    before = jnp.cumprod(jnp.concatenate([jnp.ones_like(ascending[:, :1]), ascending[:, :-1]], -1), -1)
    return jnp.take_along_axis((1 - ascending) * before, jnp.argsort(order, -1), -1)


def linked(link: Array, precedence: Array, write: Array) -> Array:
    """Temporal links `[B, N, N]` after a write `[B, N]`."""
    into, onto = write[:, :, None], write[:, None, :]
    new = (1 - into - onto) * link + into * precedence[:, None, :]
    return new * (1 - jnp.eye(write.shape[-1]))[None]


def dnc(num: int, size: int, reads: int = 1, allocate: bool = True) -> Access:
    """N rows of W numbers.

    Args:
      num: N.
      size: W.
      reads: R.
      allocate: False writes by content alone, for ablations.
    """

    def begin(lanes: int) -> State:
        flat = jnp.zeros((lanes, num))
        rows, link, heads = (jnp.zeros((lanes, n, m)) for n, m in ((num, size), (num, num), (reads, num)))
        return State(rows, flat, flat, link, flat, heads)

    def step(base: tuple, state: State, numbers: Array) -> tuple[State, Array]:
        del base
        queries, target, erase, value, free, gates, modes = split(
            numbers, reads * (size + 1), size + 1, size, size, reads, 2, 3 * reads
        )
        allocating, writing = jnp.split(jax.nn.sigmoid(gates), 2, -1)
        usage = used(state.usage, state.write, state.reads, jax.nn.sigmoid(free))
        write = memory.content_weights(*memory.split_keys(target, 1), state.rows)[:, 0]
        write = writing * (allocating * allocation(usage) + (1 - allocating) * write if allocate else write)
        rows = state.rows * (1 - write[..., None] * jax.nn.sigmoid(erase)[:, None]) + write[..., None] * value[:, None]
        link = linked(state.link, state.precedence, write)
        precedence = (1 - jnp.sum(write, -1, keepdims=True)) * state.precedence + write
        ways = (
            jnp.einsum("bij,bri->brj", link, state.reads),
            jnp.einsum("bij,brj->bri", link, state.reads),
            memory.content_weights(*memory.split_keys(queries, reads), rows),
        )
        modes = jax.nn.softmax(modes.reshape((len(numbers), reads, 3)))
        heads = sum((modes[..., i, None] * way for i, way in enumerate(ways)), jnp.zeros_like(ways[0]))
        read = jnp.einsum("brn,bnw->brw", heads, rows).reshape(len(numbers), -1)
        return State(rows, usage, precedence, link, write, heads), read

    def reset(state: State, first: Array) -> State:
        return jax.tree.map(lambda x: jnp.where(first.reshape((-1,) + (1,) * (x.ndim - 1)), 0.0, x), state)

    return Access(
        interface=reads * (size + 1) + 3 * size + 1 + reads + 2 + 3 * reads,
        reads=reads * size,
        begin=begin,
        step=step,
        reset=reset,
    )
