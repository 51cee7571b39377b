"""Tables of evidence for readers: those of a system's page, and the one over all systems."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from experiments.reports.evidence import claims, figures, records, verdicts
from experiments.reports.evidence.claims import RESULTS, WHOLE, Claim, Gate, Variant
from experiments.reports.evidence.records import Record
from experiments.reports.evidence.verdicts import Result

MARKS = "<!-- evidence -->", "<!-- /evidence -->"
"""What the generated part stands between, on a page and in docs/results/README.md."""
SHOWN = 10
"""Up to so many seeds are shown one by one, of more their quartiles."""


def number(x: float) -> str:
    """A figure for readers."""
    if np.isnan(x):
        return "-"
    if np.isinf(x):
        return "not reached"
    if abs(x) >= 10_000:
        return f"{x:,.0f}"
    return f"{x:,.1f}".removesuffix(".0") if abs(x) >= 100 else f"{x:.4g}"


def gate_text(claim: Claim, gate: Gate | None, seeds: int) -> str:
    """A gate in words."""
    if gate is None:
        return ""
    bound = float(gate.at_least if gate.at_least is not None else gate.at_most or 0.0)
    sign = "≥" if gate.at_least is not None else "≤"
    words = f"{sign} {number(bound)}"
    if gate.times:
        words = f"{sign} {number(bound)} × that of *{_name(claim, gate.times)}*"
    elif gate.minus:
        apart = f" {'+' if bound > 0 else '−'} {number(abs(bound))}" if bound else ""
        words = f"{sign} that of *{_name(claim, gate.minus)}*{apart}"
    who = {"seeds": f"{gate.seeds} of {seeds} seeds ", "every": "every seed ", "median": "median ", "mean": "mean "}
    return who.get(gate.over, "") + words


def judged_by(claim: Claim, arm: str, found: dict[str, Record]) -> str:
    """The gate of an arm in words. Where figures below zero are divided, the words are of the ratio: -1 is no more than
    0.25 × -8, though the ratio of the two, 0.125, is."""
    gate, record = claim.arms[arm].gate, found.get(arm)
    text = gate_text(claim, gate, len(record.seeds) or record.count if record else len(claim.seeds))
    results = verdicts.results(claim, found) if gate and gate.times else {}
    if gate and results and results[gate.times].figure < 0:
        words = gate_text(claim, replace(gate, times=""), len(claim.seeds))
        return f"ratio to *{_name(claim, gate.times)}*: {words}"
    return text


def _name(claim: Claim, arm: str) -> str:
    return claim.system_name if arm == WHOLE else claim.arms[arm].title


def head(gate: Gate | None) -> str:
    """What the column of the one figure is of."""
    return {"median": "median", "mean": "mean"}.get(gate.over if gate else "", "IQM")


def per_seed(values: np.ndarray) -> str:
    """One number per seed, or of many their quartiles."""
    if values.size > SHOWN:
        low, middle, high = np.percentile(values, (25, 50, 75))
        return f"{number(middle)} ({number(low)} to {number(high)}; median and quartiles)"
    return ", ".join(map(number, values))


def span(ends: tuple[float, float]) -> str:
    """An interval in words, empty where there is none."""
    return f"{number(ends[0])} to {number(ends[1])}" if np.isfinite(ends).all() else ""


def shown(result: Result, gate: Gate | None) -> float:
    """The one figure of the table: that of the gate, the IQM where the gate counts seeds."""
    counts = gate is not None and gate.over in ("seeds", "every") and result.scores.size
    return verdicts.over(result.scores, None) if counts else result.figure


def section(claim: Claim) -> str:
    """A claim as a part of its page: sentence, table, plot, command, and where the figures are from.

    Raises:
      ValueError: its records are damaged.
    """
    found = records.load(claim)
    lines = [f"### {claim.title}", "", claim.says, "", *_table(claim, found)]
    if figures.drawable(claim, found):
        lines += ["", f"![{claim.title}]({figures.path_of(claim, '.png').relative_to(RESULTS)})"]
    lines += ["", *_origin(claim, found)]
    if claim.note:
        lines += ["", claim.note.strip()]
    return "\n".join(lines)


def figure_text(claim: Claim) -> str:
    """What one number per seed is, in words."""
    kinds = {
        "last": f"{claim.unit} at the last evaluation",
        "best": f"{claim.unit} of the best evaluation" + (f" by {claim.step:,} steps" if claim.step else ""),
        "at": f"{claim.unit} at the last evaluation by {claim.step:,} steps",
        "mean_of_last": f"{claim.unit}, mean of the last {claim.points} evaluations",
        "steps_to": f"steps to a {claim.unit} of {number(claim.level)}",
    }
    return kinds.get(claim.figure, claim.unit)


def _table(claim: Claim, found: dict[str, Record]) -> list[str]:
    results = verdicts.results(claim, found)
    numbers = [f"{figure_text(claim)}, per seed", "over seeds", "95 % interval of the IQM", "gate", "verdict"]
    rows = [["", "changed by", "steps", *numbers]]
    for arm, variant in claim.arms.items():
        result, record = results[arm], found.get(arm)
        value = number(shown(result, variant.gate))
        rows.append([
            f"**{claim.system_name}**" if arm == WHOLE else variant.title,
            changed(variant),
            f"{record.steps[-1]:,}" if record and record.steps else "",
            per_seed(result.scores),
            f"{value} ({head(verdicts.aggregate(claim, variant.gate))})" if value != "-" else "",
            span(result.ends),
            judged_by(claim, arm, found),
            ", ".join(filter(None, (result.verdict, result.mark))),
        ])  # fmt: skip
    for each in claim.published:
        seeds = f" ({each.seeds} seed{'s' if each.seeds != '1' else ''})" if each.seeds else ""
        rows.append([f"{each.who}; {each.source}", "", each.steps, "", f"{each.figure}{seeds}", "", "", ""])
    kept = [i for i in range(len(rows[0])) if i == 0 or any(row[i] for row in rows[1:])]
    rows.insert(1, ["---"] * len(rows[0]))
    return [f"| {' | '.join(row[i] for i in kept)} |" for row in rows]


def changed(variant: Variant) -> str:
    """What a variant adds to the whole's flags or options."""
    texts = [variant.flags] if variant.flags else []
    texts += [f"{name} = {value}" for name, value in variant.options.items()]
    return ", ".join(f"`{text}`" for text in texts) or (
        f"`experiments.{variant.experiment}`" if variant.experiment else ""
    )


