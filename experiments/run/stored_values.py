"""Values of flags as JSON holds them, turned back into what the flags' types say."""

import math
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from experiments.run import ranges

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}


def fitted(kind: Any, value: Any) -> Any:
    """A value of the type `kind`: a list becomes a tuple, a whole number a real one where that is meant.

    Numbers that are not finite are null in JSON; where a flag can be infinite, null is infinity.

    Raises:
      ValueError: it is of another type; the text says what is allowed.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        infinite = any(isinstance(note, ranges.Range) and note.infinite for note in parts[1:])
        if infinite and (value is None or value == math.inf):
            return math.inf
        try:
            return fitted(parts[0], value)
        except ValueError:
            pass
    elif origin in (Union, UnionType):
        for part in parts:
            try:
                return fitted(part, value)
            except ValueError:
                continue
    elif origin is Literal:
        if any(value == word and type(value) is type(word) for word in parts):
            return value
    elif origin is tuple:
        if isinstance(value, list | tuple):
            try:
                return tuple(fitted(parts[0], each) for each in value)
            except ValueError:
                pass
    elif kind is float:
        if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MOST_FLOAT:
            return float(value)
    elif type(value) is kind or (kind is NoneType and value is None):
        return value
    raise ValueError(allowed(kind))


MOST_FLOAT = int(1.7e308)


def allowed(kind: Any) -> str:
    """What values a type has, in words."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        infinite = any(isinstance(note, ranges.Range) and note.infinite for note in parts[1:])
        return allowed(parts[0]) + (", or null for no limit" if infinite else "")
    if origin in (Union, UnionType):
        return " or ".join(map(allowed, parts))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple:
        return f"a list, each {allowed(parts[0])}"
    return WORDS.get(kind, str(kind))
