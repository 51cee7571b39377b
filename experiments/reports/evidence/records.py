"""Records: what the runs of a claim gave, per seed and point, and what made them: docs/results/data/NAME.json."""

import dataclasses
import functools
import hashlib
import io
import json
import tokenize
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from experiments import ROOT
from experiments.reports import files
from experiments.reports.evidence.claims import RESULTS, Claim

DATA = RESULTS / "data"


@dataclass(frozen=True)
class Record:
    """What one arm of a claim gave."""

    seeds: tuple[int, ...]
    """Which."""
    values: tuple[tuple[float, ...], ...] = ()
    """Per seed a number per point, NaN where a seed has none."""
    steps: tuple[int, ...] = ()
    """Environment steps per seed at each point; empty for a study, which has one point."""
    command: str = ""
    """What was typed, or the study with its options."""
    date: str = ""
    """When."""
    commit: str = ""
    """Of the source tree, with "+" where tracked files had changes."""
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    """Of the packages."""
    machine: str = ""
    """Devices it ran on."""
    seconds: float = 0.0
    """How long the run took."""
    code: str = ""
    """Fingerprint of the claim's `code`; see `fingerprint`."""
    kept: str = ""
    """Why the figures hold although the code changed, where somebody said so."""
    before: bool = False
    """The figures were written on the page by hand before evidence was kept: `values` has what the page had."""
    figure: float | None = None
    """With `before`: the one number over seeds, where the page had no number per seed."""
    low: float | None = None
    """With `before`: the lower end of its interval."""
    high: float | None = None
    """With `before`: the upper end."""
    count: int = 0
    """With `before`: of how many seeds, where `seeds` is not known."""


def path_of(name: str) -> Path:
    """The file of a claim's records."""
    return DATA / f"{name}.json"


def load(claim: Claim) -> dict[str, Record]:
    """The records of a claim by arm; those that were not made are missing.

    Raises:
      ValueError: the file is damaged, or has other fields.
    """
    path = path_of(claim.name)
    if not path.is_file():
        return {}
    known = {field.name for field in dataclasses.fields(Record)}
    try:
        arms = json.loads(path.read_text())["arms"]
        found = {}
        for arm, content in arms.items():
            if set(content) - known:
                raise ValueError(f"{arm}: there is no field {min(set(content) - known)}")
            values = tuple(tuple(np.nan if x is None else float(x) for x in row) for row in content.pop("values", ()))
            seeds, steps = tuple(content.pop("seeds")), tuple(content.pop("steps", ()))
            found[arm] = Record(seeds=seeds, steps=steps, values=values, **content)
            if found[arm].values and len(values) != len(seeds) and not found[arm].before:
                raise ValueError(f"{arm}: has {len(values)} rows of values for {len(seeds)} seeds")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    return found


def save(name: str, arms: dict[str, Record]) -> None:
    """Writes the records of a claim; each seed's numbers take one line.

    Raises:
      files.UnwritableError: it cannot be written.
    """
    blocks = []
    for arm, record in arms.items():
        lines = []
        for field in dataclasses.fields(Record):
            value = getattr(record, field.name)
            if value == field.default or (field.name == "versions" and not value):
                continue
            if field.name == "values":
                rows = ",\n        ".join(json.dumps([_plain(x) for x in row]) for row in value)
                lines.append(f'"values": [\n        {rows}\n      ]')
            else:
                lines.append(f"{json.dumps(field.name)}: {json.dumps(value)}")
        blocks.append(f"    {json.dumps(arm)}: {{\n      " + ",\n      ".join(lines) + "\n    }")
    files.make_folder(DATA)
    files.write(path_of(name), '{\n  "arms": {\n' + ",\n".join(blocks) + "\n  }\n}\n")


def _plain(x: float) -> float | int | None:
    """Six significant digits; whole numbers without a point; None for what is not a finite number."""
    if not np.isfinite(x):
        return None
    x = float(f"{x:.6g}")
    return int(x) if x == int(x) else x


def of_run(folder: Path, claim: Claim, command: str) -> Record:
    """The record of a finished run.

    Raises:
      ValueError: the folder is no finished run, has no values of the claim's metric, or is of other seeds.
    """
    from experiments.reports import sinks

    try:
        config = json.loads(files.read(folder / "config.json"))
        summary = json.loads(files.read(folder / "summary.json"))
        stage, _, metric = claim.metric.rpartition("/")
        if stage:
            summary = summary[stage]
            steps, values = np.array([summary["env_steps"]]), np.array(summary[metric], np.float64)[:, None]
        else:
            steps, values = sinks.series(sinks.read_metrics(folder / "metrics.csv"), metric)
        start, flags = config["starts"][-1], config["flags"]
        seeds = tuple(range(flags["seed"], flags["seed"] + flags["seeds"]))
    except (OSError, ValueError, KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{folder}: is no finished run with {claim.metric} ({error})") from None
    if seeds != claim.seeds:
        raise ValueError(f"{folder}: is of the seeds {list(seeds)}; the claim's are {list(claim.seeds)}")
    return Record(
        seeds=seeds,
        steps=tuple(int(x) for x in steps),
        values=tuple(tuple(_plain(x) if np.isfinite(x) else np.nan for x in row) for row in values),  # type: ignore[misc]
        command=command,
        date=start["time"][:10],
        commit=start["git_commit"] or "",
        versions={name: start["versions"][name] for name in ("bellmax", "jax") if name in start["versions"]},
        machine=start["device"],
        seconds=round(float(summary.get("wall_seconds", 0.0)), 1),
        code=fingerprint(claim),
    )


def fingerprint(claim: Claim) -> str:
    """What the claim's files do: a digest of their source without comments, docstrings and spaces.

    A rename or a reordering changes it; a better docstring or another layout of lines does not.
    """
    digest = hashlib.sha256()
    for name in sorted(claim.code):
        digest.update(name.encode())
        digest.update(bare((ROOT / name).read_text()).encode())
    return digest.hexdigest()[:16]


@functools.cache
def bare(source: str) -> str:
    """Source code without comments, texts that stand alone (docstrings among them), and spaces."""
    kept = []
    fresh = True  # at the start of a statement, where a text is documentation
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type in skipped:
            continue
        if token.type == tokenize.NEWLINE:
            fresh = True
            kept.append("\n")
        elif not (fresh and token.type == tokenize.STRING):
            kept.append("".join(token.string.split()))
            fresh = False
    return "".join(kept).replace(",)", ")").replace(",]", "]").replace(",}", "}")
