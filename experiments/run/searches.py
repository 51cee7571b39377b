"""A study of Optuna in a file: how it is opened, told of evaluations, and read. Needs the extra `tune`."""

import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState


def opened(path: Path, seed: int, sampler: str = "tpe", prune: bool = False) -> optuna.Study:
    """The study of a file, new or to be gone on with; trials that were under way when it stopped are tried again.

    Args:
      path: the file.
      seed: of the sampler, with which the number of trials is mixed that a study to be gone on with holds.
      sampler: "tpe" or "random".
      prune: whether trials below the median may end early.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=JournalStorage(JournalFileBackend(str(path))),
        study_name="tune",
        direction="maximize",
        pruner=optuna.pruners.MedianPruner(n_startup_trials=4) if prune else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    study.sampler = sampler_of(sampler, seed, len(study.trials))
    for trial in study.get_trials(states=(TrialState.RUNNING,)):
        study.tell(trial.number, state=TrialState.FAIL)
        study.enqueue_trial(trial.params)
    return study


def sampler_of(sampler: str, seed: int, held: int) -> optuna.samplers.BaseSampler:
    """The sampler of a study that holds so many trials, whose draws are then not those that the trials came from.

    Args:
      sampler: "tpe" or "random".
      seed: of the draws; that of a new study as it is, and otherwise mixed with the number of trials.
      held: trials that the study has.
    """
    drawn = int(np.random.SeedSequence((seed, held)).generate_state(1)[0]) if held else seed
    if sampler == "random":
        return optuna.samplers.RandomSampler(seed=drawn)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=drawn, constant_liar=True)


def ended(study: optuna.Study) -> list[optuna.trial.FrozenTrial]:
    """The trials that had an end of their own: complete, pruned, or dead for a number that was not finite."""
    return [trial for trial in study.trials if "score" in trial.user_attrs]


def told(study: optuna.Study, trial: optuna.Trial, steps: int, score: float, last: bool, prune: bool = False) -> bool:
    """Tells the study of a trial's evaluation after so many steps; whether the trial is to go on."""
    dead = not math.isfinite(score)
    if not dead:
        trial.report(score, steps)
    cut = prune and not dead and not last and trial.should_prune()
    if not (dead or cut or last):
        return True
    trial.set_user_attr("score", None if dead else score)
    trial.set_user_attr("steps", steps)
    if dead or cut:
        study.tell(trial, state=TrialState.FAIL if dead else TrialState.PRUNED)
    else:
        study.tell(trial, score)
    return False


def best(study: optuna.Study) -> optuna.trial.FrozenTrial | None:
    """The complete trial with the highest score; None without any."""
    complete: list[Any] = [trial for trial in ended(study) if trial.state == TrialState.COMPLETE]
    return max(complete, key=lambda trial: trial.value, default=None)


def pruned(study: optuna.Study) -> int:
    """How many trials ended early."""
    return sum(trial.state == TrialState.PRUNED for trial in ended(study))


def table(study: optuna.Study) -> str:
    """All trials that ended, as CSV: number, state, steps, score, and a column for each number that was searched."""
    names = sorted({name for trial in ended(study) for name in trial.params})
    lines = [["trial", "state", "steps", "score", *names]]
    for trial in ended(study):
        score = trial.user_attrs["score"]
        shown = "" if score is None else f"{score:.9g}"
        first = [str(trial.number), trial.state.name.lower(), str(trial.user_attrs["steps"]), shown]
        lines.append([*first, *(f"{trial.params[name]:.9g}" for name in names)])
    return "".join(",".join(line) + "\n" for line in lines)
