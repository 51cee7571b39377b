"""The reference: a page for each module, made of its docstrings, and for each package what it hands on."""

import ast
import inspect
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("envs", "networks", "replay", "agents", "experiments/drivers", "experiments/run")
"""Packages whose modules have pages."""


def pages() -> dict[str, str]:
    """The page of each module of the rooms, by the module's path in the repository."""
    paths = [path.relative_to(ROOT).as_posix() for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]
    return {path: f"reference/{path.removesuffix('.py').replace('__init__', 'index')}.md" for path in paths}


def markdown(path: str) -> str:
    """The text of a module's page."""
    name = path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
    if not path.endswith("__init__.py"):
        return f"::: {name}\n    options: {{heading_level: 1}}\n\n{source(path)}"
    page = f"::: {name}\n    options: {{heading_level: 1, members: []}}\n"
    names = [f"| [`{name}`][{where}] | {cell(line)} |" for name, where, line in handed_on(path)]
    if names:
        page += "\n## Names that it hands on\n\n| name | what it is |\n|---|---|\n" + "\n".join(names) + "\n"
    folder = (ROOT / path).parent
    inside = [*folder.glob("[!_]*.py"), *folder.glob("*/__init__.py")]
    rows = [f"| {link(file, folder)} | {cell(first_line(file))} |" for file in sorted(inside)]
    return page + "\n## Modules\n\n| module | what is in it |\n|---|---|\n" + "\n".join(rows) + "\n"


def source(path: str) -> str:
    """A section that shows a module's code, which the site's search leaves out."""
    return f'## Source {{ data-search-exclude }}\n\n`````python title="{path}"\n{(ROOT / path).read_text()}`````\n'


def link(file: Path, folder: Path) -> str:
    """A link to a module's page from that of its package."""
    below = file.relative_to(folder).as_posix().removesuffix(".py")
    return f"[`{below.removesuffix('/__init__')}`]({below.replace('__init__', 'index')}.md)"


def cell(text: str) -> str:
    """Text as a cell of a table."""
    return text.replace("|", "\\|").replace("\n", " ")


def first_line(file: Path) -> str:
    """Of a module's documentation."""
    return (ast.get_docstring(ast.parse(file.read_text())) or "").partition("\n")[0]


def handed_on(path: str) -> list[tuple[str, str, str]]:
    """The names in a package's `__all__`: name, where it is defined, the first line of its documentation."""
    tree = ast.parse((ROOT / path).read_text())
    imports = [node for node in tree.body if isinstance(node, ast.ImportFrom) and node.module]
    sources = {alias.asname or alias.name: (node.module, alias.name) for node in imports for alias in node.names}
    found = []
    for name in names_of(tree):
        module, own = sources[name]
        file = ROOT / f"{str(module).replace('.', '/')}.py"
        line = documented(ast.parse(file.read_text()), own) if file.exists() else ""
        if not file.exists():  # the package hands on a module
            line = first_line(ROOT / str(module).replace(".", "/") / f"{own}.py")
        found.append((name, f"{module}.{own}", line))
    return sorted(found, key=lambda row: row[0].lower())


def names_of(tree: ast.Module) -> list[str]:
    """What `__all__` holds; nothing without one."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


def documented(tree: ast.Module, name: str) -> str:
    """The first line of what a module says of a name that it defines; of an undocumented constant, its value."""
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return text_of(after).partition("\n")[0] or f"`{ast.unparse(node)}`"
    return ""


def text_of(node: ast.AST | None) -> str:
    """A docstring that stands behind an assignment; empty if the statement is none."""
    value = node.value if isinstance(node, ast.Expr) else None
    return inspect.cleandoc(value.value) if isinstance(value, ast.Constant) and isinstance(value.value, str) else ""
