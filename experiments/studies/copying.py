"""Copying (Graves et al., 2014): what an NTM and a DNC learn on short sequences holds on longer ones.

Words of 4 bits are shown, 1 to 8 of them in training, and are to be told when they are over.
"""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from agents import losses
from envs import keys
from envs.tasks.copy import sequences
from networks.controller import Access, Controller
from networks.dnc import dnc
from networks.ntm import ntm

if TYPE_CHECKING:
    from agents.base import Tree
    from envs.base import Key

BITS, LONGEST, BATCH, WORD = 4, 8, 32, 12
CHUNK = 500
"""Updates of one compiled program."""


class Copier(nn.Module):
    """A controller with a memory, or an LSTM alone."""

    access: Access | None
    size: int

    @nn.compact
    def __call__(self, shown: jax.Array) -> jax.Array:
        """Inputs `[T, B, bits + 1]` to the logits of the copy, `[T, B, bits]`."""
        core = Controller((self.size,), self.access)
        _, outputs = core(core.begin(shown.shape[1]), shown, jnp.zeros(shown.shape[:2], bool))
        return nn.Dense(BITS)(outputs)


def copier(memory: str, rows: int) -> Copier:
    """The network that a name stands for: "ntm", "ntm_without_shift", "dnc" or "lstm".

    Raises:
      KeyError: it stands for none.
    """
    kinds: dict[str, Any] = {
        "ntm": lambda: Copier(ntm(rows, WORD), 64),
        "ntm_without_shift": lambda: Copier(ntm(rows, WORD, shift=False), 64),
        "dnc": lambda: Copier(dnc(rows, WORD), 64),
        "lstm": lambda: Copier(None, 80),
    }
    return kinds[memory]()


def wrong_bits(
    seeds: Sequence[int], memory: str = "ntm", rows: int = 24, words: int = 16, updates: int = 6_000
) -> np.ndarray:
    """Share of wrong bits on 200 sequences of so many words, after training on 1 to 8.

    Args:
      seeds: of the parameters and the sequences, one after the other.
      memory: "ntm", "ntm_without_shift", "dnc" or "lstm".
      rows: of the memory.
      words: of the sequences that are judged.
      updates: of training, in steps of 500.

    Returns:
      `[seeds]`.
    """
    model: Any = copier(memory, rows)
    optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(1e-3))

    def loss(params: "Tree", key: "Key") -> jax.Array:
        shown, target, counts = sequences(key, BATCH, 1, LONGEST, BITS)
        nll = losses.bernoulli_nll(model.apply(params, shown), target)
        return jnp.sum(nll * counts) / jnp.sum(counts)

    def update(state: "tuple[Tree, optax.OptState]", key: "Key") -> "tuple[tuple[Tree, optax.OptState], None]":
        params, opt_state = state
        gradients = jax.grad(loss)(params, key)
        changes, opt_state = optimiser.update(gradients, opt_state, params)
        return (optax.apply_updates(params, changes), opt_state), None

    train = jax.jit(lambda state, key: jax.lax.scan(update, state, jax.random.split(key, CHUNK))[0])

    @partial(jax.jit, static_argnums=1)
    def error(params: "Tree", length: int) -> jax.Array:
        shown, target, counts = sequences(keys.key(7), 200, length, length, BITS)
        wrong = (model.apply(params, shown) > 0) != (target > 0.5)
        return jnp.sum(wrong * counts[..., None]) / (jnp.sum(counts) * BITS)

    found = []
    for seed in seeds:
        params = model.init(keys.key(seed), jnp.zeros((1, BATCH, BITS + 1)))
        state = params, optimiser.init(params)
        for i in range(updates // CHUNK):
            state = train(state, jax.random.fold_in(keys.key(seed + 1), i))
        found.append(float(error(state[0], words)))
    return np.array(found)
