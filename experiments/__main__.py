"""The command `bellmax NAME ...`, which is `python -m experiments.NAME ...`; without a name it lists what there is."""

import importlib.util
import sys
from importlib import import_module
from pathlib import Path

from experiments import run


def main(argv: list[str] | None = None) -> object:
    """Runs the command that the first word names.

    bellmax's own packages are found before those of the folder that the command is run in, that folder's modules after
    them: a task `my_tasks:corridor` or `gymnasium/my_tasks:Corridor-v0` may lie there.
    """
    name, *rest = (sys.argv[1:] if argv is None else argv) or ["list"]
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
    if name in ("-h", "--help"):
        name, rest = "list", ["experiments"]
    if not name.isidentifier() or importlib.util.find_spec(f"experiments.{name}") is None:
        run.fail(f"{name}: no command of bellmax; `bellmax list experiments` prints them")
    module = import_module(f"experiments.{name}")
    if not hasattr(module, "main"):
        run.fail(f"{name}: no command of bellmax; `bellmax list experiments` prints them")
    return module.main(rest)


def command() -> None:
    """The entry point, whose result is not an exit code."""
    main()


if __name__ == "__main__":
    main()
