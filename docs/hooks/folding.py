"""Long commands are folded before a flag, as one would type them, so that they can be read without scrolling."""

import re

BLOCK = re.compile(r"^(```(?:bash|sh)\n)(.*?)(^```)", re.M | re.S)
WIDTH = 96


def folded(text: str) -> str:
    """A page's text with its blocks of commands folded."""
    lines = lambda block: "\n".join(map(fold, block.split("\n")))  # noqa: E731
    return BLOCK.sub(lambda found: found[1] + lines(found[2]) + found[3], text)


def fold(line: str) -> str:
    """A command on lines that a shell reads as one; what has a comment, or is folded already, stays as it is."""
    if len(line) <= WIDTH or " #" in line or line.endswith("\\"):
        return line
    first, *flags = line.split(" --")
    rows = [first]
    for flag in flags:
        if len(rows[-1]) + len(flag) + 5 > WIDTH:
            rows.append("   ")
        rows[-1] += f" --{flag}"
    return " \\\n".join(rows)
