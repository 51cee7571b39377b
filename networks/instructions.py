"""Networks of skills that take a subtask as their argument, and of what reads a list of instructions.

Oh, Singh, Lee and Kohli, "Zero-shot task generalization with multi-task deep reinforcement learning", ICML 2017. The
embedding of a subtask scales the units of a skill's layers, W' diag(W φ) W'', which is their factored prediction of
weights.
"""

from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from envs.base import Array, Subtasks
from networks.initializers import orthogonal
from networks.text import encoder

Embedding = Literal["table", "parts", "lstm", "bag"]


class Subtask(nn.Module):
    """Embeddings of all subtasks: a "table" of them, a network of their one-hot "parts", or of their sentences."""

    subtasks: Subtasks
    size: int
    words: int  # in the vocabulary of the sentences
    kind: Embedding = "table"

    @nn.compact
    def __call__(self) -> Array:
        """`[subtasks, size]`."""
        if self.kind == "table":
            shape = (int(np.prod(self.subtasks.sizes)), self.size)
            return self.param("table", nn.initializers.normal(0.5), shape)
        if self.kind == "parts":
            which = np.unravel_index(np.arange(np.prod(self.subtasks.sizes)), self.subtasks.sizes)
            parts = [np.eye(size, dtype=np.float32)[i] for size, i in zip(self.subtasks.sizes, which, strict=True)]
            return nn.Dense(self.size)(nn.relu(nn.Dense(2 * self.size)(jnp.asarray(np.concatenate(parts, -1)))))
        return encoder(self.kind, self.words, self.size)(jnp.asarray(self.subtasks.sentences))


class Done(NamedTuple):
    """What a skill says of a state."""

    logits: Array  # [..., A], of its policy
    value: Array  # [...]
    ending: Array  # [...], logit of that the subtask is done here


class Skill(nn.Module):
    """A policy, its value and its ending, for a subtask that is given by its embedding.

    The first layer has the same weights for every thing that is seen, as a convolution has for every place, and things
    count by weights that the embedding gives, which sum to 1; of the second layer the embedding scales the units.
    """

    actions: int
    hidden: int = 64

    @nn.compact
    def __call__(self, seen: Array, subtask: Array) -> Done:
        """`(seen[..., things, D], subtask[..., E]) -> Done [...]`."""
        weight = nn.softmax(nn.Dense(seen.shape[-2], name="weight")(subtask))
        x = nn.relu(nn.Dense(self.hidden, name="first")(jnp.sum(weight[..., None] * seen, axis=-2)))
        scale = 1 + nn.Dense(self.hidden, name="scale")(subtask)
        x = nn.relu(nn.Dense(self.hidden, name="second")(x) * scale)
        heads = nn.Dense(self.actions + 2, name="heads")(x)
        return Done(heads[..., :-2], heads[..., -2], heads[..., -1])


class Memory(NamedTuple):
    """What a meta controller keeps of an episode, `[B, ...]`."""

    c: Array  # of the LSTM
    h: Array
    line: Array  # int32 [B], where in the list it reads
    subtask: Array  # int32 [B], what it last asked for
    asked: Array  # bool [B], whether it has asked for anything


class Chosen(NamedTuple):
    """What a meta controller would do."""

    update: Array  # [B], probability of deciding anew
    shift: Array  # [B, 3], logits of a step back in the list, none and a step on
    logits: Array  # [B, 3, subtasks], of the subtask that it would choose after each of them
    value: Array  # [B]
    c: Array  # of the LSTM, had it decided anew
    h: Array


class Meta(nn.Module):
    """Reads a list through a pointer that moves by -1, 0 or 1, and decides when to choose a subtask anew."""

    subtasks: Subtasks
    words: int
    hidden: int = 64
    size: int = 32  # of the embedding of a line
    kind: Literal["lstm", "bag"] = "bag"
    always: bool = False  # decide anew in every step

    @nn.compact
    def __call__(self, memory: Memory, seen: Array, done: Array, before: Array, lines: Array) -> Chosen:
        """One step.

        Args:
          memory: `[B]`.
          seen: `[B, things, D]`.
          done: `[B]`, 1 where the subtask that was asked for is done.
          before: `[B, E]`, its embedding.
          lines: int32 `[B, lines, L]`.
        """
        read = encoder(self.kind, self.words, self.size)(lines)  # [B, lines, size]
        asked = memory.asked.astype(jnp.float32)[:, None]
        done = done[:, None] * asked
        at = lambda line: jnp.einsum("bl,ble->be", jax.nn.one_hot(line, lines.shape[1]), read)  # noqa: E731
        now = [seen.reshape((seen.shape[0], -1)), done, before * asked, at(memory.line), asked]
        context = nn.relu(nn.Dense(self.hidden, name="context")(jnp.concatenate(now, -1)))
        bias = nn.initializers.constant(-1.0)
        update = nn.Dense(1, name="update", bias_init=bias)(jnp.concatenate([context, memory.h, done], -1))[:, 0]
        update = jnp.where(memory.asked & (not self.always), nn.sigmoid(update), 1.0)
        (c, h), _ = nn.OptimizedLSTMCell(self.hidden, recurrent_kernel_init=orthogonal(), name="memory")(
            (memory.c, memory.h), context
        )
        shift = nn.Dense(3, name="shift")(jnp.concatenate([h, done], -1)) + jnp.array([[0.0, 2.0, 0.0]])
        shift = jnp.where(memory.asked[:, None], shift, jnp.array([[-1e9, 0.0, -1e9]]))
        parts = [nn.Dense(size, name=f"parameter_{i}") for i, size in enumerate(self.subtasks.sizes)]
        aside = nn.Dense(int(np.prod(self.subtasks.sizes)), name="aside", kernel_init=nn.initializers.zeros)(h)
        after = [at(moved(memory.line, step, lines.shape[1])) for step in (-1, 0, 1)]
        logits = jnp.stack([_joined([part(told) for part in parts]) + aside for told in after], axis=1)
        value = nn.Dense(1, name="value")(nn.relu(nn.Dense(self.hidden, name="worth")(context)))
        return Chosen(update, shift, logits, value[:, 0], c, h)

    @nn.nowrap
    def begin(self, batch: int) -> Memory:
        """At the first line, with nothing asked for yet."""
        zeros, none = jnp.zeros((batch, self.hidden)), jnp.zeros(batch, jnp.int32)
        return Memory(zeros, zeros, none, none, jnp.zeros(batch, bool))


def _joined(parts: list[Array]) -> Array:
    """Logits of all combinations from those of each part, `[B, product of sizes]`, the last part's fastest."""
    logits = parts[0]
    for part in parts[1:]:
        logits = (logits[..., None] + part[:, None, :]).reshape((logits.shape[0], -1))
    return logits


def moved(line: Array, step: int | Array, lines: int) -> Array:
    """The line after a step of -1, 0 or 1; at either end the pointer stays."""
    return jnp.clip(line + step, 0, lines - 1)


def named(subtasks: Subtasks, line: Array) -> Array:
    """The subtask of a line of text, `[..., L] -> int32 [...]`; 0 for a line that names none."""
    table: Any = jnp.asarray(subtasks.sentences)
    same = line[..., None, :] == table.reshape((1,) * (line.ndim - 1) + table.shape)
    return jnp.argmax(jnp.all(same, axis=-1), axis=-1).astype(jnp.int32)
