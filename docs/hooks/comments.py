"""Comments behind the fields of a class serve as their documentation in the reference.

Short fields are explained on their own line, `params: Any  # of the network`, where a docstring would take two more.
"""

import io
import tokenize
from typing import Any

import griffe


def comment_of(line: str) -> str:
    """The comment at the end of a line of code, without its mark; empty without one, and for those of linters."""
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(line.strip() + "\n").readline))
    except (tokenize.TokenError, SyntaxError):
        return ""
    found = next((token.string for token in tokens if token.type == tokenize.COMMENT), "").lstrip("# ")
    return "" if found.startswith(("noqa", "type:", "fmt:")) else found


class Comments(griffe.Extension):
    """Gives attributes without a docstring the comment of their line."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called by griffe for each attribute that it meets."""
        if attr.docstring is None and attr.lines_collection and attr.lineno and attr.endlineno == attr.lineno:
            found = comment_of(attr.lines_collection[attr.filepath][attr.lineno - 1])
            if found:
                attr.docstring = griffe.Docstring(found, lineno=attr.lineno, parent=attr)
