"""Commands, one file per system, and what they share: `python -m experiments.list`, or `bellmax list` where installed.

A project may have a folder `envs/` or `agents/` of its own beside the file that it runs. Importing this package lets
bellmax's packages be found where bellmax is, before a folder of the same name. As a command, it begins with what
Ctrl-C does, since importing what a command needs takes seconds.
"""

import os
import signal
import sys
from importlib.machinery import ModuleSpec, PathFinder
from itertools import pairwise
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agents", "envs", "networks", "replay")


def _is_command() -> bool:
    """Whether Python was started as `python -m experiments.NAME` or as `bellmax`."""
    module = next((name for word, name in pairwise(sys.orig_argv) if word == "-m"), "")
    command = sys.argv[:1] == ["-m"] and module.partition(".")[0] == __name__
    return command or (sys.argv[:1] != [] and Path(sys.argv[0]).name == "bellmax")


def _end_in_one_line() -> None:
    """Ctrl-C, until a command has an answer of its own: one line in place of a traceback, and exit code 130.

    The error that ends the process need not be KeyboardInterrupt: code that is interrupted may turn it into another.
    """
    pressed: list[int] = []
    before = sys.excepthook

    def press(number: int, frame: object) -> None:
        pressed.append(number)
        if len(pressed) > 1:
            os._exit(130)
        raise KeyboardInterrupt

    def end(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not pressed and not issubclass(kind, KeyboardInterrupt):
            return before(kind, error, trace)
        sys.stdout.flush()
        print("\nstopped", file=sys.stderr, flush=True)
        os._exit(130)

    signal.signal(signal.SIGINT, press)
    sys.excepthook = end


if _is_command():
    _end_in_one_line()


class _OwnPackages:
    """A finder of bellmax's packages in the folder that this one lies in."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
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
