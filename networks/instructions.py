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
    pointer: Array  # [B, lines], where in the list it reads, a distribution
    subtask: Array  # int32 [B], what it last asked for
    asked: Array  # bool [B], whether it has asked for anything


class Chosen(NamedTuple):
    """What a meta controller would do."""

    update: Array  # [B], how far it decides anew
    logits: Array  # [B, subtasks], of the subtask that it would then choose
    value: Array  # [B]


class Meta(nn.Module):
    """Reads a list through a pointer that moves by -1, 0 or 1, and decides when to choose a subtask anew.

    Where the decision c is less than 1, pointer and memory are mixed with what they were. With `hard` c is 0 or 1, and
    the pointer is on one line.
    """

    subtasks: Subtasks
    words: int
    hidden: int = 64
    size: int = 32  # of the embedding of a line
    kind: Literal["lstm", "bag"] = "bag"
    always: bool = False  # decide anew in every step

    @nn.compact
    def __call__(
        self, memory: Memory, seen: Array, done: Array, before: Array, lines: Array, hard: bool = False
    ) -> tuple[Chosen, Memory]:
        """One step; `memory.subtask` is left to whoever draws it.

        Args:
          memory: `[B]`.
          seen: `[B, things, D]`.
          done: `[B]`, 1 where the subtask that was asked for is done.
          before: `[B, E]`, its embedding.
          lines: int32 `[B, lines, L]`.
          hard: whether to decide, and to point, for good.
        """
        read = encoder(self.kind, self.words, self.size)(lines)  # [B, lines, size]
        asked = memory.asked.astype(jnp.float32)[:, None]
        told = jnp.einsum("bl,ble->be", memory.pointer, read)
        now = [seen.reshape((seen.shape[0], -1)), done[:, None] * asked, before * asked, told, asked]
        context = nn.relu(nn.Dense(self.hidden, name="context")(jnp.concatenate(now, -1)))
        with_memory = jnp.concatenate([context, memory.h], -1)
        bias = nn.initializers.constant(-1.0)
        update = nn.sigmoid(nn.Dense(1, name="update", bias_init=bias)(with_memory)[:, 0])
        update = jnp.where(memory.asked & (not self.always), update, 1.0)
        if hard:
            update = (update > 0.5).astype(jnp.float32)
        (c, h), _ = nn.OptimizedLSTMCell(self.hidden, name="memory")((memory.c, memory.h), context)
        shift = nn.softmax(nn.Dense(3, name="shift")(h))
        if hard:
            shift = jax.nn.one_hot(jnp.argmax(shift, -1), 3)
        pointer = jnp.where(memory.asked[:, None], moved(memory.pointer, shift), memory.pointer)
        mix = lambda new, old: update[:, None] * new + (1 - update[:, None]) * old  # noqa: E731
        c, h, pointer = (mix(*pair) for pair in zip((c, h, pointer), memory[:3], strict=True))
        told = jnp.einsum("bl,ble->be", pointer, read)
        final = jnp.concatenate([h, told], -1)
        parts = [nn.Dense(size, name=f"parameter_{i}")(told) for i, size in enumerate(self.subtasks.sizes)]
        logits = parts[0]
        for part in parts[1:]:
            logits = (logits[..., None] + part[:, None, :]).reshape((logits.shape[0], -1))
        free = nn.Dense(logits.shape[-1], name="otherwise", kernel_init=nn.initializers.zeros)(
            nn.relu(nn.Dense(self.hidden, name="aside")(jnp.concatenate([context, h], -1)))
        )
        value = nn.Dense(1, name="value")(
            nn.relu(nn.Dense(self.hidden, name="worth")(jnp.concatenate([context, final], -1)))
        )
        after = Memory(c, h, pointer, memory.subtask, jnp.ones_like(memory.asked))
        return Chosen(update, logits + free, value[:, 0]), after

    @nn.nowrap
    def begin(self, batch: int, lines: int) -> Memory:
        """At the first line, with nothing asked for yet."""
        zeros = jnp.zeros((batch, self.hidden))
        pointer = jnp.broadcast_to(jnp.eye(lines)[0], (batch, lines))
        return Memory(zeros, zeros, pointer, jnp.zeros(batch, jnp.int32), jnp.zeros(batch, bool))


def moved(pointer: Array, shift: Array) -> Array:
    """A pointer after a shift.

    Args:
      pointer: probabilities of the lines, `[B, lines]`.
      shift: of a step back, none and a step on, `[B, 3]`; at either end the pointer stays.

    Returns:
      `[B, lines]`.
    """
    back = jnp.concatenate([pointer[:, 1:], jnp.zeros_like(pointer[:, :1])], -1).at[:, 0].add(pointer[:, 0])
    on = jnp.concatenate([jnp.zeros_like(pointer[:, :1]), pointer[:, :-1]], -1).at[:, -1].add(pointer[:, -1])
    return shift[:, :1] * back + shift[:, 1:2] * pointer + shift[:, 2:] * on


def named(subtasks: Subtasks, line: Array) -> Array:
    """The subtask of a line of text, `[..., L] -> int32 [...]`; 0 for a line that names none."""
    table: Any = jnp.asarray(subtasks.sentences)
    same = line[..., None, :] == table.reshape((1,) * (line.ndim - 1) + table.shape)
    return jnp.argmax(jnp.all(same, axis=-1), axis=-1).astype(jnp.int32)
