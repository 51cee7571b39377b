"""Commands, one file per system, and what they share: `python -m experiments.list`, or `bellmax list` where installed.

A project may have a folder `envs/` or `agents/` of its own beside the file that it runs. Importing this package lets
bellmax's packages be found where bellmax is, before a folder of the same name.
"""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "envs", "networks", "replay")


class _OwnPackages:
    """A finder of bellmax's packages in the folder that this one lies in."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """The package of that name, None for all else."""
        return PathFinder.find_spec(name, [str(ROOT)]) if name in PACKAGES else None


def _check_loaded() -> None:
    for name in PACKAGES:
        places = getattr(sys.modules.get(name), "__path__", [str(ROOT / name)])
        if Path(next(iter(places))).resolve() != ROOT / name:
            raise ImportError(
                f"the package {name} of {next(iter(places))} was imported before bellmax's; "
                "import experiments first, or give that folder another name"
            )


_check_loaded()
if not any(getattr(finder, "__name__", "") == "_OwnPackages" for finder in sys.meta_path):
    sys.meta_path.insert(0, _OwnPackages)
