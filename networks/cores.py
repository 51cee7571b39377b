"""Recurrent cores. Memory is reset to zeros inside the scan, on rows that open an episode.

They take `(carry[B], inputs[T, B, D], first[T, B])` and return `(carry[B], outputs[T, B, H])`. What depends on the
inputs alone is computed for all rows in one matrix product before the scan; a window of one row needs no scan.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, Tree, select
from networks.initializers import orthogonal
from networks.torsos import Initializer, bias_for, linear


class LSTM(nn.Module):
    """Long short-term memory (Hochreiter and Schmidhuber, 1997; forget gate of Gers et al., 2000, bias +1).

    i, f, o = σ(…), g = tanh(…), each affine in (x, h);  c ← f·c + i·g;  h ← o·tanh(c). The carry is `(c, h)`.
    """

    size: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.nowrap
    def begin(self, batch: int) -> tuple[Array, Array]:
        """Zeros, two of `[batch, size]`."""
        return (jnp.zeros((batch, self.size)),) * 2

    @nn.compact
    def __call__(self, carry: tuple[Array, Array], inputs: Array, first: Array) -> tuple[tuple[Array, Array], Array]:
        """`(carry[B], inputs[T, B, D], first[T, B]) -> (carry[B], outputs[T, B, size])`."""
        driven = linear(inputs, 4 * self.size, self.kernel_init, self.bias_init, name="input")
        kernel = self.param("recurrent", self.kernel_init, (self.size, 4 * self.size))

        def step(carry: tuple[Array, Array], row: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
            driven, first = row
            c, h = _reset(carry, first)
            c, h = lstm_gates(c, driven + h @ kernel)
            return (c, h), h

        return _over_time(step, carry, (driven, first))


class GRU(nn.Module):
    """Gated recurrent unit (Cho et al., arXiv:1406.1078), in the form that needs one matrix product per step.

    r, z = σ(…), affine in (x, h);  n = tanh(W x + r·(U h + b));  h ← (1 - z)·n + z·h. The carry is `h`.
    """

    size: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.nowrap
    def begin(self, batch: int) -> Array:
        """Zeros `[batch, size]`."""
        return jnp.zeros((batch, self.size))

    @nn.compact
    def __call__(self, carry: Array, inputs: Array, first: Array) -> tuple[Array, Array]:
        """`(carry[B], inputs[T, B, D], first[T, B]) -> (carry[B], outputs[T, B, size])`."""
        driven = linear(inputs, 3 * self.size, self.kernel_init, self.bias_init, name="input")
        kernel = self.param("recurrent", self.kernel_init, (self.size, 3 * self.size))
        bias = self.param("bias", bias_for(self.bias_init, self.size), (1, self.size))

        def step(h: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
            driven, first = row
            h = _reset(h, first)
            x_r, x_z, x_n = jnp.split(driven, 3, -1)
            h_r, h_z, h_n = jnp.split(h @ kernel, 3, -1)
            z = nn.sigmoid(x_z + h_z)
            n = jnp.tanh(x_n + nn.sigmoid(x_r + h_r) * (h_n + bias))
            h = (1 - z) * n + z * h
            return h, h

        return _over_time(step, carry, (driven, first))


class DilatedLSTM(nn.Module):
    """An LSTM in `dilation` parts, each of which sees every `dilation`-th row (FuN: Vezhnevets et al., ICML 2017).

    The parts have states of their own and share parameters. Row t of an episode moves part t mod r alone; the output is
    the mean of the h of all parts that have been moved, which are the last r outputs. So r rows are one step of each
    part, and what it remembers, like the gradient through it, lasts r times as long as an LSTM's. The carry is
    `(c, h, rows of the episode so far)`.
    """

    size: int
    dilation: int
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.nowrap
    def begin(self, batch: int) -> tuple[Array, Array, Array]:
        """Zeros, two of `[batch, dilation, size]` and int32 `[batch]`."""
        nothing = jnp.zeros((batch, self.dilation, self.size))
        return nothing, nothing, jnp.zeros(batch, jnp.int32)

    @nn.compact
    def __call__(self, carry: tuple[Array, ...], inputs: Array, first: Array) -> tuple[tuple[Array, ...], Array]:
        """`(carry[B], inputs[T, B, D], first[T, B]) -> (carry[B], outputs[T, B, size])`."""
        driven = linear(inputs, 4 * self.size, self.kernel_init, self.bias_init, name="input")
        kernel = self.param("recurrent", self.kernel_init, (self.size, 4 * self.size))

        def step(carry: tuple[Array, ...], row: tuple[Array, Array]) -> tuple[tuple[Array, ...], Array]:
            driven, first = row
            c, h, age = select(first, jax.tree.map(jnp.zeros_like, carry), carry)
            turn = (jnp.arange(self.dilation)[None] == age[:, None] % self.dilation)[..., None]
            own_c, own_h = (jnp.sum(jnp.where(turn, x, 0.0), axis=1) for x in (c, h))
            own_c, own_h = lstm_gates(own_c, driven + own_h @ kernel)
            c, h = jnp.where(turn, own_c[:, None], c), jnp.where(turn, own_h[:, None], h)
            moved = jnp.minimum(age + 1, self.dilation).astype(h.dtype)
            return (c, h, age + 1), jnp.sum(h, axis=1) / moved[:, None]

        return _over_time(step, carry, (driven, first))


def lstm_gates(c: Array, affine: Array) -> tuple[Array, Array]:
    """`(c, h)` after a step of an LSTM, `[B, H]`, from c before and what is affine in input and h, `[B, 4 H]`."""
    i, f, g, o = jnp.split(affine, 4, -1)
    c = nn.sigmoid(f + 1) * c + nn.sigmoid(i) * jnp.tanh(g)
    return c, nn.sigmoid(o) * jnp.tanh(c)


class DeepLSTM(nn.Module):
    """One step of several layers of LSTM, for a `scan` that does more: every layer sees the input and the layer below.

    The carry is `((c, h), ...)`, a pair per layer; the output joins the h of all layers.
    """

    sizes: tuple[int, ...]

    @nn.nowrap
    def begin(self, batch: int) -> tuple[tuple[Array, Array], ...]:
        """Zeros."""
        return tuple((jnp.zeros((batch, size)),) * 2 for size in self.sizes)

    @nn.compact
    def __call__(self, carry: tuple[tuple[Array, Array], ...], x: Array) -> tuple[tuple, Array]:
        """`(carry[B], x[B, D]) -> (carry[B], output[B, sum(sizes)])`."""
        after: list[tuple[Array, Array]] = []
        for (c, h), size in zip(carry, self.sizes, strict=True):
            seen = jnp.concatenate([x, h, *(below for _, below in after[-1:])], -1)
            after.append(lstm_gates(c, linear(seen, 4 * size, orthogonal(), zeros)))
        return tuple(after), outputs_of(tuple(after))


def outputs_of(carry: tuple[tuple[Array, Array], ...]) -> Array:
    """The h of all layers side by side, `[B, sum(sizes)]`."""
    return jnp.concatenate([h for _, h in carry], -1)


def _reset(carry: Tree, first: Array) -> Tree:
    return jax.tree.map(lambda x: jnp.where(first[:, None], 0.0, x), carry)


def _over_time(step: Callable[[Tree, Tree], tuple[Tree, Array]], carry: Tree, rows: Tree) -> tuple[Tree, Array]:
    if jax.tree.leaves(rows)[0].shape[0] > 1:
        return jax.lax.scan(step, carry, rows)
    carry, output = step(carry, jax.tree.map(lambda x: x[0], rows))
    return carry, output[None]
