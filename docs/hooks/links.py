"""Links of the repository's pages to folders, and to files outside docs/, lead to pages of the site that show them.

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
    """Folders of the repository, and files of it outside docs/, that a page links to.

    Args:
      text: of the page.
      folder: that it lies in, from the root of the repository.
    """
    targets = {posixpath.normpath(posixpath.join(folder, target)) for target, _ in LINK.findall(text) if local(target)}
    targets = {target for target in targets if not target.startswith("..")}
    files = {target for target in targets if not target.startswith("docs/") and (ROOT / target).is_file()}
    return files | {target for target in targets if (ROOT / target).is_dir()}


def local(target: str) -> bool:
    """Whether a link leads to a file."""
    return ":" not in target and not target.startswith("/")


@cache
def page_of(path: str) -> str:
    """The page of the site that shows a folder of the repository, or a file of it outside docs/."""
    if (ROOT / path).is_dir():
        return f"source/{path}/index.md"
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
        if not local(target) or path.startswith("..") or not (ROOT / path).exists():
            return match[0]
        shown = path.startswith("docs/") and (ROOT / path).is_file()
        place = path.removeprefix("docs/") if shown else page_of(path)
        return posixpath.relpath(place, posixpath.dirname(page) or ".") + anchor

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(lead, part) for part in parts)


def shown(path: str) -> str:
    """A page that shows a file as it is, or lists the files of a folder; those under docs/ are part of the site."""
    head = f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n"
    if (ROOT / path).is_file():
        language = {"py": "python", "md": "markdown", "toml": "toml", "json": "json"}.get(
            path.rpartition(".")[2], "text"
        )
        return f"{head}`````{language}\n{(ROOT / path).read_text().rstrip()}\n`````\n"
    above, lines = "../" * (path.count("/") + 2), []
    for file in sorted((ROOT / path).iterdir()):
        linked = file.is_file() and path.startswith("docs/")
        place = f"{above}{path}/{file.name}".replace("docs/", "", 1)
        lines.append(f"- [{file.name}]({place})" if linked else f"- `{file.name}`")
    return head + "\n".join(lines) + "\n"
