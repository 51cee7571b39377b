"""What MkDocs calls: adds the pages that are made while the site is built, and leads links to them."""

import posixpath
from typing import Any

import commands
import folding
import links
import notebook_pages
import reference
from mkdocs.structure.files import File, Files, InclusionLevel
from reference import ROOT

RESULTS = ROOT / "docs" / "results"


def on_config(config: Any) -> None:
    """Fills the parts of the navigation that are made here."""
    made = {"Commands": command_entries(), "Reference": reference_entries(), "Evidence": evidence_entries()}
    for section in config.nav:
        for name, entry in section.items():
            if entry == "generated":
                section[name] = made[name]


def command_entries() -> list[Any]:
    """Systems, then tools."""
    return ["commands/index.md", *({name: f"commands/{name}.md"} for name in commands.names())]


def reference_entries() -> list[Any]:
    """Modules as a tree, each package with its own page first."""
    entries: list[Any] = ["reference/index.md"]
    for room in reference.ROOMS:
        entries.append({room.replace("/", "."): below(room)})
    return entries


def below(folder: str) -> list[Any]:
    """The modules of a package."""
    found: list[Any] = [f"reference/{folder}/index.md"]
    for path in sorted((ROOT / folder).iterdir(), key=lambda path: (path.is_file(), path.name)):
        if (path / "__init__.py").exists():
            found.append({path.name: below(f"{folder}/{path.name}")})
        elif path.suffix == ".py" and path.stem != "__init__":
            found.append({path.stem: f"reference/{folder}/{path.stem}.md"})
    return found


def evidence_entries() -> list[Any]:
    """The pages of docs/results by their titles, and the notebooks."""
    titles = {path: path.read_text().partition("\n")[0].strip("# ") for path in sorted(RESULTS.rglob("*.md"))}
    titles.pop(RESULTS / "README.md", None)
    places = {f"results/{path.relative_to(RESULTS).as_posix()}": title for path, title in titles.items()}
    entries = [{title: place} for place, title in sorted(places.items(), key=lambda pair: pair[1].lower())]
    notebooks = [{name: f"notebooks/{name}.md"} for name in notebook_pages.names()]
    return ["results/README.md", *entries, {"Notebooks": notebooks}]


def on_files(files: Files, config: Any) -> Files:
    """Adds the pages that are made here to those that were written."""
    made: dict[str, str | bytes] = {place: reference.markdown(path) for path, place in reference.pages().items()}
    made |= commands.pages() | notebook_pages.pages()
    made["reference/index.md"] = rooms_page()
    if not (RESULTS / "README.md").exists():
        made["results/README.md"] = evidence_page()
    made["contributing.md"] = (ROOT / "CONTRIBUTING.md").read_text()
    texts = {file.src_uri: file.content_string for file in files.documentation_pages()} | made
    seen = [links.outside(str(text), origin(place)) for place, text in texts.items() if origin(place)]
    paths = set().union(*seen)
    shown = {links.page_of(path): links.shown(path) for path in paths if links.page_of(path) not in made}
    for place, content in (made | shown).items():
        level = InclusionLevel.NOT_IN_NAV if place in shown else InclusionLevel.INCLUDED
        files.append(File.generated(config, place, content=content, inclusion=level))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Leads a page's links to files outside docs/ to their pages, and folds its long commands."""
    place = page.file.src_uri
    return folding.folded(links.rewritten(markdown, origin(place), place) if origin(place) else markdown)


def origin(place: str) -> str:
    """The folder of the repository that a page's links start from; empty for pages that are made for the site."""
    first = place.partition("/")[0]
    if first in ("commands", "reference", "source"):
        return ""
    if place == "contributing.md":
        return "."
    return "notebooks" if first == "notebooks" else posixpath.join("docs", posixpath.dirname(place))


def rooms_page() -> str:
    """The front page of the reference."""
    rows = []
    for room in reference.ROOMS:
        line = reference.first_line(ROOT / room / "__init__.py")
        rows.append(f"| [`{room.replace('/', '.')}`]({room}/index.md) | {reference.cell(line)} |")
    about = "Every public function and class, from its docstring. A package imports only from those above it.\n\n"
    return f"# Reference\n\n{about}| package | what is in it |\n|---|---|\n" + "\n".join(rows) + "\n"


def evidence_page() -> str:
    """The front page of the evidence."""
    about = (
        "Each page says what was measured, with the command, the seeds, the steps, the interval and a figure of the "
        "paper or of another library beside it, and what fell short.\n\n"
    )
    rows = []
    for name, line in commands.listing.systems().items():
        place = commands.listing.page_of(name).removeprefix("docs/results/")
        if place:
            rows.append(f"| [`{name}`]({place}) | {reference.cell(line)} |")
    return f"# Evidence\n\n{about}| system | what it trains |\n|---|---|\n" + "\n".join(rows) + "\n"
