"""Evidence: makes the runs of claims, records what they gave, writes pages of them, and checks that all agree.

    python -m experiments.evidence run c51_cartpole          # make a claim's runs and record them
    python -m experiments.evidence reproduce c51             # make a system's runs and compare them with the records
    python -m experiments.evidence page c51                  # write tables and plots into docs/results/c51.md
    python -m experiments.evidence table                     # write the table over all systems
    python -m experiments.evidence check                     # fail where claims, records and pages disagree

A claim is docs/results/claims/NAME.toml; CONTRIBUTING.md says how one is written.
"""

import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from tyro.conf import Positional

from experiments import reports, run
from experiments.list import systems
from experiments.reports import evidence
from experiments.reports.evidence import Claim, Record, Result


def made(claim: Claim, arm: str) -> tuple[Record, Path | None]:
    """Makes the runs of one arm of a claim.

    Returns:
      What they gave, and the run folder, which a study has none of.

    Raises:
      ValueError: the command failed, or the study gave other than one number per seed.
    """
    text = evidence.checks.command_text(claim, arm)
    print(f"\n{claim.name}, {arm}: {text}", flush=True)
    begin = time.monotonic()
    if claim.study:
        module, _, name = claim.study.partition(":")
        study = getattr(import_module(f"experiments.studies.{module}"), name)
        values = np.asarray(study(claim.seeds, **{**claim.options, **claim.arms[arm].options}), np.float64)
        if values.shape != (len(claim.seeds),):
            raise ValueError(f"{claim.name}: {text} gave shape {values.shape}; must be ({len(claim.seeds)},)")
        import jax

        record = Record(
            seeds=claim.seeds,
            values=tuple((float(f"{x:.6g}"),) for x in values),
            command=text,
            date=time.strftime("%Y-%m-%d"),
            commit=run.records.git_commit() or "",
            versions={"jax": jax.__version__},
            machine=f"{len(jax.devices())} x {jax.devices()[0].device_kind}, {platform.machine()}",
            seconds=round(time.monotonic() - begin, 1),
            code=evidence.records.fingerprint(claim),
        )
        return record, None
    gather(claim)
    folder = Path("runs") / "evidence" / f"{claim.name}-{arm}-{time.strftime('%Y%m%d-%H%M%S')}"
    command = [sys.executable, "-m", *claim.command(arm), "--out", str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise ValueError(f"{claim.name}, {arm}: the command failed; its folder is {folder}")
    return evidence.records.of_run(folder, claim, text), folder


def gather(claim: Claim) -> None:
    """Makes the datasets of a claim that are not there yet.

    Raises:
      ValueError: a line names no file, or its command failed.
    """
    for line in claim.collect:
        words = shlex.split(line)
        if "--out" not in words[:-1]:
            raise ValueError(f"{claim.name}: collect {line!r}: must have --out and a file")
        out = Path(words[words.index("--out") + 1])
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            if subprocess.run([sys.executable, "-m", "experiments.collect", *words], check=False).returncode:
                raise ValueError(f"{claim.name}: collect {line!r} failed")


def chosen(claim: Claim, arms: tuple[str, ...]) -> tuple[str, ...]:
    """The arms of a claim that are asked for, all by default.

    Raises:
      ValueError: there is no such arm.
    """
    for arm in arms:
        if arm not in claim.arms:
            raise ValueError(f"--arms {arm}: {claim.name} has {', '.join(claim.arms)}")
    return arms or tuple(claim.arms)


def do_run(names: Positional[tuple[str, ...]], arms: tuple[str, ...] = ()) -> None:
    """Makes the runs of claims, records them, and writes their pages and the table.

    A run is recorded for all claims that are judged by the same command.

    Args:
      names: of the claims.
      arms: only these variants, such as "whole".
    """
    changed: dict[str, None] = {}
    for name in names:
        claim = evidence.claims.load(name)
        for arm in chosen(claim, arms):
            changed |= dict.fromkeys(keep(claim, arm, *made(claim, arm)))
    do_page(tuple(changed))


def keep(claim: Claim, arm: str, record: Record, folder: Path | None) -> list[str]:
    """Saves the record of an arm, and of all arms of other claims that are judged by the same command.

    Args:
      claim: whose arm was run.
      arm: which.
      record: what it gave.
      folder: the run's, of which claims by other metrics are recorded; None for a study.

    Returns:
      The systems whose pages it changes.
    """
    systems = []
    text = evidence.checks.command_text(claim, arm)
    for other in [claim, *(each for each in evidence.claims.everyone() if each.name != claim.name)]:
        same = [each for each in other.arms if evidence.checks.command_text(other, each) == text]
        by_this = other.metric == claim.metric
        for each in same if other.seeds == claim.seeds and (by_this or folder) else []:
            found = record if by_this or folder is None else evidence.records.of_run(folder, other, text)
            own = replace(found, code=evidence.records.fingerprint(other))
            evidence.records.save(other.name, _ordered(other, {**evidence.records.load(other), each: own}))
            systems.append(other.system)
    return systems


def _ordered(claim: Claim, found: dict[str, Record]) -> dict[str, Record]:
    return {arm: found[arm] for arm in claim.arms if arm in found}


def do_record(name: Positional[str], runs: tuple[str, ...]) -> None:
    """Records runs that are finished, made by the claim's commands with an --out of their own.

    Args:
      name: of the claim.
      runs: each as ARM=FOLDER, such as whole=runs/a.
    """
    claim = evidence.claims.load(name)
    for text in runs:
        arm, _, folder = text.partition("=")
        chosen(claim, (arm,))
        compare_flags(claim, arm, folder)
        record = evidence.records.of_run(Path(folder), claim, evidence.checks.command_text(claim, arm))
        keep(claim, arm, record, Path(folder))
    do_page()


ASIDE = {
    "out",
    "resume",
    "preset",
    "quiet",
    "trust",
    "keep",
    "checkpoint_every",
    "wandb",
    "wandb_project",
    "wandb_tags",
}
"""Flags that do not change what a run gives; a preset's values are flags themselves."""
DERIVED = {"eval_every", "eval_episodes", "log_every", "schedule_steps", "model_transitions", "model_updates"}
"""Flags of which 0 stands for a value that others imply; a run may have stored that value."""
NAMED = {"env", "env_options"}
"""Flags that an empty value leaves to the dataset."""


def compare_flags(claim: Claim, arm: str, folder: str) -> None:
    """Refuses a run that was made with other flags than those of the claim.

    Raises:
      ValueError: naming the flag; or the folder holds no run of the claim's command.
    """
    command = claim.command(arm)
    if not command:
        raise ValueError(
            f"{claim.name}: is measured by a study, not by runs; python -m experiments.evidence run makes it"
        )
    loaded = run.load(folder)
    experiment = import_module(command[0]).experiment
    if loaded.experiment.name != experiment.name:
        raise ValueError(f"{folder}: is a run of {loaded.experiment.name}; {claim.name}, {arm} is of {experiment.name}")
    claimed, made_with = run.flat(experiment.parse(command[1:])), run.flat(loaded.flags)
    for flag, value in claimed.items():
        derived = (value == 0 and flag in DERIVED) or (value in ("", ()) and flag in NAMED)
        value = str(Path(value).resolve()) if flag == "dataset" and value else value
        if flag not in ASIDE and not derived and made_with.get(flag) != value:
            raise ValueError(f"{folder}: has {flag} {made_with.get(flag)!r}; {claim.name}, {arm} says {value!r}")


def do_reproduce(targets: Positional[tuple[str, ...]]) -> None:
    """Makes the runs of systems or claims again and says how they compare with what is recorded. Changes no record.

    Args:
      targets: systems, such as c51, or claims, such as c51_cartpole.
    """
    if not targets:
        raise ValueError(f"reproduce: name systems or claims; there are {', '.join(evidence.pages.systems())}")
    lines = []
    for name in targets:
        own = [claim for claim in evidence.claims.everyone() if name in (claim.system, claim.name)]
        if not own:
            raise ValueError(f"{name}: no claim is about it; there are {', '.join(evidence.pages.systems())}")
        for claim in own:
            before = evidence.records.load(claim)
            now = {arm: made(claim, arm)[0] for arm in claim.arms}
            results, recorded = evidence.verdicts.results(claim, now), evidence.verdicts.results(claim, before)
            for arm in claim.arms:
                told = agreement(before.get(arm), now[arm], recorded[arm], results[arm])
                figure, old = (evidence.pages.number(each[arm].figure) for each in (results, recorded))
                verdict = results[arm].verdict or "no gate"
                lines.append(f"{claim.name}, {arm}: {figure}, recorded {old}: {told}; {verdict}")
    print("", *lines, sep="\n")


def agreement(before: Record | None, now: Record, recorded: Result, result: Result) -> str:
    """How a run compares with the record of an earlier one, in words."""
    if before is None:
        return "there is no record"
    if before.before:
        return "there is no recorded run to compare with"
    if before.steps == now.steps and np.array_equal(before.values, now.values, equal_nan=True):
        return "the same to the digit"
    low, high = recorded.ends
    inside = np.isfinite(low) and low <= result.figure <= high
    return "within the recorded interval" if inside else "outside the recorded interval"


def do_page(systems: Positional[tuple[str, ...]] = ()) -> None:
    """Writes tables and plots of claims into the pages of systems, and the table over all.

    Args:
      systems: whose pages; all by default.
    """
    read = evidence.claims.everyone()
    for system in systems or sorted({claim.system for claim in read}):
        for claim in read:
            recorded = evidence.records.load(claim) if claim.system == system else {}
            if evidence.figures.drawable(claim, recorded):
                evidence.figures.draw(claim, recorded)
        reports.files.write(evidence.pages.page_of(system), evidence.pages.page(system, read))
    reports.files.write(evidence.claims.RESULTS / "README.md", evidence.pages.table(read))


def do_table() -> None:
    """Writes the table over all systems, docs/results/README.md."""
    reports.files.write(evidence.claims.RESULTS / "README.md", evidence.pages.table())


def do_keep(names: Positional[tuple[str, ...]], why: str) -> None:
    """Says that figures hold although the code of their claims changed, and why, after what was said before.

    Args:
      names: of the claims.
      why: in one sentence, such as "Only names changed."
    """
    for name in names:
        claim = evidence.claims.load(name)
        code, found = evidence.records.fingerprint(claim), evidence.records.load(claim)
        changed = {arm: record for arm, record in found.items() if not record.before and record.code != code}
        held = {arm: replace(each, code=code, kept=f"{each.kept} {why}".strip()) for arm, each in changed.items()}
        evidence.records.save(name, found | held)
    do_page(tuple(dict.fromkeys(evidence.claims.load(name).system for name in names)))


def do_check() -> None:
    """Fails where claims, records, pages and plots disagree, a line for each place."""
    commands = systems()
    found = evidence.checks.problems(commands, accepting(commands))
    print(*found, sep="\n") if found else print(
        f"{len(evidence.claims.names())} claims agree with their records and pages"
    )
    if found:
        raise SystemExit(1)


def accepting(commands: Collection[str]) -> Callable[[list[str]], None]:
    """What checks the words of a claim's command line: `(words) -> None`.

    It raises a ValueError where there is no such command or flag, or a value is out of range.

    Args:
      commands: the names of all that there are.
    """

    def accepts(words: list[str]) -> None:
        if words[0].partition(".")[2] not in commands:
            raise ValueError(f"there is no command {words[0]}")
        experiment = import_module(words[0]).experiment
        try:
            run.check(experiment.parse(words[1:]))
        except SystemExit:
            raise ValueError(f"{shlex.join(words)}: has flags that the command does not know") from None

    return accepts


def do_list() -> None:
    """Prints all claims with their verdicts."""
    for claim in evidence.claims.everyone():
        verdict = evidence.verdicts.overall(evidence.verdicts.results(claim, evidence.records.load(claim)))
        minutes = f"{claim.minutes:g} min" if claim.minutes else ""
        print(f"{claim.name:<32} {verdict:<44} {minutes}")


COMMANDS: dict[str, Callable[..., Any]] = {
    "run": do_run,
    "record": do_record,
    "reproduce": do_reproduce,
    "page": do_page,
    "table": do_table,
    "keep": do_keep,
    "check": do_check,
    "list": do_list,
}


def main(argv: list[str] | None = None) -> None:
    """The command. What cannot be done ends it with one line on stderr and exit code 2."""
    import tyro

    arguments = sys.argv[1:] if argv is None else argv
    prog = "python -m experiments.evidence"
    try:
        tyro.extras.subcommand_cli_from_dict(COMMANDS, args=arguments, prog=prog, description=__doc__)
    except (ValueError, reports.files.UnwritableError) as error:
        run.fail(error)


if __name__ == "__main__":
    main()
