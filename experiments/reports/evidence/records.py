"""Records: what the runs of a claim gave, per seed and point, and what made them: docs/results/data/NAME.json."""

import ast
import dataclasses
import functools
import hashlib
import json
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
    """What the claim's files do: a digest of their statements; see `meaning`."""
    digest = hashlib.sha256()
    for name in sorted(claim.code):
        digest.update(name.encode())
        digest.update(meaning((ROOT / name).read_text()).encode())
    return digest.hexdigest()[:16]


@functools.cache
def meaning(source: str) -> str:
    """What source code does, as text: its syntax tree without what does not run.

    Left out are comments, docstrings, the layout of lines, annotations of types, and imports that only those need. A
    rename, another order of functions or a statement in another block changes the text.
    """
    tree = _Running().visit(ast.parse(source))
    # Names in texts count as used, for the sake of `__all__`.
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    used |= {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    for block in ast.walk(tree):
        if isinstance(block, ast.Import | ast.ImportFrom):
            block.names = [x for x in block.names if x.name == "*" or (x.asname or x.name.partition(".")[0]) in used]
    return _told(tree)


class _Running(ast.NodeTransformer):
    """Leaves out statements and parts of statements that do nothing when a program runs."""

    in_function = False

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.AST]:
        if isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            return [self.visit(each) for each in node.orelse]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        node.annotation = None
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        return self._block(node, True)

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._block(node, False)

    def _block(self, node: ast.AST, in_function: bool) -> ast.AST:
        outside, self.in_function = self.in_function, in_function
        node = self.generic_visit(node)
        self.in_function = outside
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if self.in_function:
            return self.visit(ast.Assign([node.target], node.value)) if node.value else None
        node.annotation = ast.Constant(None)  # the name stays: in a class it is a field
        return self.generic_visit(node)


def _told(node: object) -> str:
    """A syntax tree in brackets, the same in all versions of Python: without places and without empty parts."""
    if isinstance(node, list):
        return "[" + ",".join(filter(None, map(_told, node))) + "]"
    if not isinstance(node, ast.AST):
        return repr(node)
    if isinstance(node, ast.Import | ast.ImportFrom) and not node.names:
        return ""
    parts = [f"{name}={_told(x)}" for name, x in ast.iter_fields(node) if x not in (None, []) or name == "value"]
    return f"{type(node).__name__}({','.join(part for part in parts if not part.startswith('ctx='))})"
