"""Types of numeric flags, which say what values a flag can have; `check` holds a config to them.

A flag is declared with one of these in place of `float` or `int`::

    learning_rate: ranges.Positive = 1e-3

so that the command line, presets, sweeps, a config.json that was edited and Python all refuse the same values.
"""

import dataclasses
import math
from collections.abc import Iterator
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

MOST = 1e20
"""Magnitude above which a real number is refused: products of a few of them are no longer finite in float32."""
MOST_COUNT = 2**31 - 1
"""Counts are 32-bit integers in the compiled programs."""


class Range(NamedTuple):
    """The values a number can have."""

    low: float
    high: float
    above: bool = False
    """The lowest value itself is not allowed."""
    infinite: bool = False
    """Infinity is allowed, and means that there is no bound."""

    def allows(self, value: float) -> bool:
        """Whether `value` is one of them; NaN never is."""
        if math.isinf(value):
            return self.infinite and value > 0
        return self.low <= value <= self.high and not (self.above and value == self.low)

    def __str__(self) -> str:
        least = f"above {self.low:g}" if self.above else f"at least {self.low:g}"
        if self.infinite:
            return f"{least}, or inf"
        return f"{least} and at most {self.high:g}" if self.high <= 1 else least


Positive = Annotated[float, Range(0, MOST, above=True)]
NonNegative = Annotated[float, Range(0, MOST)]
Real = Annotated[float, Range(-MOST, MOST)]
Unit = Annotated[float, Range(0, 1)]
"""A probability, a discount, or another part of a whole."""
Share = Annotated[float, Range(0, 1, above=True)]
Limit = Annotated[float, Range(0, MOST, above=True, infinite=True)]
"""What something is limited to; infinity for no limit."""
Count = Annotated[int, Range(1, MOST_COUNT)]
Whole = Annotated[int, Range(0, MOST_COUNT)]
"""A count that can be 0."""
Pair = Annotated[int, Range(2, MOST_COUNT)]
"""A count of at least two."""
Steps = Annotated[int, Range(1, 10**12)]
"""Environment steps, which the host counts."""


def declared(kind: object) -> tuple[type | None, Range | None]:
    """What a flag's type says: the kind of number, None for a flag that is none, and its range, if one is declared.

    A type such as `Positive | None` or `tuple[Count, ...]` is what its numbers are.
    """
    if get_origin(kind) is Annotated:
        number, *notes = get_args(kind)
        return declared(number)[0], next((note for note in notes if isinstance(note, Range)), None)
    if get_origin(kind) in (Union, UnionType, tuple):
        found = [declared(part) for part in get_args(kind)]
        return next((pair for pair in found if pair[0] is not None), (None, None))
    return (kind if kind in (int, float) else None), None


def numbers(kind: type[Any], prefix: str = "") -> Iterator[tuple[str, type, Range | None]]:
    """The numeric flags of a dataclass, nested ones as `agent.name`: name, `int` or `float`, and range."""
    hints = get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        if dataclasses.is_dataclass(hints[field.name]):
            yield from numbers(hints[field.name], f"{prefix}{field.name}.")
        else:
            number, allowed = declared(hints[field.name])
            if number is not None:
                yield prefix + field.name, number, allowed


def fault(value: object, allowed: Range | None) -> str | None:
    """What is wrong with a flag's value, as the end of a sentence; None if nothing is.

    Args:
      value: a number, a tuple of numbers, or None; what is traced passes, since its values were checked before.
      allowed: its range.
    """
    if allowed is None:
        return None
    values = value if isinstance(value, tuple) else (value,)
    bad = [x for x in values if isinstance(x, int | float) and not isinstance(x, bool) and not allowed.allows(x)]
    if not bad:
        return None
    return f"must be at most {allowed.high:.10g}" if allowed.high < bad[0] else f"must be {allowed}"


def check(config: object) -> None:
    """Refuses numbers that lie outside of their flag's range.

    Raises:
      ValueError: naming the flag, its value and what is allowed.
    """
    for name, _, allowed in numbers(type(config)):
        value = config
        for part in name.split("."):
            value = getattr(value, part)
        wrong = fault(value, allowed)
        if wrong:
            shown = " ".join(map(str, value)) if isinstance(value, tuple) else value
            raise ValueError(f"--{name.replace('_', '-')} {shown}: {wrong}")


WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", NoneType: "null"}


def fitted(kind: object, value: object) -> Any:
    """A value of the type `kind`: a list becomes a tuple, a whole number a real one where that is meant.

    Numbers that are not finite are null in JSON; where a flag can be infinite, null is infinity.

    Raises:
      ValueError: it is of another type; the text says what is allowed.
    """
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        infinite = any(isinstance(note, Range) and note.infinite for note in parts[1:])
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
        infinite = any(isinstance(note, Range) and note.infinite for note in parts[1:])
        return allowed(parts[0]) + (", or null for no limit" if infinite else "")
    if origin in (Union, UnionType):
        return " or ".join(map(allowed, parts))
    if origin is Literal:
        return f"one of {', '.join(map(str, parts))}"
    if origin is tuple:
        return f"a list, each {allowed(parts[0])}"
    return WORDS.get(kind, str(kind))
