"""A recurrent core with an external memory: an LSTM that reads and writes through an interface of numbers.

    h_t = LSTM([x_t, r_{t-1}]),    ξ_t = W h_t + b,    r_t = access(ξ_t),    output [h_t, r_t]

`rows` below gives RL-MEM of Wayne et al. (arXiv:1803.10760); `networks.ntm` and `networks.dnc` give the others the same
interface; without a memory it is their RL-LSTM. Gradients flow through everything, to be learned from rewards alone.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, select
from networks import memory
from networks.cores import lstm_gates, outputs_of
from networks.initializers import orthogonal
from networks.torsos import Initializer, bias_for, linear


class Access(NamedTuple):
    """How a controller uses a memory. What `open` keeps apart is not carried through the `scan`."""

    interface: int
    """Numbers that the controller gives per step."""
    reads: int
    """Numbers that it gets."""
    begin: Callable[[int], Any]
    """`(B) -> state` of B fresh memories."""
    step: Callable[[Any, Any, Array], tuple[Any, Array]]
    """`(base, window, interface[B, I]) -> (window, reads[B, R])`."""
    reset: Callable[[Any, Array], Any]
    """`(window, first[B]) -> window`, with fresh memories in those lanes."""
    open: Callable[[Any, int], tuple[Any, Any]] = lambda state, steps: ((), state)
    """`(state, T) -> (base, window)`, before a window of T steps."""
    close: Callable[[Any, Any], Any] = lambda base, window: window
    """`(base, window) -> state`, after it."""


def split(numbers: Array, *sizes: int) -> list[Array]:
    """`[..., sum(sizes)]` in parts of those sizes.

    Raises:
      ValueError: the sizes do not add up.
    """
    if sum(sizes) != numbers.shape[-1]:
        raise ValueError(f"sizes: {sizes} add up to {sum(sizes)}, not to {numbers.shape[-1]}")
    ends = [sum(sizes[: i + 1]) for i in range(len(sizes) - 1)]
    return jnp.split(numbers, ends, -1)


def rows(num: int, size: int, keys: int = 1) -> Access:
    """RL-MEM's memory: every step reads by content and then writes a vector to the next free row.

    Args:
      num: N, rows; when all are used the one read least goes first.
      size: numbers in a row.
      keys: read keys.
    """

    def step(base: Array, window: memory.Window, numbers: Array) -> tuple[memory.Window, Array]:
        value, queries = split(numbers, size, keys * (size + 1))
        # The halves of a row are those of MERLIN; here nothing is written to the right one.
        now = memory.contents(base, window)[..., :size]
        reads, weights = memory.read(now, *memory.split_keys(queries, keys))
        return memory.write(window, value, weights, 0.0, retroactive=False), reads

    return Access(
        interface=size + keys * (size + 1),
        reads=keys * size,
        begin=lambda lanes: memory.empty(lanes, num, size),
        step=step,
        reset=memory.reset,
        open=lambda state, steps: (state.rows, memory.open_window(state, steps)),
        close=memory.close_window,
    )


class Controller(nn.Module):
    """Layers of LSTM around an `Access`, as a core for `networks.actor_critic` and `networks.q_network`.

    Every layer sees the input, what was read and the layer below; the output joins all layers, what was read and, with
    `skip`, the input. `blind` withholds what was read, for ablations.
    """

    sizes: tuple[int, ...]
    access: Access | None = None
    skip: bool = False
    blind: bool = False
    kernel_init: Initializer = orthogonal()
    bias_init: Initializer = zeros

    @nn.nowrap
    def begin(self, batch: int) -> Any:
        """`(LSTM states, last reads, memory)` of `batch` lanes."""
        layers = tuple((jnp.zeros((batch, size)),) * 2 for size in self.sizes)
        if self.access is None:
            return layers, (), ()
        return layers, jnp.zeros((batch, self.access.reads)), self.access.begin(batch)

    @nn.compact
    def __call__(self, carry: Any, inputs: Array, first: Array) -> tuple[Any, Array]:
        """`(carry[B], inputs[T, B, D], first[T, B]) -> (carry[B], outputs[T, B, H])`."""
        access, total = self.access, sum(self.sizes)
        driven = linear(inputs, 4 * total, self.kernel_init, self.bias_init, name="input")
        kernels = []
        for i, size in enumerate(self.sizes):
            seen = size + (self.sizes[i - 1] if i else 0) + (access.reads if access else 0)
            kernels.append(self.param(f"recurrent_{i}", self.kernel_init, (seen, 4 * size)))
        if access:
            interface = self.param("interface", self.kernel_init, (total, access.interface))
            bias = self.param("interface_bias", bias_for(self.bias_init, total), (1, access.interface))

        def step(base: Any, carry: Any, row: tuple[Array, Array]) -> tuple[Any, Array]:
            (layers, reads, window), (driven, first) = carry, row
            layers, reads = select(first, jax.tree.map(jnp.zeros_like, (layers, reads)), (layers, reads))
            told = [] if access is None or self.blind else [reads]
            parts = split(driven, *(4 * size for size in self.sizes))
            after: list[tuple[Array, Array]] = []
            for (c, h), kernel, part in zip(layers, kernels, parts, strict=True):
                seen = jnp.concatenate([h, *(below for _, below in after[-1:]), *told], -1)
                after.append(lstm_gates(c, part + seen @ kernel[: seen.shape[-1]]))
            output = outputs_of(tuple(after))
            if access is not None:
                window, reads = access.step(base, access.reset(window, first), output @ interface + bias)
                output = output if self.blind else jnp.concatenate([output, reads], -1)
            return (tuple(after), reads, window), output

        layers, reads, state = carry
        base, window = access.open(state, len(inputs)) if access else ((), ())
        (layers, reads, window), outputs = over_time(step, base, (layers, reads, window), (driven, first))
        state = access.close(base, window) if access else ()
        return (layers, reads, state), jnp.concatenate([inputs, outputs], -1) if self.skip else outputs


LARGEST = 2**25
"""Numbers that a window may keep for the gradient before its steps are rather computed again."""


def over_time(step: Callable[..., tuple[Any, Any]], base: Any, carry: Any, rows: Any) -> tuple[Any, Any]:
    """A `scan` of `step(base, carry, row)`; one row needs no `scan`.

    Where T times base and carry are many numbers, each step is computed again for the gradient and the carry alone is
    kept. `base` is an argument because what a checkpointed function closes over would be kept as well.
    """
    length = jax.tree.leaves(rows)[0].shape[0]
    if length == 1:
        carry, output = step(base, carry, jax.tree.map(lambda x: x[0], rows))
        return carry, jax.tree.map(lambda x: x[None], output)
    if length * sum(x.size for x in jax.tree.leaves((base, carry))) > LARGEST:
        step = jax.checkpoint(step, prevent_cse=False)
    return jax.lax.scan(lambda carry, row: step(base, carry, row), carry, rows)
