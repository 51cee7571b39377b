"""Memory Q-networks as recurrent cores: attention over what was seen before (Oh et al., ICML 2016, arXiv:1605.09128).

With φ_t the features of row t, the memory holds keys and values of the last M rows before it:

    key_i = W^key φ_i,    val_i = W^val φ_i
    h_t = W^c φ_t  (MQN),    LSTM(φ_t)  (RMQN),    LSTM([φ_t, o_{t-1}])  (FRMQN)
    p_t = softmax_i(h_t · key_i),    o_t = Σ_i p_ti val_i,    output g(W^h h_t + o_t)

where g is the identity on the first half and a ReLU on the second; a linear head on it gives Q. The current row is not
in the memory. With `timed`, which is not the paper's, a number learned for each age is added to h_t · key_i.
"""

from typing import Any, Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import zeros

from envs.base import Array, select
from networks.controller import over_time
from networks.cores import lstm_gates
from networks.initializers import orthogonal
from networks.torsos import Initializer, linear

Kind = Literal["mqn", "rmqn", "frmqn"]


class MemoryQ(nn.Module):
    """The core; `blind` withholds what is read, for ablations.

    M need not be that of training, unless `timed`.
    """

    kind: Kind
    size: int = 256
    memory: int = 11  # M
    timed: bool = False
    blind: bool = False
    kernel_init: Initializer = orthogonal()

    @nn.nowrap
    def begin(self, batch: int) -> Any:
        """`(keys, values, held, (c, h, o))` of `batch` lanes; `held` is 1 where a row of this episode is."""
        rows, flat = jnp.zeros((batch, self.memory, self.size)), jnp.zeros((batch, self.size))
        return rows, rows, jnp.zeros((batch, self.memory)), (flat,) * 3

    @nn.compact
    def __call__(self, carry: Any, inputs: Array, first: Array) -> tuple[Any, Array]:
        """`(carry[B], inputs[T, B, D], first[T, B]) -> (carry[B], outputs[T, B, size])`."""
        keys, values, held, state = carry
        steps, lanes = first.shape

        def embed(name: str) -> Array:
            return nn.Dense(self.size, use_bias=False, kernel_init=self.kernel_init, name=name)(inputs)

        # Slots are the rows held when the window began and then its own; row t may look at the M before it.
        keys = jnp.concatenate([keys, embed("key").swapaxes(0, 1)], 1)
        values = jnp.concatenate([values, embed("value").swapaxes(0, 1)], 1)
        held = jnp.concatenate([held, jnp.ones((lanes, steps))], 1)
        episode = jnp.cumsum(first.astype(jnp.int32), 0)
        of_slot = jnp.concatenate([jnp.zeros((self.memory, lanes), jnp.int32), episode]).T
        age = self.memory + jnp.arange(steps)[:, None] - jnp.arange(self.memory + steps)[None]
        within = (age >= 1) & (age <= self.memory)
        seen = within[:, None] & (of_slot[None] == episode[..., None]) & (held > 0)[None]
        bias = jnp.zeros(age.shape)
        if self.timed:
            ages = self.param("ages", zeros, (self.memory,))
            bias = ages[jnp.clip(age - 1, 0, self.memory - 1)]

        recurrent = self.kind != "mqn"
        driven = linear(inputs, 4 * self.size, self.kernel_init, zeros, name="input") if recurrent else embed("context")
        if recurrent:
            wide = self.size * (2 if self.kind == "frmqn" else 1)
            kernel = self.param("recurrent", self.kernel_init, (wide, 4 * self.size))

        def step(base: tuple, state: tuple, row: tuple) -> tuple[tuple, tuple]:
            (keys, values), (driven, first, seen, bias) = base, row
            c, h, o = select(first, jax.tree.map(jnp.zeros_like, state), state)
            if recurrent:
                before = jnp.concatenate([h, o], -1) if self.kind == "frmqn" else h
                c, h = lstm_gates(c, driven + before @ kernel)
            else:
                h = driven
            scores = jnp.where(seen, jnp.einsum("bz,bsz->bs", h, keys) + bias[None], -1e9)
            o = jnp.einsum("bs,bsz->bz", jax.nn.softmax(scores) * seen, values)  # 0 where nothing is held
            o = o * (not self.blind)
            return (c, h, o), (h, o)

        state, (h, o) = over_time(step, (keys, values), state, (driven, first, seen, bias))
        x = nn.Dense(self.size, use_bias=False, kernel_init=self.kernel_init, name="hidden")(h) + o
        straight, bent = jnp.split(x, [self.size // 2], -1)
        held = held * (of_slot == episode[-1][:, None])
        after = jax.tree.map(lambda x: x[:, steps:], (keys, values, held))
        return (*after, state), jnp.concatenate([straight, nn.relu(bent)], -1)
