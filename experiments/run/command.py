"""The command line of an experiment."""

import sys
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from experiments.run import flags
from experiments.run.prepare import Build, prepare

if TYPE_CHECKING:
    pass


def main(
    experiment: str, kind: type[Any], build: Build, presets: flags.Presets = MappingProxyType({})
) -> Callable[..., dict[str, Any]]:
    """The `main` of an experiment module: reads flags, runs, and turns bad flags into one line and exit code 2.

    Args:
      experiment: the module's name.
      kind: its flags.
      build: what makes the parts of a run of them.
      presets: what `--preset` can name.
    """

    def command(argv: list[str] | None = None) -> dict[str, Any]:
        arguments = sys.argv[1:] if argv is None else argv
        try:
            config = flags.parse(kind, arguments, f"python -m experiments.{experiment}", presets)
            flags.check(config)
            points = flags.grid(config)
            prepared = prepare(experiment, config, points, build)
            from experiments.run.train import train
        except ValueError as error:
            flags.fail(error)
        except KeyboardInterrupt:
            flags.fail("stopped before training began; nothing was saved", code=130)
        return train(prepared)

    return command
