"""Texts as arrays, and templates with combinations that are held out."""

import numpy as np
import pytest

from envs import text
from envs.text import Template

PICK = Template("pick up the {colour} {thing}", {"colour": ("red", "blue"), "thing": ("ball", "key", "box")})


def test_a_text_comes_back_from_its_numbers():
    known = text.vocabulary(["Go to the red ball, then open a door"])
    assert known.words[:3] == ("", "?", ",") and known.entry == "instruction"
    tokens = text.encode(known, "open the RED door,", 7)
    assert tokens.dtype == np.int32 and (tokens[5:] == text.PADDING).all() and (tokens[:5] > text.UNKNOWN).all()
    assert text.decode(known, tokens) == "open the red door ,"
    small = text.encode(known, "open the green door", 4, np.uint8)
    assert small.dtype == np.uint8 and small[2] == text.UNKNOWN and text.decode(known, small) == "open the ? door"
    space = text.space(known, 7, np.uint8)
    assert (space.shape, space.low, space.high, space.dtype) == ((7,), 0, len(known.words) - 1, np.uint8)


def test_sentences_of_a_template():
    made, known = text.sentences(PICK, unseen=2)
    assert made.texts[1] == "pick up the red key" and made.combination[1].tolist() == [0, 1]
    assert made.tokens.shape == (6, 5) and len(known.words) == 10
    assert [text.decode(known, row) for row in made.tokens] == list(made.texts)
    other, same = text.sentences(Template("the {thing}", {"thing": ("key",)}), known, length=3)
    assert same == known and text.decode(known, other.tokens[0]) == "the key" and other.tokens.shape == (1, 3)


@pytest.mark.parametrize(("sizes", "number"), [((3, 8), 8), ((2, 3, 4), 9), ((2, 2), 2), ((4, 5), 5), ((6,), 0)])
def test_what_is_held_out_leaves_every_value_for_training(sizes, number):
    out = text.held_out(sizes, number).reshape(sizes)
    assert out.sum() == number
    for axis in range(len(sizes)):
        others = tuple(a for a in range(len(sizes)) if a != axis)
        assert (~out).any(axis=others).all()
        counts = out.sum(axis=others)
        assert counts.max() - counts.min() <= 1, "spread evenly"


def test_errors_name_what_is_wrong():
    known = text.vocabulary(["one two three"])
    with pytest.raises(ValueError, match="text 'one two three' has 3 words; allowed: at most 2"):
        text.encode(known, "one two three", 2)
    with pytest.raises(ValueError, match="dtype: uint8 is too small for a vocabulary of 302"):
        text.encode(text.vocabulary([f"w{i}" for i in range(300)]), "w1", 2, np.uint8)
    with pytest.raises(ValueError, match="unseen: 3 combinations cannot be held out; each value"):
        text.held_out((2, 2), 3)
    with pytest.raises(ValueError, match="unseen: 6 combinations cannot be held out of 6"):
        text.held_out((2, 3), 6)