def _origin(claim: Claim, found: dict[str, Record]) -> list[str]:
    """How the runs are made, and when, where and of which code those in the table were."""
    lines = []
    if claim.study:
        options = f" with {_options(claim.options)}" if claim.options else ""
        lines += [f"Measured by `experiments.studies.{claim.study}`{options}; `make evidence SYSTEM={claim.system}`."]
    else:
        lines += ["```bash", *(f"python -m experiments.collect {line}" for line in claim.collect)]
        for arm, variant in claim.arms.items():
            if arm == WHOLE or variant.experiment:
                behind = f"  # {variant.title}" if arm != WHOLE else ""
                lines.append(f"python -m {shlex.join(claim.command(arm))}{behind}")
        lines += ["```"]
    made = [record for record in found.values() if not record.before]
    parts = []
    if made:
        dates = sorted({record.date for record in made})
        seconds = sum(record.seconds for record in made)
        when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
        commits = ", ".join(sorted({record.commit[:10] + "+" * record.commit.endswith("+") for record in made}))
        machine = ", ".join(sorted({record.machine for record in made}))
        parts.append(f"Recorded {when} at {commits} on {machine}, {seconds:,.0f} s in all.")
    judged = f"judged are {_seeds(claim.seeds)}" if made else f"a new run would be judged on {_seeds(claim.seeds)}"
    if claim.tuned_on:
        parts.append(f"Settings were chosen on {_seeds(claim.tuned_on)}; {judged}.")
    parts += [f"The code changed since, but the figures hold: {record.kept}" for record in made if record.kept][:1]
    before = [record for record in found.values() if record.before]
    if before:
        known = sorted({seed for record in before for seed in record.seeds})
        of = f"are of {_seeds(tuple(known))}, " if known and all(record.seeds for record in before) else ""
        parts.append(
            f"Figures marked as from before evidence was kept {of}were written down by hand and cannot be traced to a "
            "recorded run."
        )
    return [*lines, "", " ".join(parts)] if parts else lines


