"""The neural Turing machine's memory: addressing by content and by place (Graves et al., arXiv:1410.5401).

Each head addresses with weights w_t over N rows:

    wᶜ = softmax_i(β cos(k, M(i)))                      content
    wᵍ = g wᶜ + (1 - g) w_{t-1}                         gate
    w̃(i) = Σ_j wᵍ(j) s(i - j), circular                 shift by -1, 0 or 1
    w_t(i) = w̃(i)^γ / Σ_j w̃(j)^γ                        sharpen

and r_t = Σ_i w_t(i) M_{t-1}(i) is read, then M_t = M_{t-1} (1 - w_t e_tᵀ) + w_t a_tᵀ is written, by a head of its own.
Memories begin constant at 1e-6 and heads at the first row.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Array, select
from networks import memory
from networks.controller import Access, split


class State(NamedTuple):
    """B memories and where their heads are."""

    rows: Array  # [B, N, W]
    weights: Array  # [B, H, N], of the read heads, and of the write head last


def address(numbers: Array, rows: Array, before: Array, shift: bool = True) -> Array:
    """The weights of H heads, `[B, H, N]`.

    Args:
      numbers: `[B, H, W + 6]`: key, strength, gate, three shifts and sharpening, before their activations.
      rows: `[B, N, W]`.
      before: weights of the last step, `[B, H, N]`.
      shift: False leaves heads where content and gate put them, for ablations.
    """
    width = rows.shape[-1]
    key, strength, gate, shifts, sharpen = split(numbers, width, 1, 1, 3, 1)
    content = memory.content_weights(key, jax.nn.softplus(strength[..., 0]), rows)
    g = jax.nn.sigmoid(gate)
    gated = g * content + (1 - g) * before
    if shift:
        s = jax.nn.softmax(shifts)
        moves = enumerate((-1, 0, 1))
        gated = sum((s[..., i, None] * jnp.roll(gated, by, -1) for i, by in moves), jnp.zeros_like(gated))
    gamma = jnp.minimum(1 + jax.nn.softplus(sharpen), 20.0)
    return jax.nn.softmax(gamma * jnp.log(gated + 1e-16), -1)


def ntm(num: int, size: int, reads: int = 1, shift: bool = True) -> Access:
    """N rows of W numbers with one write head.

    Args:
      num: N.
      size: W.
      reads: read heads.
      shift: as in `address`.
    """
    heads = reads + 1

    def begin(lanes: int) -> State:
        place = jax.nn.one_hot(jnp.zeros((lanes, heads), jnp.int32), num)
        return State(jnp.full((lanes, num, size), 1e-6), place)

    def step(base: tuple, state: State, numbers: Array) -> tuple[State, Array]:
        del base
        addressing, erase, add = split(numbers, heads * (size + 6), size, size)
        weights = address(addressing.reshape((len(numbers), heads, -1)), state.rows, state.weights, shift)
        read = jnp.einsum("brn,bnw->brw", weights[:, :-1], state.rows).reshape(len(numbers), -1)
        at = weights[:, -1, :, None]
        rows = state.rows * (1 - at * jax.nn.sigmoid(erase)[:, None]) + at * add[:, None]
        return State(rows, weights), read

    return Access(
        interface=heads * (size + 6) + 2 * size,
        reads=reads * size,
        begin=begin,
        step=step,
        reset=lambda state, first: select(first, begin(len(first)), state),
    )
