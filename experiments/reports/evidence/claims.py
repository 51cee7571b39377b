"""Claims: what a system is said to reach, by which command, on which seeds, and what would show that it does not.

A claim is a file `docs/results/claims/NAME.toml`. Its variants are the same runs with one thing changed, such as a
mechanism taken away; each may have a gate of its own, which is how an ablation that must fail is written.
"""

import dataclasses
import shlex
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

from experiments import ROOT

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Built = TypeVar("Built", bound=DataclassInstance)

RESULTS = ROOT / "docs" / "results"
WHOLE = "whole"
"""The name of the runs with everything in place."""
OVER = ("iqm", "median", "mean", "seeds", "every")
FIGURES = ("last", "best", "at", "steps_to", "mean_of_last", "value")


@dataclass(frozen=True)
class Gate:
    """What a figure is held to."""

    at_least: float | None = None
    """The figure is this or more; one of `at_least` and `at_most` is given."""
    at_most: float | None = None
    """The figure is this or less."""
    over: str = "iqm"
    """What one number is made of the seeds by: "iqm", "median", "mean", "every" (the seed that is furthest from meeting
    the gate), or "seeds": so many of them meet it."""
    seeds: int = 0
    """With over = "seeds", how many."""
    times: str = ""
    """The figure is first divided by that of this variant, such as "whole"."""
    minus: str = ""
    """The figure of this variant is first taken away."""


@dataclass(frozen=True)
class Published:
    """A figure of the paper or of another library."""

    who: str
    """Whose it is."""
    figure: str
    """It, with its spread where that is known."""
    source: str
    """Where it is printed."""
    steps: str = ""
    """After how many environment steps."""
    seeds: str = ""
    """Of how many seeds."""


@dataclass(frozen=True)
class Variant:
    """The claim's runs with something changed."""

    title: str
    """What is changed, in a few words."""
    flags: str = ""
    """Flags added to the claim's, which win over them."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Options of a study added to the claim's."""
    experiment: str = ""
    """Another command than the claim's."""
    gate: Gate | None = None
    """What its figure is held to, or nothing."""


@dataclass(frozen=True)
class Claim:
    """One claim."""

    name: str
    """The file's."""
    system: str
    """The page it stands on: docs/results/SYSTEM.md."""
    title: str
    """A heading."""
    says: str
    """The claim, in one sentence that stands alone."""
    seeds: tuple[int, ...]
    """Seeds that are judged, one after the other."""
    tuned_on: tuple[int, ...] = ()
    """Seeds on which settings were chosen."""
    figure: str = "last"
    """What one number is made of a seed's curve by: "last" evaluation, "best" evaluation, the last one "at" `step`,
    "mean_of_last" `points`, the "steps_to" `level` (infinite if it is not reached), or the "value" of a study (infinite
    if it never gets there)."""
    step: int = 0
    """With figure = "at": the environment step; with "best": no evaluation after it counts (0: all do)."""
    level: float = 0.0
    """With figure = "steps_to": the score."""
    points: int = 1
    """With figure = "mean_of_last": how many evaluations."""
    label: str = ""
    """How the whole is called in tables and plots; by default the system in capitals."""
    unit: str = "return"
    """Of the figure, for the table's head."""
    experiment: str = ""
    """The command that makes the runs; empty for a study."""
    flags: str = ""
    """Its flags, without seeds and folder."""
    collect: tuple[str, ...] = ()
    """Flags of experiments.collect, one line for each dataset that the runs learn from: made before them where the
    file after --out is not there yet."""
    metric: str = "eval_return"
    """A column of metrics.csv; or, of a run in stages, STAGE/NAME: a number per seed in that stage's summary."""
    study: str = ""
    """A function `module:name` of `experiments.studies`, `(seeds, **options) -> numbers [seeds]`, instead of runs."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of the study."""
    minutes: float = 0.0
    """What all its runs take on two cores, about."""
    code: tuple[str, ...] = ()
    """Files whose change makes the data old, from the repository's top."""
    variants: Mapping[str, Variant] = field(default_factory=dict)
    """Runs with one thing changed."""
    draw: tuple[str, ...] = ()
    """Variants in the plot; by default the whole and the first four."""
    published: tuple[Published, ...] = ()
    """Figures of others."""
    gate: Gate | None = None
    """What the whole's figure is held to."""
    order: int = 0
    """Where it stands on its page: lower numbers first, then by name."""
    older: bool = False
    """Whether figures that are older than the code stay, with a mark; else the claim has to be run again. The note says
    what changed."""
    note: str = ""
    """What was tried where a gate is missed, and other things that the table does not show."""

    @property
    def system_name(self) -> str:
        """How the whole is called in tables and plots."""
        return self.label or self.system.replace("_", "-").upper()

    @property
    def arms(self) -> dict[str, Variant]:
        """The whole and its variants."""
        return {WHOLE: Variant("", gate=self.gate), **self.variants}

    def command(self, arm: str) -> list[str]:
        """What is typed for an arm, after `python -m`, without folder; empty for a study."""
        if self.study:
            return []
        variant = self.arms[arm]
        name = variant.experiment or self.experiment
        seeds = ["--seed", str(self.seeds[0]), "--seeds", str(len(self.seeds))]
        return [f"experiments.{name}", *merged(shlex.split(self.flags), shlex.split(variant.flags)), *seeds]


