"""Where code may import from: packages to the left only, rooms of `experiments` likewise, and no circles."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("envs", "networks", "replay", "agents", "experiments")
ROOMS = {
    "drivers": (),
    "reports": (),
    "run": ("drivers", "reports"),
    "parts": ("drivers", "reports", "run"),
    "studies": (),
    "benchmarks": ("drivers", "reports", "run", "parts", "commands"),
    "commands": ("drivers", "reports", "run", "parts", "studies", "benchmarks"),
}
"""What each room of `experiments` may import beside itself; a file of no room is a command."""


def module_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imported(module: str, tree: ast.AST | None = None) -> Iterator[str]:
    """The project's modules that a module imports, within functions too, but not for the type checker alone."""
    tree = tree or ast.parse(MODULES[module].read_text())
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                found = name if name in MODULES else node.module
                if found in MODULES and found != module:
                    yield found
        else:
            yield from imported(module, node)


ARROWS = {module: sorted(set(imported(module))) for module in MODULES}


def room_of(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else "commands"


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_leftwards_only(package):
    allowed = PACKAGES[: PACKAGES.index(package) + 1]
    own = [module for module in MODULES if module.split(".")[0] == package]
    assert own
    wrong = [(module, other) for module in own for other in ARROWS[module] if other.split(".")[0] not in allowed]
    assert wrong == []


def test_rooms_of_experiments_import_in_one_direction():
    for module, others in ARROWS.items():
        if not module.startswith("experiments."):
            continue
        room = room_of(module)
        for other in others:
            if other.startswith("experiments."):
                assert room_of(other) in (room, *ROOMS[room]), f"{module} imports {other}"


def test_no_modules_import_each_other_in_a_circle():
    above: list[str] = []
    done: set[str] = set()

    def visit(module: str) -> None:
        assert module not in above, f"a circle: {' -> '.join([*above[above.index(module) :], module])}"
        if module in done:
            return
        above.append(module)
        for other in ARROWS[module]:
            if MODULES[other].name != "__init__.py":
                visit(other)
        above.pop()
        done.add(module)

    for module in MODULES:
        visit(module)


def test_files_of_experiments_are_commands():
    for module, path in MODULES.items():
        if path.parent == ROOT / "experiments" and path.name != "__init__.py":
            last = ast.parse(path.read_text()).body[-1]
            assert isinstance(last, ast.If) and "__main__" in ast.unparse(last.test), module


def test_files_of_experiments_have_few_arrows_between_them():
    """An `__init__.py` only hands names on, and is no end of an arrow. A room without order has several per file."""
    inside = {m for m, path in MODULES.items() if m.startswith("experiments.") and path.name != "__init__.py"}
    arrows = [(a, b) for a in inside for b in ARROWS[a] if b in inside]
    assert 50 < len(arrows) <= 1.35 * len(inside)
