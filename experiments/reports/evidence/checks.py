"""Where claims, records, pages and plots disagree."""

import contextlib
from collections.abc import Callable, Iterable

from experiments.reports.evidence import claims, pages, records, verdicts
from experiments.reports.evidence.claims import RESULTS, Claim

NO_CLAIMS = {"README", "benchmark"}
"""Pages that hold measurements of another kind."""


PAGE = "run python -m experiments.evidence page"


def problems(commands: Iterable[str], accepts: Callable[[list[str]], None]) -> list[str]:
    """One line for each disagreement; none where all is well.

    Args:
      commands: the names of the systems' commands; each must have a claim.
      accepts: `(words of a command line)`, raises a ValueError for flags that are not there or out of range.

    Returns:
      Lines that name the file and say what to do.
    """
    found: list[str] = []
    read: list[Claim] = []
    for name in claims.names():
        try:
            claim = claims.load(name)
            read.append(claim)
            found += [*_flags(claim, accepts), *_records(claim)]
        except ValueError as error:
            found.append(str(error))
    found += _coverage(read, commands)
    if len(read) == len(claims.names()):
        found += _pages(read)
    return found


def _flags(claim: Claim, accepts: Callable[[list[str]], None]) -> list[str]:
    """Arms whose flags do not contradict each other are checked in one go, which takes a tenth of a second."""
    together: list[tuple[str, dict[str, list[str]]]] = []
    for arm in claim.arms:
        command = claim.command(arm)
        if not command:
            return []
        name, flags = command[0], claims.grouped(command[1:])
        for i, (other, theirs) in enumerate(together):
            if other == name and theirs | flags == flags | theirs:
                together[i] = (name, theirs | flags)
                break
        else:
            together.append((name, flags))
    try:
        for name, flags in together:
            accepts([name, *(word for group in flags.values() for word in group)])
    except ValueError:
        return [line for arm in claim.arms for line in _refused(claim, arm, accepts)]
    return []


def _refused(claim: Claim, arm: str, accepts: Callable[[list[str]], None]) -> list[str]:
    try:
        accepts(claim.command(arm))
    except ValueError as error:
        return [f"{claim.name}.toml: {arm}: {error}"]
    return []


def command_text(claim: Claim, arm: str) -> str:
    """How an arm is made, in one line; kept in its record to notice a claim that was edited after it was measured."""
    if claim.study:
        options = {**claim.options, **claim.arms[arm].options}
        return f"{claim.study}({', '.join(f'{name}={value}' for name, value in sorted(options.items()))})"
    return " ".join(claim.command(arm))


def _records(claim: Claim) -> list[str]:
    found = []
    recorded = records.load(claim)
    again = f"run it again (python -m experiments.evidence run {claim.name})"
    for arm, record in recorded.items():
        where = f"{claim.name}.json: {arm}"
        if arm not in claim.arms:
            found.append(f"{where}: the claim has no such variant")
        elif record.before:
            if record.code or record.command:
                found.append(f"{where}: is marked as from before evidence was kept, but names a run")
        elif record.command != command_text(claim, arm):
            found.append(
                f"{where}: was made by `{record.command}`, the claim says `{command_text(claim, arm)}`; {again}"
            )
        elif not (record.commit or record.versions) or not record.date:
            found.append(f"{where}: does not say when and by which code it was made")
    stale = [arm for arm, result in verdicts.results(claim, recorded).items() if result.mark == verdicts.OLDER]
    if claim.older and not stale:
        found.append(f"{claim.name}.toml: older: is true, but no figure is older than the code; take the line out")
    if stale and not claim.older:
        found.append(
            f"{claim.name}.json: {', '.join(stale)}: {', '.join(claim.code)} changed after it was recorded; {again}, "
            f"say why its figures hold (python -m experiments.evidence keep {claim.name} --why ...), or write "
            "older = true into the claim, which marks them as older than the code, and what changed into its note"
        )
    return found


def _coverage(read: list[Claim], commands: Iterable[str]) -> list[str]:
    claimed = {claim.experiment for claim in read} | {claim.system for claim in read}
    claimed |= {variant.experiment for claim in read for variant in claim.variants.values()}
    found = [f"experiments/{name}.py: no claim is about it" for name in sorted(set(commands) - claimed)]
    missing = {path.stem for path in RESULTS.glob("*.md")} - NO_CLAIMS - {claim.system for claim in read}
    found += [f"docs/results/{name}.md: no claim stands on it" for name in sorted(missing)]
    files = {path.stem for path in records.DATA.glob("*.json")} - {claim.name for claim in read}
    return [*found, *(f"docs/results/data/{name}.json: there is no such claim" for name in sorted(files))]


def _pages(read: list[Claim]) -> list[str]:
    found = []
    read = claims.in_order(read)
    for system in sorted({claim.system for claim in read}):
        try:
            if pages.page(system, read) != pages.page_of(system).read_text():
                found.append(f"docs/results/{system}.md: differs from its claims; {PAGE} {system}")
        except ValueError as error:
            found.append(str(error))
    try:
        if pages.table(read) != (RESULTS / "README.md").read_text():
            found.append("docs/results/README.md: differs from the claims; run python -m experiments.evidence table")
    except ValueError as error:
        found.append(str(error))
    for claim in read:
        with contextlib.suppress(ValueError):  # damaged records were told of
            if pages.stale_plot(claim):
                found.append(f"docs/results/plots/{claim.name}.png: is of other data; {PAGE} {claim.system}")
    return found