def grouped(words: list[str]) -> dict[str, list[str]]:
    """The words of a command line by flag; `--agent.no-x` is the flag `--agent.x`."""
    groups: dict[str, list[str]] = {}
    name = ""
    for word in words:
        if word.startswith("--"):
            name = word.replace(".no-", ".").replace("--no-", "--")
            groups[name] = []
        groups[name].append(word)
    return groups


def merged(flags: list[str], more: list[str]) -> list[str]:
    """Flags of a command line with others in place of those of the same name."""
    return [word for group in (grouped(flags) | grouped(more)).values() for word in group]


def names() -> list[str]:
    """All claims."""
    return sorted(path.stem for path in (RESULTS / "claims").glob("*.toml"))


def read(path: Path) -> Claim:
    """Reads a claim.

    Raises:
      ValueError: naming the file and what is wrong in it.
    """
    try:
        table = tomllib.loads(path.read_text())
        claim: Claim = _built(Claim, {"name": path.stem, **table}, "")
        _check(claim)
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path.name}: {error}") from None
    return claim


def load(name: str) -> Claim:
    """The claim of a name.

    Raises:
      ValueError: there is none, or something is wrong in it.
    """
    path = RESULTS / "claims" / f"{name}.toml"
    if not path.is_file():
        raise ValueError(f"{name}: no such claim; there are {', '.join(names())}")
    return read(path)


def everyone() -> list[Claim]:
    """All claims, in the order of their pages."""
    return in_order(load(name) for name in names())


def in_order(read: Iterable[Claim]) -> list[Claim]:
    """Claims in the order of their pages."""
    return sorted(read, key=lambda claim: (claim.system, claim.order, claim.name))


NESTED = {"gate": Gate, "published": Published, "variants": Variant}


def _built(kind: "type[Built]", table: Mapping[str, Any], where: str) -> "Built":
    """A dataclass of a TOML table.

    Raises:
      ValueError: a key is not known, is missing, or has a value of another type.
    """
    hints = get_type_hints(kind)
    unknown = set(table) - set(hints)
    if unknown:
        raise ValueError(f"{where}{min(unknown)}: there is no such key; there are {', '.join(hints)}")
    for each in dataclasses.fields(kind):
        required = each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING
        if required and each.name not in table:
            raise ValueError(f"{where}{each.name}: is missing")
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key in NESTED:
            inner, label = NESTED[key], f"{where}{key}."
            if key == "variants":
                values[key] = {name: _built(inner, each, f"{label}{name}.") for name, each in value.items()}
            elif key == "published":
                values[key] = tuple(_built(inner, each, label) for each in value)
            else:
                values[key] = _built(inner, value, label)
            continue
        text = str(hints[key])
        allowed: tuple[type, ...] = (str,)
        kinds = {"tuple": (list,), "Mapping": (dict,), "float": (int, float), "int": (int,), "bool": (bool,)}
        for word, types in kinds.items():
            if word in text:
                allowed = types
                break
        if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
            raise ValueError(f"{where}{key}: is {value!r}; must be {' or '.join(t.__name__ for t in allowed)}")
        values[key] = tuple(value) if isinstance(value, list) else value
    return kind(**values)


def _check(claim: Claim) -> None:
    if bool(claim.experiment) == bool(claim.study):
        raise ValueError("experiment, study: must be one of the two")
    if not claim.seeds or claim.seeds != tuple(range(claim.seeds[0], claim.seeds[0] + len(claim.seeds))):
        raise ValueError(f"seeds: are {list(claim.seeds)}; must be whole numbers one after the other")
    both = set(claim.seeds) & set(claim.tuned_on)
    if both:
        raise ValueError(f"seeds: {sorted(both)} are in tuned_on; judged seeds must be others")
    if claim.figure not in FIGURES:
        raise ValueError(f"figure: is {claim.figure!r}; must be one of {', '.join(FIGURES)}")
    for flag in ("--seed", "--seeds", "--out", "--resume"):
        if any(flag in shlex.split(text) for text in (claim.flags, *(v.flags for v in claim.variants.values()))):
            raise ValueError(f"flags: hold {flag}, which the evidence command adds")
    for path in claim.code:
        if not (ROOT / path).is_file():
            raise ValueError(f"code: {path} is not there")
    for arm in claim.draw:
        if arm not in claim.arms:
            raise ValueError(f"draw: {arm} is not one of {', '.join(claim.arms)}")
    for arm, variant in claim.arms.items():
        gate = variant.gate
        if gate is None:
            continue
        where = "gate" if arm == WHOLE else f"variants.{arm}.gate"
        if (gate.at_least is None) == (gate.at_most is None):
            raise ValueError(f"{where}: must have one of at_least and at_most")
        if gate.over not in OVER:
            raise ValueError(f"{where}.over: is {gate.over!r}; must be one of {', '.join(OVER)}")
        if (gate.over == "seeds") != (gate.seeds > 0) or gate.seeds > len(claim.seeds):
            raise ValueError(f'{where}.seeds: is {gate.seeds}; must be 1 to {len(claim.seeds)} with over = "seeds"')
        for other in filter(None, (gate.times, gate.minus)):
            if other not in claim.arms or other == arm:
                raise ValueError(f"{where}: compares with {other!r}; must be another arm of the claim")
