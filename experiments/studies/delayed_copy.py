"""Copying after a delay: how long a dilated LSTM, and an ordinary one with short windows, remember what they saw.

A symbol is shown in each of the first rows, then nothing, and `delay` rows later each is to be told. Gradients reach
back through `window` rows, as in learning from windows that hand on their memory.
"""

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from envs import keys
from networks import LSTM, DilatedLSTM

if TYPE_CHECKING:
    from agents.base import Key, Tree

SYMBOLS, SHOWN, SIZE, BATCH, CHUNK = 8, 1, 32, 64, 100


class Copier(nn.Module):
    """A core between the symbols and the logits of what was shown."""

    core: Any

    @nn.compact
    def __call__(self, carry: "Tree", shown: jax.Array) -> "tuple[Tree, jax.Array]":
        """`(carry, inputs[T, B, symbols + 1]) -> (carry, logits[T, B, symbols])`."""
        carry, outputs = self.core(carry, shown, jnp.zeros(shown.shape[:2], bool))
        return carry, nn.Dense(SYMBOLS)(outputs)


def sequences(key: "Key", batch: int, delay: int) -> tuple[jax.Array, jax.Array]:
    """Inputs `[delay + SHOWN, B, symbols + 1]`, whose last channel asks for a symbol, and what to tell `[SHOWN, B]`."""
    told = jax.random.randint(key, (SHOWN, batch), 0, SYMBOLS)
    shown = jnp.pad(jax.nn.one_hot(told, SYMBOLS), ((0, delay), (0, 0), (0, 1)))
    return shown.at[delay:, :, SYMBOLS].set(1.0), told


def accuracy(
    seeds: Sequence[int], dilation: int = 10, window: int = 0, delay: int = 40, updates: int = 1_000
) -> np.ndarray:
    """Share of symbols that are told rightly after the delay, on 1,000 sequences after training.

    Args:
      seeds: of the parameters and the sequences, one after the other.
      dilation: of the LSTM; 1 is an ordinary one.
      window: rows through which gradients reach back; 0 for all.
      delay: rows from where a symbol is shown to where it is asked for.
      updates: of training, on 64 sequences each, in steps of 100.

    Returns:
      `[seeds]`.
    """
    core: Any = LSTM(SIZE) if dilation == 1 else DilatedLSTM(SIZE, dilation)
    model: Any = Copier(core)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(3e-3))
    rows = delay + SHOWN
    cuts = [0, *range(rows % window or window, rows, window), rows] if window else [0, rows]

    def logits(params: "Tree", shown: jax.Array) -> jax.Array:
        carry: Any = core.begin(shown.shape[1])
        found: list[jax.Array] = []
        for start, end in itertools.pairwise(cuts):
            carry, told = model.apply(params, jax.lax.stop_gradient(carry), shown[start:end])
            found.append(told)
        return jnp.concatenate(found)[delay:]

    def loss(params: "Tree", key: "Key") -> jax.Array:
        shown, told = sequences(key, BATCH, delay)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits(params, shown), told))

    def update(state: "tuple[Tree, optax.OptState]", key: "Key") -> "tuple[tuple[Tree, optax.OptState], None]":
        params, opt_state = state
        changes, opt_state = optimiser.update(jax.grad(loss)(params, key), opt_state, params)
        return (optax.apply_updates(params, changes), opt_state), None

    @jax.jit
    def train(state: "tuple[Tree, optax.OptState]", key: "Key") -> "tuple[Tree, optax.OptState]":
        return jax.lax.scan(update, state, jax.random.split(key, CHUNK))[0]

    @jax.jit
    def right(params: "Tree") -> jax.Array:
        shown, told = sequences(keys.key(7), 1_000, delay)
        return jnp.mean(jnp.argmax(logits(params, shown), -1) == told)

    found = []
    for seed in seeds:
        params = model.init(keys.key(seed), core.begin(BATCH), jnp.zeros((1, BATCH, SYMBOLS + 1)))
        state = params, optimiser.init(params)
        for i in range(updates // CHUNK):
            state = train(state, jax.random.fold_in(keys.key(seed + 1), i))
        found.append(float(right(state[0])))
    return np.array(found)
