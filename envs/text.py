"""Texts as arrays of numbers, and sentences of templates of which some combinations are held out.

A text is its words in order, each by its number in a vocabulary, then zeros up to a fixed length. So it is an array
like any other to environments, replays and drivers; `networks.text` reads it.
"""

import re
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from envs.base import Box, Vocabulary

PADDING, UNKNOWN = 0, 1
Number = type[np.int32] | type[np.uint8]


def split(text: str) -> list[str]:
    """The words of a text, in lower case; every mark of punctuation is a word of its own."""
    return re.findall(r"\w+|[^\w\s]", text.lower())


def vocabulary(texts: Iterable[str], entry: str = "instruction") -> Vocabulary:
    """The words of all texts in alphabetical order, numbered from 2 on.

    Args:
      texts: sentences, or words.
      entry: of the observation that will hold the text.
    """
    return Vocabulary(entry, ("", "?", *sorted({word for text in texts for word in split(text)})))


def encode(known: Vocabulary, text: str, length: int, dtype: Number = np.int32) -> np.ndarray:
    """The numbers of a text's words, `[length]`, padded with 0; 1 for a word that is not known.

    Args:
      known: the vocabulary.
      text: a sentence.
      length: at least the number of its words.
      dtype: int32 or uint8.

    Raises:
      ValueError: the text has more words, or the vocabulary has more than `dtype` counts.
    """
    words = split(text)
    if len(words) > length:
        raise ValueError(f"text {text!r} has {len(words)} words; allowed: at most {length}")
    if len(known.words) - 1 > np.iinfo(dtype).max:
        raise ValueError(f"dtype: {np.dtype(dtype)} is too small for a vocabulary of {len(known.words)}")
    number = {word: i for i, word in enumerate(known.words)}
    tokens = np.full(length, PADDING, dtype)
    tokens[: len(words)] = [number.get(word, UNKNOWN) for word in words]
    return tokens


def decode(known: Vocabulary, tokens: Any) -> str:
    """The words of an array `[length]`, with a space between them; padding is left out."""
    return " ".join(known.words[int(token)] for token in np.asarray(tokens) if token != PADDING)


def space(known: Vocabulary, length: int, dtype: Number = np.int32) -> Box:
    """The space of texts of at most `length` words."""
    return Box((length,), 0, len(known.words) - 1, dtype)


class Template(NamedTuple):
    """A sentence with gaps, such as `Template("pick up the {colour} {thing}", {"colour": (...), "thing": (...)})`."""

    pattern: str
    slots: dict[str, tuple[str, ...]]  # the words that may fill each gap

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many words each gap has to choose from, in the order of `slots`."""
        return tuple(len(words) for words in self.slots.values())


class Sentences(NamedTuple):
    """All sentences of a template, in the order of their combinations, the last gap's words fastest."""

    texts: tuple[str, ...]
    tokens: np.ndarray  # [sentences, length]
    combination: np.ndarray  # int32 [sentences, slots], which word fills each gap
    held_out: np.ndarray  # bool [sentences], not for training


def sentences(
    template: Template, known: Vocabulary | None = None, length: int | None = None, unseen: int = 0
) -> tuple[Sentences, Vocabulary]:
    """Every sentence that a template makes, and the vocabulary in which they are numbered.

    Args:
      template: the sentence with gaps.
      known: a vocabulary; None makes one of the sentences.
      length: of the arrays; None for the longest sentence's.
      unseen: how many combinations are held out, see `held_out`.

    Raises:
      ValueError: see `encode` and `held_out`.
    """
    combination = np.array(list(product(*map(range, template.sizes))), np.int32)
    fill = lambda row: {name: words[i] for (name, words), i in zip(template.slots.items(), row, strict=True)}  # noqa: E731
    texts = tuple(template.pattern.format(**fill(row)) for row in combination)
    known = known or vocabulary(texts)
    length = max(len(split(text)) for text in texts) if length is None else length
    tokens = np.stack([encode(known, text, length) for text in texts])
    return Sentences(texts, tokens, combination, held_out(template.sizes, unseen)), known


def held_out(sizes: Sequence[int], number: int) -> np.ndarray:
    """Which combinations are kept from training, spread so that every single value is still trained on.

    One after the other is taken whose values have been held out least often, the first of several in an order along the
    diagonals; so of 3 verbs and 8 objects, 8 held out, every object lacks one verb and no verb more than three objects.

    Args:
      sizes: how many values each part of a combination has.
      number: of combinations that are held out.

    Returns:
      bool `[product of sizes]`, True where held out.

    Raises:
      ValueError: so many cannot be held out with every value left in some combination.
    """
    combination = np.array(list(product(*map(range, sizes))))
    if not 0 <= number < len(combination):
        raise ValueError(f"unseen: {number} combinations cannot be held out of {len(combination)}")
    spread = (combination[:, :-1].sum(1) - combination[:, -1]) % max(sizes)
    out = np.zeros(len(combination), bool)
    counts = [np.zeros(size) for size in sizes]
    for _ in range(number):
        left = [np.bincount(combination[~out, k], minlength=size) for k, size in enumerate(sizes)]
        free = ~out & np.all([left[k][combination[:, k]] > 1 for k in range(len(sizes))], axis=0)
        if not free.any():
            raise ValueError(f"unseen: {number} combinations cannot be held out; each value must stay in some other")
        load = np.sum([counts[k][combination[:, k]] * sizes[k] for k in range(len(sizes))], axis=0)
        best = np.lexsort((combination[:, 0], spread, np.where(free, load, np.inf)))[0]
        out[best] = True
        for k in range(len(sizes)):
            counts[k][combination[best, k]] += 1
    return out
