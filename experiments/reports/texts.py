"""Text from files that anybody may have written, as it may be shown on a terminal or in a plot."""

from typing import Any

MOST = 80


def plain(value: Any, most: int = MOST) -> str:
    """A value in one line of printable characters, at most `most` of them.

    Control characters, among them those that move the cursor or colour a terminal, are shown as escapes.
    """
    text = str(value[: 4 * most]) if isinstance(value, str | list | tuple) else str(value)
    text = text[: 4 * most]
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."