def _options(options: object) -> str:
    return ", ".join(f"{name} = {value}" for name, value in dict(options).items())  # type: ignore[call-overload]


def _seeds(seeds: tuple[int, ...]) -> str:
    if len(seeds) == 1:
        return f"seed {seeds[0]}"
    whole = seeds == tuple(range(seeds[0], seeds[0] + len(seeds))) and len(seeds) > 2
    return f"seeds {seeds[0]} to {seeds[-1]}" if whole else f"seeds {', '.join(map(str, seeds))}"


def page_of(system: str) -> Path:
    """The page of a system."""
    return RESULTS / f"{system}.md"


def between(path: Path, content: str) -> str:
    """A page with other content between its marks.

    Raises:
      ValueError: the page is missing, or has not exactly one pair of marks.
    """
    if not path.is_file():
        raise ValueError(f"{path.relative_to(RESULTS.parent.parent)}: is not there, although a claim belongs to it")
    text = path.read_text()
    if [text.count(mark) for mark in MARKS] != [1, 1] or text.index(MARKS[0]) > text.index(MARKS[1]):
        raise ValueError(
            f"{path.relative_to(RESULTS.parent.parent)}: must hold {MARKS[0]} and behind it {MARKS[1]}, once each"
        )
    before, rest = text.split(MARKS[0])
    return f"{before}{MARKS[0]}\n{content}\n{MARKS[1]}{rest.split(MARKS[1])[1]}"


def page(system: str, read: Sequence[Claim] | None = None) -> str:
    """The page of a system, with the sections of its claims.

    Args:
      system: the page's name.
      read: all claims in the order of their pages, where they have been read.

    Raises:
      ValueError: it has no marks, or records are damaged.
    """
    own = [claim for claim in (claims.everyone() if read is None else read) if claim.system == system]
    return between(page_of(system), "\n\n".join(map(section, own)))


def systems() -> list[str]:
    """The systems that have claims."""
    return sorted({claim.system for claim in claims.everyone()})


def table(read: Sequence[Claim] | None = None) -> str:
    """docs/results/README.md, with a row for every claim.

    Args:
      read: all claims in the order of their pages, where they have been read.

    Raises:
      ValueError: it has no marks, or records are damaged.
    """
    lines = [
        "| system | claim | gate | figure | 95 % interval | published or peer | verdict | date |",
        "|" + "---|" * 8,
    ]
    count = {verdicts.MET: 0, verdicts.MISSED: 0, verdicts.IN_PART: 0, verdicts.NOT_RUN: 0, "no gate": 0}
    marked = 0
    for claim in claims.everyone() if read is None else read:
        found = records.load(claim)
        results = verdicts.results(claim, found)
        whole = results[WHOLE]
        verdict = verdicts.overall(results)
        count[verdict.partition(",")[0]] += 1
        marked += "," in verdict
        peers = "; ".join(f"{each.who}: {each.figure}" for each in claim.published)
        date = max((record.date for record in found.values()), default="")
        cells = [
            f"[{claim.system}]({claim.system}.md)", claim.title, judged_by(claim, WHOLE, found),
            number(shown(whole, claim.gate)), span(whole.ends), peers, verdict, date,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    told = ", ".join(f"{n} ({name})" if name == verdicts.IN_PART else f"{n} {name}" for name, n in count.items() if n)
    lines += ["", f"{sum(count.values())} claims: {told}; {marked} of them rest on figures that carry a mark."]
    return between(RESULTS / "README.md", "\n".join(lines))


def stale_plot(claim: Claim) -> bool:
    """Whether a claim's plot is missing in one of its forms or was drawn from other data."""
    found = records.load(claim)
    if not figures.drawable(claim, found):
        return False
    missing = any(not figures.path_of(claim, form).is_file() for form in figures.FORMS)
    return missing or figures.stored_digest(claim) != figures.digest(claim, found)
