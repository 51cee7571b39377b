"""The notebooks as pages: text, code and what it printed and drew."""

import base64
import json
import re

from reference import ROOT

SHOWN = 4_000
"""Characters of an output that are shown."""
EQUATION = re.compile(r"^\$\$(.*)\$\$$", re.M)
"""Shown as it is typed, since drawing it would take a script from elsewhere."""


def names() -> list[str]:
    """The notebooks."""
    return sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def pages() -> dict[str, str | bytes]:
    """Pages and pictures, by their place in the site."""
    found: dict[str, str | bytes] = {}
    for name in names():
        text = ""
        for i, cell in enumerate(json.loads((ROOT / "notebooks" / f"{name}.ipynb").read_text())["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                source = EQUATION.sub(lambda found: f"```latex\n{found[1]}\n```", source)
            text += f"{source}\n\n" if cell["cell_type"] == "markdown" else f"```python\n{source}\n```\n\n"
            for j, output in enumerate(cell.get("outputs", [])):
                data = output.get("data", {})
                if "image/png" in data:
                    picture = f"{name}-{i}-{j}.png"
                    found[f"notebooks/{picture}"] = base64.b64decode("".join(data["image/png"]))
                    text += f"![Output of the code above]({picture})\n\n"
                else:
                    plain = "".join(output.get("text", data.get("text/plain", "")))[:SHOWN]
                    text += f"```text\n{plain.rstrip()}\n```\n\n" if plain.strip() else ""
        found[f"notebooks/{name}.md"] = text
    return found
