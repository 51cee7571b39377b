"""The type of every experiment: its flags, what refuses them, and what they build."""

import dataclasses
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments import PACKAGES, ROOT, reports
from experiments.drivers.contract import Parts
from experiments.run import flags, population, prepare, records
from experiments.run.plans import Size

if TYPE_CHECKING:
    from experiments.run.flags import Common
    from experiments.run.results import Run


def trained(experiment: "Experiment", config: "Common") -> dict[str, Any]:
    """Trains what the flags describe: the `launch` of every experiment that is one training.

    Returns:
      The content of summary.json; with a sweep, a dict of them by point.

    Raises:
      ValueError: naming the flag.
      records.StoppedError: the run stopped before its end.
    """
    prepared = prepare.prepare(experiment, config)
    if not prepared.config.quiet:
        announce(prepared, config)
    from experiments.run.train import train

    return train(prepared)


def announce(prepared: prepare.Prepared, asked: "Common") -> None:
    """Prints where the run reports, and how long it trains where that is not what the flags asked for."""
    planned, counted = prepared.plan.env_steps(prepared.plan.chunks), asked.counted
    print(f"run folder: {prepared.folder}")
    if planned != asked.steps:
        print(f"--{counted} {asked.steps:,}: trains for {planned:,}, in whole chunks of {prepared.plan.chunk_steps:,}")
    end = prepared.config.schedule_steps
    if end and end < planned:
        print(f"schedules end at {end:,} {counted}; --reschedule spreads them over all {planned:,}")
    print("compiling", flush=True)


class Experiment(NamedTuple):
    """A system as a command and as functions for notebooks; declared once per module, under the name `experiment`."""

    name: str
    """The module's, which is the command's too."""

    flags: type[Any]
    """A dataclass derived from `flags.Common` or, for what learns from recorded episodes alone, from `flags.Offline`;
    its field `agent` is a dataclass of the agent's flags."""

    check: Callable[[Any, Any, Size], None]
    """`(agent flags, envs.base.Spec, Size) -> None`: raises a ValueError of one line for flags that do not go together.
    Their numbers are plain, and within the ranges of their types. Called for each point of a sweep."""

    make: Callable[..., Parts]
    """`(agent flags, envs.base.Spec, Size) -> Parts`, of flags that `check` accepted; real numbers may be traced."""

    presets: flags.Presets = MappingProxyType({})
    """What `--preset` can name."""

    launch: Callable[["Experiment", Any], dict[str, Any]] = trained
    """`(experiment, flags) -> summary`: what a start of the command does."""

    alone: str = ""
    """Why no actors may play for it, where they may not."""

    def main(self, argv: list[str] | None = None) -> dict[str, Any]:
        """The command: reads flags, runs, and turns what is refused into one line and exit code 2.

        Errors that come out of other code than bellmax and this experiment keep their traceback.
        """
        try:
            with records.Interrupt(early=True):
                return self.start(self.parse(sys.argv[1:] if argv is None else argv))
        except ValueError as error:
            if not self.refuses(error):
                raise
            flags.fail(error)
        except records.StoppedError as stop:
            print(stop if stop.code == 130 else f"error: {stop}", file=sys.stderr)
            raise SystemExit(stop.code) from None
        except reports.files.UnwritableError as error:
            flags.fail(error, code=1)
        except KeyboardInterrupt:
            flags.fail("stopped before training began; nothing was saved", code=130)

    @property
    def command(self) -> str:
        """How it is typed."""
        file = records.source(self)
        return f"python -m experiments.{self.name}" if file is None else f"python {os.path.relpath(file)}"

    def parse(self, argv: list[str]) -> "Common":
        """The flags of a command line.

        Raises:
          ValueError: naming the flag.
        """
        return flags.parse(self.flags, argv, self.command, self.presets, self.name)

    def start(self, config: "Common") -> dict[str, Any]:
        """Checks every number against the range of its flag, and launches."""
        config = population.completed(config)
        flags.check(config)
        return self.launch(self, prepare.data.completed(config))

    def refuses(self, error: BaseException) -> bool:
        """Whether an error is a refusal by bellmax or by this experiment, rather than a fault in what they call."""
        raised_in = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
        own = {sys.modules[part.__module__].__dict__.get("__file__") for part in (self.check, self.make, self.flags)}
        inner = Path(raised_in[-1]).resolve()
        packages = [ROOT / name for name in (*PACKAGES, "experiments")]
        return any(inner.is_relative_to(package) for package in packages) or raised_in[-1] in own

    def configured(self, preset: str = "", agent: Mapping[str, Any] = MappingProxyType({}), **values: Any) -> "Common":
        """The flags by name.

        Args:
          preset: what the defaults are taken from.
          agent: flags of the agent.
          **values: all others, such as `env="bellmax/catch"`, `seeds=8` or `steps=100_000`.

        Raises:
          ValueError: there is no such flag, or a value is out of its range.
        """
        folder = str(values.get("resume", ""))
        stored = flags.stored_for_resume(self.flags, folder, self.name) if folder else None
        config = stored or flags.preset(self.flags, preset, self.presets)
        for part, given, prefix in ((config, values, ""), (config.agent, agent, "agent.")):
            known = {field.name for field in dataclasses.fields(part)}
            for name in given:
                if name not in known:
                    near = flags.closest(name, known)
                    raise ValueError(f"{prefix}{name}: {self.name} has no such flag{near}")
        config = dataclasses.replace(config, **values, agent=dataclasses.replace(config.agent, **agent))
        config = population.completed(flags.resumable(stored, config, folder) if stored else config)
        flags.check(config)
        return prepare.data.completed(config)

    def train(
        self, *, preset: str = "", agent: Mapping[str, Any] = MappingProxyType({}), quiet: bool = True, **values: Any
    ) -> "Run":
        """Trains from a notebook or a script as the command does: `ppo.experiment.train(env="bellmax/catch", seeds=8)`.

        After Ctrl-C what is there is saved and returned.

        Args:
          preset: what the defaults are taken from.
          agent: flags of the agent, such as `{"learning_rate": 3e-4}`.
          quiet: no progress bar and no table.
          **values: all other flags.

        Returns:
          The run; of a sweep, one whose `points` are the runs.

        Raises:
          ValueError: naming the flag.
          records.StoppedError: a loss was not finite.
        """
        from experiments.run import folders, results

        config = self.configured(preset, agent, quiet=quiet, **values)
        folder = folders.folder_of(self.name, config)
        config = config if config.resume else dataclasses.replace(config, out=str(folder))
        try:
            self.launch(self, config)
        except records.StoppedError as stop:
            if stop.code != 130:
                raise
            print(stop, file=sys.stderr)
        return results.load(folder, trust=True, experiment=self)
