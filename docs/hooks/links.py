"""Links of the repository's pages to files that lie outside docs/ lead to those files' pages in the site.

The pages under docs/ are read in the repository too, where such a link opens the file.
"""

import posixpath
import re
from functools import cache

import commands
import notebook_pages
import reference
from reference import ROOT

LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
FENCE = re.compile(r"^(```.*?^```)", re.M | re.S)


def outside(text: str, folder: str) -> set[str]:
    """Files of the repository outside docs/ that a page links to.

    Args:
      text: of the page.
      folder: that it lies in, from the root of the repository.
    """
    targets = {posixpath.normpath(posixpath.join(folder, target)) for target, _ in LINK.findall(text) if local(target)}
    return {target for target in targets if not target.startswith(("docs/", "..")) and (ROOT / target).is_file()}


def local(target: str) -> bool:
    """Whether a link leads to a file."""
    return ":" not in target and not target.startswith("/")


@cache
def page_of(path: str) -> str:
    """The page of the site that shows a file of the repository outside docs/."""
    modules = reference.pages()
    name, _, ending = posixpath.basename(path).partition(".")
    if path in modules:
        return modules[path]
    if path == f"experiments/{name}.py" and name in commands.names():
        return f"commands/{name}.md"
    if path.startswith("notebooks/") and name in notebook_pages.names() and ending in ("md", "ipynb"):
        return f"notebooks/{name}.md"
    return {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}.get(path, f"source/{path}.md")


def rewritten(text: str, folder: str, page: str) -> str:
    """A page's text whose links to files outside docs/ lead to their pages.

    Args:
      text: of the page.
      folder: that its links start from, from the root of the repository.
      page: its place in the site.
    """

    def lead(match: re.Match[str]) -> str:
        target, anchor = match[1], match[2] or ""
        path = posixpath.normpath(posixpath.join(folder, target))
        if not local(target) or not (ROOT / path).is_file():
            return match[0]
        place = path.removeprefix("docs/") if path.startswith("docs/") else page_of(path)
        return posixpath.relpath(place, posixpath.dirname(page) or ".") + anchor

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in parts)


def source_page(path: str) -> str:
    """A page that shows a file as it is."""
    language = {"py": "python", "md": "markdown", "toml": "toml", "json": "json"}.get(path.rpartition(".")[2], "text")
    code = f"`````{language}\n{(ROOT / path).read_text().rstrip()}\n`````\n"
    return f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n{code}"
