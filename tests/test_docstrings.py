"""Every public module, class, function and method of the packages says what it is."""

import ast
from collections.abc import Iterator

from tests.test_layers import MODULES


def undocumented(body: ast.Module | ast.ClassDef, name: str) -> Iterator[str]:
    """The public names within a module or a class that have no docstring; functions within functions have no name."""
    for node in body.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield f"{name}.{node.name}"
            if isinstance(node, ast.ClassDef):
                yield from undocumented(node, f"{name}.{node.name}")


def test_public_modules_and_names_are_documented():
    trees = {name: ast.parse(path.read_text()) for name, path in MODULES.items() if "._" not in name}
    assert len(trees) > 200
    assert [name for name, tree in trees.items() if not ast.get_docstring(tree)] == []
    assert [name for module, tree in trees.items() for name in undocumented(tree, module)] == []


def test_what_is_not_documented_is_found():
    code = '"""A module."""\ndef f(): pass\nclass A:\n    """A."""\n    def g(self): pass\n    def _h(self): pass\n'
    assert list(undocumented(ast.parse(code), "m")) == ["m.f", "m.A.g"]
