"""Searches hyper-parameters by Optuna: `python -m experiments.tune dqn --trials 50 --prune --env bellmax/catch`.

Trials have the same shapes and are trained side by side in one compilation; another begins where one ends. All other
flags are those of the command that is tuned.
"""

import dataclasses
import json
import shlex
import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from experiments import reports, run

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import Trial

ABOUT, STUDY, BEST = "tune.json", "study.log", "best.json"


@dataclass(frozen=True)
class Config:
    """Searches hyper-parameters of a command; flags that are not listed here are the command's own."""

    command: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="COMMAND")] = ""
    """Command to tune, such as dqn; with `resume` it is that of the study."""
    trials: run.Count = 50
    """Trials in all, of a study that is resumed with those that it has had."""
    together: run.Count = 8
    """Trials that are trained side by side."""
    search: tuple[str, ...] = ()
    """Real-numbered agent flags with bounds, such as agent.learning-rate=1e-4..1e-2, searched in logarithms where both
    bounds are positive; by default each learning rate from a tenth of what it is to ten times that."""
    prune: bool = False
    """End a trial whose evaluation is below the median of what others had after as many steps."""
    sampler: Literal["tpe", "random"] = "tpe"
    """How values are proposed: by Optuna's tree of Parzen estimators, or at random."""
    study: str = ""
    """Folder of the study, new or empty; by default a fresh one under runs/."""
    resume: str = ""
    """Folder of a study to go on with, whose flags are its own; only the number of trials may change."""


def tune(config: Config, words: list[str]) -> dict[str, Any]:
    """Runs the study.

    Args:
      config: the study's flags.
      words: those of the command that is tuned.

    Returns:
      What best.json holds: the best trial's number, score and flags.

    Raises:
      ValueError: naming the flag.
    """
    run.check_ranges(config)
    if find_spec("optuna") is None:
        raise ValueError("experiments.tune: needs the package optuna, which is not installed (pip install 'optuna>=5')")
    config, words, folder = resumed(config, words) if config.resume else begun(config, words)
    known = commands()
    if config.command not in known:
        raise ValueError(
            f"{config.command or 'COMMAND'}: no such command to tune{run.flags.closest(config.command, known)}"
        )
    experiment = import_module(f"experiments.{config.command}").experiment
    flags = experiment.parse(words)
    for name in ("population", "sweep", "schedule", "actors", "out", "resume", "start_from"):
        if getattr(flags, name, None):
            raise ValueError(f"--{name.replace('_', '-')}: is no flag of trials")
    run.check(flags)
    flags = run.prepare.data.completed(flags)
    search = config.search or rates(flags.agent)
    if not search:
        raise ValueError(f"--search: {config.command} has no learning rate; write agent.NAME=LOW..HIGH")
    bounds = run.population.bounds(dataclasses.replace(flags, pbt=search), "--search")
    run.use_cores(dataclasses.replace(flags, seeds=flags.seeds * config.together))
    from experiments.run import searches, trials

    made = trials.prepared(experiment, flags, search, config.together, folder)
    about = {"config": dataclasses.asdict(config), "words": words}
    reports.files.make_folder(folder)
    reports.files.write(folder / ABOUT, json.dumps(about, indent=2))
    study = searches.opened(folder / STUDY, flags.seed, config.sampler, config.prune)
    left = [config.trials - len(searches.ended(study))]
    print(f"study: {folder}", flush=True)

    def ask() -> "tuple[Trial, dict[str, float]] | None":
        if left[0] <= 0:
            return None
        left[0] -= 1
        trial = study.ask()
        return trial, {name: trial.suggest_float(name, low, high, log=low > 0) for name, (low, high) in bounds.items()}

    def tell(trial: "Trial", steps: int, score: float, last: bool) -> bool:
        return searches.told(study, trial, steps, score, last, config.prune)

    trials.train(made, config.together, ask, tell)
    return report(study, config, words, folder)


def begun(config: Config, words: list[str]) -> tuple[Config, list[str], Path]:
    """A new study's flags, and its folder.

    Raises:
      ValueError: the folder holds something.
    """
    folder = run.folders.folder_of(f"tune-{config.command}", Place(config.study))
    return config, words, folder


@dataclass(frozen=True)
class Place:
    """What the place of a study depends on."""

    out: str
    resume: str = ""
    env: str = "study"


def resumed(config: Config, words: list[str]) -> tuple[Config, list[str], Path]:
    """The flags of a study to go on with, and its folder.

    Raises:
      ValueError: there is none, or flags were given that are its own.
    """
    folder = Path(config.resume)
    stored = reports.files.read_json(folder, ABOUT)
    given = dataclasses.replace(config, resume="", trials=Config.trials)
    if words or given != Config():
        raise ValueError(f"--resume {folder}: the flags are those of the study; only --trials may be given")
    try:
        values: dict[str, Any] = {name: tuple(x) if isinstance(x, list) else x for name, x in stored["config"].items()}
        before = Config(**values)
        own = [str(word) for word in stored["words"]]
    except (KeyError, TypeError, AttributeError):
        raise ValueError(f"{folder / ABOUT}: is not the flags of a study") from None
    return dataclasses.replace(before, trials=config.trials), own, folder


def commands() -> list[str]:
    """The commands that can be tuned."""
    from experiments.list import systems

    return sorted(systems())


def rates(agent: object) -> tuple[str, ...]:
    """What is searched where nothing is said: the learning rates, two decades of each."""
    known = [name for name in run.population.sweepable(agent) if name.endswith("learning_rate")]
    found = {name: getattr(agent, name) for name in known}
    return tuple(f"agent.{name.replace('_', '-')}={x / 10:g}..{x * 10:g}" for name, x in found.items() if x)


def report(study: "Study", config: Config, own: list[str], folder: Path) -> dict[str, Any]:
    """Writes trials.csv and best.json, and prints the command of the best trial, whose other flags are `own`.

    Raises:
      ValueError: no trial came to its end.
      reports.files.UnwritableError: a file cannot be written.
    """
    from experiments.run import searches

    reports.files.write(folder / "trials.csv", searches.table(study))
    best = searches.best(study)
    if best is None:
        raise ValueError(f"{folder}: no trial came to its end; --resume {folder} --trials MORE goes on")
    words = [word for name, x in best.params.items() for word in (run.flag(f"agent.{name}"), f"{x:.6g}")]
    count, pruned = len(searches.ended(study)), searches.pruned(study)
    found = {"trial": best.number, "score": best.value, "flags": words, "trials": count, "pruned": pruned}
    reports.files.write(folder / BEST, json.dumps(found, indent=2))
    print(f"{count} trials, {pruned} of them pruned; the best is number {best.number} with {best.value:.6g}:")
    print(f"  python -m experiments.{config.command} {shlex.join([*own, *words])}")
    return found


def main(argv: list[str] | None = None) -> dict[str, Any]:
    """The command."""
    words = sys.argv[1:] if argv is None else argv
    config, rest = tyro.cli(
        Config, args=words, prog="python -m experiments.tune", return_unknown_args=True, description=Config.__doc__
    )
    try:
        return tune(config, list(rest))
    except ValueError as error:
        run.flags.fail(error)
    except reports.files.UnwritableError as error:
        run.flags.fail(error, code=1)
    except KeyboardInterrupt:
        run.flags.fail("stopped; --resume with the folder of the study goes on", code=130)


if __name__ == "__main__":
    main()
